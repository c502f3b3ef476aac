"""Which deployment a command means: its state folder, its daemon, its log."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.adapters.daemon import DaemonClient, DaemonLog
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.ports import LogReader

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="SEALGATE_STATE", help="State folder. Default: that of ./gateway.yaml, else ./.sealgate."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def state_folder(given: Path | None) -> StateFolder:
    """The state folder a command means."""
    if given is None:
        from gateway.settings import load_settings  # only here: it takes a while to load

        config = Path("gateway.yaml")
        given = load_settings(config).state_dir if config.exists() else Path(".sealgate")
    return StateFolder(given)


def login_name() -> str:
    """Who runs this command, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"


def daemon(given: Path | None) -> DaemonClient:
    """The daemon of that state folder. Raises `Unreachable` when used, where none runs."""
    return DaemonClient(state_folder(given).control_socket)


@contextmanager
def log_reader(given: Path | None) -> Iterator[LogReader]:
    """The log: through the daemon where one owns the folder, else straight from the file, read-only."""
    state = state_folder(given)
    if state.owned():
        with DaemonClient(state.control_socket) as client:
            yield DaemonLog(client)
    else:
        log = SqliteLog(state.journal)
        try:
            yield log
        finally:
            log.close()
