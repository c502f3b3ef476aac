"""What the policies that come along decide for each approval mode, seen by a client."""

from typing import Any

import pytest

from tests.edge.box import Box
from tests.running import ModernClient, outcome, text


@pytest.fixture
def client(box: Box) -> Any:
    with ModernClient(box.gateway) as client:
        yield client


def test_a_read_is_run_each_time(box: Box, client: ModernClient) -> None:
    for _ in range(2):
        assert outcome(client.call("box__echo", {"text": "each time"})) == {"outcome": "completed"}
    assert box.lines("calls").count('echo {"text": "each time"}') == 2


def test_a_write_made_twice_is_done_once_and_the_second_answer_says_so(box: Box, client: ModernClient) -> None:
    first, second = (client.call("box__add_row", {"text": "derived"}) for _ in range(2))
    assert (outcome(first), outcome(second)) == ({"outcome": "completed"}, {"outcome": "replayed"})
    assert first["result"]["content"] == second["result"]["content"][:1]
    assert "was not run again" in text(second)
    assert "dev.sealgate/idempotency-key" in text(second)
    assert box.lines("rows").count("add_row derived") == 1
    entry = box.entry(second["result"]["_meta"]["dev.sealgate/receipt"])
    assert entry.predicate["result"]["replay_of"] == first["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]


def test_a_key_of_ones_own_makes_the_same_write_another_one(box: Box, client: ModernClient) -> None:
    for key in ("own-1", "own-2", "own-2"):
        client.call("box__add_row", {"text": "own key"}, key=key)
    assert box.lines("rows").count("add_row own key") == 2


def test_a_replay_under_a_key_of_ones_own_has_the_same_content(client: ModernClient) -> None:
    first, second = (client.call("box__add_row", {"text": "bytes"}, key="bytes") for _ in range(2))
    assert first["result"]["content"] == second["result"]["content"]


def test_a_run_of_ones_own_makes_the_same_write_another_one(box: Box, client: ModernClient) -> None:
    for run in ("run-1", "run-2", "run-2"):
        client.call("box__add_row", {"text": "own run"}, run={"run_id": run})
    assert box.lines("rows").count("add_row own run") == 2


def test_a_key_used_with_other_arguments_is_a_conflict(box: Box, client: ModernClient) -> None:
    client.call("box__add_row", {"text": "first"}, key="taken")
    response = client.call("box__add_row", {"text": "second"}, key="taken")
    assert outcome(response) == {"outcome": "conflict", "reasons": ["idempotency.mismatch"]}
    assert response["result"]["isError"] is True
    assert "add_row second" not in box.lines("rows")


def test_a_write_that_the_tool_refused_may_be_tried_again(box: Box, client: ModernClient) -> None:
    for _ in range(2):
        assert outcome(client.call("box__is_error", {"text": "again"})) == {"outcome": "completed"}
    assert box.lines("rows").count("is_error again") == 2


def test_a_host_off_the_allow_list_asks_a_person(box: Box, client: ModernClient) -> None:
    response = client.call("box__post", {"text": "out"})
    assert outcome(response)["outcome"] == "awaiting_approval"
    assert "network.host_not_allowed" in outcome(response)["reasons"]
    assert outcome(response)["approval_id"] in text(response)
    assert "post out" not in box.lines("rows")


def test_acting_for_somebody_without_a_delegation_is_denied(box: Box, client: ModernClient) -> None:
    response = client.call("box__act", {"text": "x"})
    assert outcome(response) == {"outcome": "denied", "reasons": ["delegation.missing"]}
    assert "act x" not in box.lines("rows")


def test_what_cannot_be_undone_asks_a_person(box: Box, client: ModernClient) -> None:
    response = client.call("box__drop", {"text": "x"})
    assert (outcome(response)["outcome"], outcome(response)["reasons"]) == (
        "awaiting_approval",
        ["destructive.approval_required"],
    )
    assert "drop x" not in box.lines("rows")


@pytest.mark.parametrize(("ceiling", "tool"), [("read_only", "box__add_row"), ("network", "box__drop")])
def test_a_run_that_allows_itself_less_is_denied_more(box: Box, client: ModernClient, ceiling: str, tool: str) -> None:
    response = client.call(tool, {"text": "ceiling"}, run={"run_id": "narrow", "safety_mode": ceiling})
    assert outcome(response) == {"outcome": "denied", "reasons": ["mode.above_ceiling"]}
    assert not any("ceiling" in row for row in box.lines("rows"))
    entry = box.entry(response["result"]["_meta"]["dev.sealgate/receipt"])
    assert entry.predicate["run"]["safety_mode"] == ceiling
    assert entry.predicate["policy"]["effect"] == "deny"


def test_a_refusal_is_recorded_without_argument_values(box: Box, client: ModernClient) -> None:
    response = client.call("box__act", {"text": "a secret of mine"})
    stored = box.stored(response["result"]["_meta"]["dev.sealgate/receipt"]["leaf_index"])
    assert b"a secret of mine" not in stored.entry
    assert "a secret of mine" not in str(box.entries(stored.index)[0].predicate)
