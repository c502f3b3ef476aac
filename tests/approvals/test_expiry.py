"""A request that nobody answered in time is denied, whoever notices first."""

from collections.abc import Iterator

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
