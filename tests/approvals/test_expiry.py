"""A request that nobody answered in time is denied, whoever notices first."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from gateway.adapters.clock import SystemClock
from tests.approvals.people import Person, ask
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome, until


@pytest.fixture(scope="module")
def hasty(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway where a person has two seconds."""
    more = "approvals: {ttl_seconds: 2}\napprovers:\n" + alice.listed()
    with boxed(tmp_path_factory.mktemp("hasty"), more) as box:
        yield box
        assert box.verified().problems == []


def state(box: Box, approval_id: str) -> str:
    with_all = box.json("approvals", "list", "--all")["approvals"]
    return str(next(item["state"] for item in with_all if item["request"]["approval_id"] == approval_id))


def test_an_expired_request_takes_no_answer_and_the_call_says_so(hasty: Box, alice: Person) -> None:
    with ModernClient(hasty.gateway) as client:
        approval_id = ask(client, "late")
        until(lambda: state(hasty, approval_id) == "expired", what="the expiry")
        said = alice.answers(hasty, "approve", approval_id)
        assert (said.code, "expired" in said.stderr) == (1, True)
        refused = client.call("box__drop", {"text": "late"})
        assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.expired"]}
        assert ask(client, "late") != approval_id
    assert hasty.lines("rows") == []
    events = [entry.predicate["event"] for entry in hasty.entries() if "event" in entry.predicate]
    assert events[:2] == ["requested", "expired"]


def test_a_yes_that_was_not_used_in_time_is_no_yes(hasty: Box, alice: Person) -> None:
    with ModernClient(hasty.gateway) as client:
        approval_id = ask(client, "unused")
        assert alice.answers(hasty, "approve", approval_id).code == 0
        expires_at = hasty.json("approvals", "show", approval_id)["request"]["expires_at"]
        until(lambda: SystemClock().now() > expires_at, what="the expiry")
        refused = client.call("box__drop", {"text": "unused"})
    assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.expired"]}
    assert "drop unused" not in hasty.lines("rows")


def request(box: Box, approval_id: str, replaced_by: str | None = None) -> str:
    """The stored request, or what somebody with the file puts in its place."""
    db = apsw.Connection(str(box.gateway.state / "journal.db"))
    db.set_busy_timeout(10_000)
    kept = str(db.execute("SELECT request FROM approvals WHERE approval_id = ?", (approval_id,)).get)
    if replaced_by is not None:
        db.execute("UPDATE approvals SET request = ? WHERE approval_id = ?", (replaced_by, approval_id))
    db.close()
    return kept


def expired(box: Box) -> set[str]:
    """The requests that the log says are expired."""
    said = [entry.predicate for entry in box.entries() if entry.predicate.get("event") == "expired"]
    return {str(predicate["approval"]["approval_id"]) for predicate in said}


@pytest.mark.long
def test_requests_expire_round_after_round_beside_one_that_cannot(tmp_path: Path) -> None:
    with boxed(tmp_path, "approvals: {ttl_seconds: 2}") as box, ModernClient(box.gateway) as client:
        damaged = ask(client, "damaged")
        kept = request(box, damaged, "no request any more")
        beside = ask(client, "beside")
        until(lambda: expired(box) == {beside}, what="the expiry of the other")
        later = ask(client, "later")
        until(lambda: expired(box) == {beside, later}, what="the expiry in a later round")
        request(box, damaged, kept)
        until(lambda: expired(box) == {beside, later, damaged}, what="the expiry of what was mended")
        assert "store.damaged" in box.gateway.output
        assert box.verified().problems == []
