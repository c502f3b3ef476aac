"""A module of Python functions as an upstream: the command line that serves it, which is a stdio server like any other.

It runs in the gateway's own Python, or in another one where Sealgate is installed as well. Python is told not to look for
modules in the folder it starts in (`-P`): only the module named, and what lies beside that, is found there.
"""

import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gateway.adapters.upstream.spec import Limits, Sandbox, StdioSpec

SERVER = "gateway.functions"
CHECKOUT = Path(__file__).resolve().parents[3]
PACKAGES = ("gateway", "sealgate")


def function_spec(
    name: str,
    module: str,
    python: str | None,
    env: Mapping[str, str],
    cwd: str,
    limits: Limits,
    sandbox: Sandbox | None,
) -> StdioSpec:
    """The server of one module. `module` is the absolute path of a file, or the name of an installed module."""
    own = python is None and Path(sysconfig.get_path("purelib")).resolve() != CHECKOUT
    if own:  # this Python does not find the gateway by itself where it was not installed
        path = env.get("PYTHONPATH")
        env = {**env, "PYTHONPATH": str(CHECKOUT) if not path else os.pathsep.join((str(CHECKOUT), path))}
        if sandbox is not None:
            packages = tuple(str(CHECKOUT / package) for package in PACKAGES)
            sandbox = replace(sandbox, read=(*sandbox.read, *packages))
    args = ("-P", "-m", SERVER, module)
    return StdioSpec(name, python or sys.executable, args, env, cwd, limits, sandbox)
