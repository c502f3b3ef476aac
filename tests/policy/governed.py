"""A real gateway in front of the notes server, with policies that a test writes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, running

CONFIG = """
mcpServers: {{notes: {{command: {python}, args: ["{notes}", "{folder}/notes"]}}}}
tools:
  - {{match: notes__read_note, mode: read_only}}
  - {{match: notes__write_note, mode: local_write}}
  - {{match: notes__delete_note, mode: destructive}}
policy: {{{policy}}}
"""


def policy_text(effect: str, code: str) -> str:
    """A policy that decides every call so."""
    decision = f'{{"effect": "{effect}", "reasons": [{{"code": "{code}", "message": "So it is."}}], "obligations": {{}}}}'
    return f"package sealgate.authz\n\ndecision := {decision}\n"


def write_policy(folder: Path, effect: str, code: str) -> Path:
    """A policies folder that decides every call so."""
    folder.mkdir(exist_ok=True)
    (folder / "authz.rego").write_text(policy_text(effect, code))
    return folder


def config(folder: Path, policy: str) -> str:
    """gateway.yaml; `policy` are the keys of its policy block."""
    return CONFIG.format(python=sys.executable, notes=REPOSITORY / "examples" / "notes.py", folder=folder, policy=policy)


@contextmanager
def governed(folder: Path, policy: str) -> Iterator[tuple[RunningGateway, ModernClient]]:
    """The gateway, and a client of it."""
    with running(folder, config(folder, policy)) as gateway, ModernClient(gateway) as client:
        yield gateway, client


def read(client: ModernClient, name: str = "welcome") -> dict[str, Any]:
    """What became of one read."""
    return outcome(client.call("notes__read_note", {"name": name}))
