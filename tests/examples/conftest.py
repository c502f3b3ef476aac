"""The ticket desk as a process of its own, on a free port."""

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

SERVER = Path(__file__).parents[2] / "examples" / "ticket_desk.py"

StartDesk = Callable[..., AbstractContextManager[str]]


@contextmanager
def running_desk(db: Path, *more: str) -> Iterator[str]:
    """Its URL, once it listens."""
    command = [sys.executable, str(SERVER), "--port", "0", "--db", str(db), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "desk.sqlite"


@pytest.fixture
def start_desk() -> StartDesk:
    """Takes the database file and more arguments of the command line."""
    return running_desk


@pytest.fixture
def desk(db: Path) -> Iterator[str]:
    with running_desk(db) as url:
        yield url


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A desk that no test changes, and its database."""
    db = tmp_path_factory.mktemp("desk") / "desk.sqlite"
    with running_desk(db) as url:
        yield url, db
        with contextlib.closing(sqlite3.connect(db)) as connection:
            for table in ("refunds", "messages"):
                assert connection.execute(f"SELECT count(*) FROM {table}").fetchall() == [(0,)]  # noqa: S608
