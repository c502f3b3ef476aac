"""A log that somebody with the keys filled with hostile texts: no command that reads it lets them act on a terminal."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.store.sqlite.writer import Transaction
from gateway.core.entry import Kind, Record
from gateway.core.merkle import leaf_hash
from tests.cli.hostile import ESCAPES, LINES, MARKUP, STYLED, UNSEEN, acts
from tests.edge.box import Said, run_cli
from tests.store.world import SqliteWorld

TEXTS = (ESCAPES, MARKUP, UNSEEN, LINES, "\x1b[2J", "\x9b2J\u202e", f"\x1b]8;;http://evil.example\x07{STYLED}")
SHORT = "\x1b[31m\x9b\u202e\u200b"


def bodies(text: str) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Entries with `text` wherever an entry has a text of its own."""
    run = {"tenant_id": text, "principal_chain": [text, text], "run_id": text, "session_id": text}
    call = {
        "run": run,
        "capability": {"capability_id": text, "definition_digest": text, "upstream": text},
        "call": {"arguments": {text: text}, "call_digest": text, "requested_name": text, "requested_at": text},
        "idempotency": {"key": text, "scope": text, "reservation": text, "derived": False},
        "policy": {"effect": text, "reasons": [text], "obligations": [text], "bundle_revision": text},
        "reasons": [text, text],
    }
    approval = {"approval_id": text, "capability_id": text, "call_digest": text, "expires_at": text, "reasons": [text]}
    yield Kind.BOOT, {"boot": {"version": text, "restored": text}}
    yield Kind.INTENT, call
    yield Kind.OUTCOME, {**call, "result": {"status": text, "reason": text, "commitment": text}}
    yield Kind.DENIED, call
    yield Kind.IN_DOUBT, {**call, "result": {"status": text, "reason": text}}
    yield Kind.APPROVAL, {"approval": approval, "event": text, "approver": text, "keyid": text}
    yield Kind.RESOLUTION, {"resolution": {"envelope_id": text, "verdict": text, "by": text, "reason": text}}
    yield Kind.COMPENSATION, {"compensation": {"of": text, "by": text, "event": text}}
    yield Kind.COMPENSATION, {"compensation": {"of": text, "by": text, "event": "done"}}
    yield Kind.ERASURE, {"erasure": {"subject": text, "keys": [text], "reason": text, "by": text}}
    yield Kind.PIN, {"pin": {"capability_id": text, "definition_digest": text}}
    yield Kind.POLICY, {"policy": {"event": text, "engine": text, "revision": text, "by": text}}
    yield Kind.CREDENTIAL, {"credential": {"event": text, "id": text, "principal": text, "actors": [text], "roles": [text]}}
    yield Kind.KEY, {"key": {"event": text, "role": text, "old_keyid": text, "keyid": text}}
    yield Kind.KEY, {"key": {"event": "revoked", "role": "entry", "keyid": SHORT, "since": 0, "reason": text}}
    yield Kind.KEY, {"key": {"event": "revoked", "role": "log", "keyid": text, "since": 0, "reason": text}}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder whose log was written by the thief of its keys, and changed afterwards."""
    folder = tmp_path_factory.mktemp("hostile") / "state"
    folder.mkdir(mode=0o700)
    make_keys(folder / "keys", origin="test.example/log", dev=False)
    asyncio.run(fill(folder))
    db = apsw.Connection(str(folder / "journal.db"))
    size = int(db.execute("SELECT count(*) FROM entries").get)
    change_envelope(db, size - 1, lambda envelope: envelope["signatures"][0].update(keyid=STYLED))
    change_envelope(db, size - 2, lambda envelope: envelope.update(payloadType=STYLED))
    change_envelope(db, size - 3, lambda envelope: envelope.update(payload=renamed_kind(envelope["payload"])))
    for number, text in enumerate((STYLED, f"{STYLED}\n1\nAAAA\n\n— {STYLED} AAAA\n")):
        db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (number + 1, text.encode()))
    db.close()
    return folder


async def fill(folder: Path) -> None:
    world = SqliteWorld(folder)
    for text in TEXTS:
        for kind, body in bodies(text):
            record = Record(kind, f"{kind} {text}", f"2026 {text}", body)
            await world.writer.submit(partial(Transaction.append, record=record))
    await world.checkpointed()
    world.close()


def change_envelope(db: apsw.Connection, index: int, change: Any) -> None:
    envelope = json.loads(bytes(db.execute("SELECT entry FROM entries WHERE idx = ?", (index,)).get))
    change(envelope)
    entry = json.dumps(envelope).encode()
    db.execute("UPDATE entries SET entry = ?, leaf = ? WHERE idx = ?", (entry, leaf_hash(entry), index))


def renamed_kind(payload: str) -> str:
    statement = json.loads(b64decode(payload))
    statement["predicate"]["kind"] = STYLED
    return b64encode(json.dumps(statement).encode()).decode()


def said(state: Path, *arguments: str) -> Said:
    return run_cli(*arguments, state=state)


@pytest.mark.parametrize(
    ("arguments", "code", "shows"),
    [
        (["log", "verify"], 6, "\\u{1b}"),
        (["log", "verify", "--json"], 6, "\\u001b"),
        (["log", "list", "-n", "1000"], 0, "\\u{1b}"),
        (["log", "list", "-n", "1000", "--json"], 0, "\\u001b"),
        (["log", "list", "-n", "1000", "--kind", "erasure"], 0, "\\u{1b}"),
        (["log", "tail", "--no-follow"], 0, "\\u{1b}"),
        (["log", "tail", "--no-follow", "--json"], 0, "\\u001b"),
    ],
)
def test_nothing_in_it_acts_and_all_of_it_can_be_seen(state: Path, arguments: list[str], code: int, shows: str) -> None:
    told = said(state, *arguments)
    assert (told.code, acts(told.stdout + told.stderr)) == (code, [])
    assert shows in told.stdout
    assert "\x7f" not in told.stdout


def test_only_entries_begin_a_row_of_the_list_and_a_line_of_the_tail(state: Path) -> None:
    size = len(json.loads(said(state, "log", "list", "-n", "1000", "--json").stdout)["entries"])
    listed = said(state, "log", "list", "-n", "1000").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:] if not line.startswith(" ")] == [str(index) for index in range(size)]
    tailed = said(state, "log", "tail", "--no-follow").stdout.splitlines()
    assert [line.split()[0] for line in tailed] == [str(index) for index in range(size - 10, size)]


def test_each_problem_is_one_line_and_quotes_what_is_in_the_entry(state: Path) -> None:
    problems = json.loads(said(state, "log", "verify", "--json").stdout)["problems"]
    assert any(acts(problem) for problem in problems), "so that the lines below have something to hide"
    lines = said(state, "log", "verify").stdout.splitlines()
    assert len(lines) == len(problems)


def test_an_entry_shown_whole_acts_on_nothing(state: Path) -> None:
    size = len(json.loads(said(state, "log", "list", "-n", "1000", "--json").stdout)["entries"])
    for index in range(size):
        told = said(state, "log", "show", str(index))
        assert (told.code, acts(told.stdout + told.stderr)) == (0, []), index


@pytest.mark.parametrize("verb", ["show", "disclose", "prove"])
def test_what_is_not_there_is_named_without_acting(state: Path, verb: str) -> None:
    told = said(state, "log", verb, STYLED)
    assert (told.code, acts(told.stdout + told.stderr)) == (1, [])
