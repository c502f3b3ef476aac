"""The official conformance suite as a program: one run of a revision's requirements against a URL, and what it found.

The suite is `@modelcontextprotocol/conformance` of tests/node. It writes a folder for each scenario, its checks as JSON.
"""

import asyncio
import enum
import json
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

MODULES = Path(__file__).resolve().parent.parent / "node" / "node_modules"
NODE = MODULES / ".bin" / "node"
REVISIONS = ("2025-11-25", "2026-07-28")
_RUN_SECONDS = 300
_FOLDER = re.compile(r"server-(?P<scenario>.+?)-\d{4}-\d{2}-\d{2}T[\dZ-]+")


class Status(enum.StrEnum):
    """What a check can end with. ABSENT: the suite came to no such check in this run."""

    SUCCESS = "SUCCESS"
    INFO = "INFO"
    ABSENT = "ABSENT"
    SKIPPED = "SKIPPED"
    WARNING = "WARNING"
    FAILURE = "FAILURE"


@dataclass(frozen=True, order=True)
class CheckName:
    """Which check it is. A scenario may make one check several times: `nth` counts from 1."""

    scenario: str
    id: str
    name: str
    nth: int


@dataclass(frozen=True)
class Found:
    """How a check ended, and what the suite says of it."""

    status: Status
    message: str = ""


class SuiteFailed(Exception):
    """The suite itself did not run to its end."""


async def run_suite(url: str, revision: str) -> dict[CheckName, Found]:
    """All checks of the scenarios that `revision` requires, or runs unscored. Raises `SuiteFailed`."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        suite = await asyncio.create_subprocess_exec(
            str(NODE),
            str(MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"),
            *("server", "--url", url, "--requirements", revision, "--output-dir", folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(suite.communicate(), _RUN_SECONDS)
        except TimeoutError as error:
            suite.kill()
            await suite.wait()
            raise SuiteFailed(f"the suite did not end within {_RUN_SECONDS} s") from error
        found = read_checks(Path(folder))
    # Its exit code tells whether all checks passed, which is not what is asked here; but without checks it did not run.
    if not found:
        raise SuiteFailed(f"the suite ended with {suite.returncode} and no checks:\n{said.decode(errors='replace')[-2000:]}")
    return found


def read_checks(folder: Path) -> dict[CheckName, Found]:
    """The checks below the suite's output folder."""
    found: dict[CheckName, Found] = {}
    for file in sorted(folder.glob("*/checks.json")):
        named = _FOLDER.fullmatch(file.parent.name)
        if named is None:
            raise SuiteFailed(f"the suite wrote a folder with a strange name: {file.parent.name}")
        seen: Counter[tuple[str, str]] = Counter()
        for check in json.loads(file.read_text()):
            seen[check["id"], check["name"]] += 1
            name = CheckName(named["scenario"], check["id"], check["name"], seen[check["id"], check["name"]])
            found[name] = Found(Status(check["status"]), check.get("errorMessage") or "")
    return found
