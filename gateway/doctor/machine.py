"""The interpreter, SQLite, and the programs that the configuration needs."""

import platform
import shutil
import sys
from collections.abc import Iterator

import apsw

from gateway.adapters.store.sqlite.database import check_library
from gateway.core.errors import StoreFault
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok

OLDEST_PYTHON = (3, 11)


def look(deployment: Deployment) -> Iterator[Finding]:
    """Versions, and bubblewrap where a server is to be contained."""
    python = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        yield fail("machine", f"Python {python} is too old", "Install Python 3.11 or later, and Sealgate in it.")
    else:
        yield ok("machine", f"Python {python}")
    try:
        check_library()
        yield ok("machine", f"SQLite {apsw.sqlite_lib_version()}")
    except StoreFault as error:
        yield fail("machine", error.message, "pip install --upgrade apsw")
    settings = deployment.settings
    contained = [] if settings is None else [name for name, one in settings.configuration.upstreams.items() if one.sandbox]
    if contained and shutil.which("bwrap") is None:
        names = ", ".join(contained)
        yield fail("machine", f"bubblewrap is not installed, and {names} must run in it", "apt-get install bubblewrap")
