"""The state folder: whose it is, who else can look into it, how much room there is, and who owns it right now."""

import os
import shlex
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.core.errors import StoreFault
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn

LITTLE_BYTES, TOO_LITTLE_BYTES = 1 << 30, 64 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def look(deployment: Deployment) -> Iterator[Finding]:
    """The folder itself, then the journal in it, then its owner."""
    path = deployment.state.path
    if not path.exists():
        yield warn("state", f"{path} is not there yet", _makes_it(deployment))
        return
    if not path.is_dir():
        yield fail("state", f"{path} is not a folder", f"Move it away, then: {_makes_it(deployment)}")
        return
    status = path.stat()
    place = shlex.quote(str(path))
    if status.st_uid != os.geteuid():
        yield fail(
            "state", f"{path} belongs to another user ({status.st_uid})", f"sudo -u '#{status.st_uid}' sealgate doctor"
        )
    elif status.st_mode & _OTHERS:
        yield fail("state", f"others can look into {path} (mode {stat.S_IMODE(status.st_mode):o})", f"chmod 700 {place}")
    else:
        yield ok("state", f"{path} is its owner's alone")
    free = shutil.disk_usage(path).free
    if free < TOO_LITTLE_BYTES:
        yield fail(
            "state", f"{free >> 20} MiB are free: the log cannot grow, so nothing will run", f"df -h {place}; free some"
        )
    elif free < LITTLE_BYTES:
        yield warn("state", f"only {free >> 20} MiB are free", f"df -h {place}; free some")
    else:
        yield ok("state", f"{free >> 30} GiB are free")
    yield from _journal(deployment)
    yield from _owner(deployment)


def _journal(deployment: Deployment) -> Iterator[Finding]:
    journal = deployment.state.journal
    if not journal.exists():
        return
    try:
        open_for_reading(journal).close()
    except StoreFault as error:
        old = error.code == "store.schema_old"
        fix = deployment.command("state", "migrate", state=True) if old else error.hint or _restore(deployment)
        yield fail("state", error.message, fix)
    for file in (journal, deployment.state.vault, deployment.state.api_keys):
        if file.exists() and file.stat().st_mode & _OTHERS:
            yield fail("state", f"{file} can be read by others", f"chmod 600 {shlex.quote(str(file))}")


def _owner(deployment: Deployment) -> Iterator[Finding]:
    if deployment.status is not None:
        yield ok("state", f"a gateway runs on it, version {deployment.status['version']}")
    elif deployment.owned:
        pid = owner_of(deployment.state.path / "lock")
        yield fail(
            "state",
            f"process {pid or '(unknown)'} owns it and does not answer",
            f"kill {pid}" if pid else "Find it: lsof " + shlex.quote(str(deployment.state.path / "lock")),
        )
    else:
        yield warn("state", "no gateway runs on it", _starts(deployment))


def owner_of(lock: Path) -> int | None:
    """The process that holds the lock of that file, as Linux tells in /proc/locks; None where it cannot be told."""
    try:
        status = lock.stat()
        wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5] == wanted and int(words[4]) > 0:
                return int(words[4])
    except (OSError, ValueError, IndexError):
        pass
    return None


def _starts(deployment: Deployment) -> str:
    keys = deployment.trusted
    dev = keys.dev if keys is not None else not deployment.serves
    return deployment.command("up" if dev else "serve", config=True)


def _makes_it(deployment: Deployment) -> str:
    return deployment.command("keys", "new", config=True) if deployment.serves else deployment.command("up", config=True)


def _restore(deployment: Deployment) -> str:
    return deployment.command("state", "restore", "BACKUP", "--reason", "damaged", config=True)
