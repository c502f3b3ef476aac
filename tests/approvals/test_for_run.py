"""A yes for a whole run: for such calls of the same run until it expires, where policy offers it; and for nothing else."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.approvals.people import Person, ask
from tests.approvals.policies import write_policy
from tests.approvals.test_answers import about
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome

RUN = {"run_id": "r-1"}
WIDE = {"approve_for": "run"}


@pytest.fixture(scope="module")
def box(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("for-run")
    more = f"policy: {{path: {write_policy(folder)}}}\napprovers:\n{alice.listed()}"
    with boxed(folder, more) as running:
        yield running
        running.assert_sound()


def wide(name: str, **more: Any) -> str:
    return f"{name} || {json.dumps({**WIDE, **more})}"


def approve_for_run(box: Box, alice: Person, client: ModernClient, text: str, run: dict[str, str]) -> str:
    approval_id = ask(client, text, tool="box__post", run=run)
    said = alice.answers(box, "approve", approval_id, "--for", "run")
    assert said.code == 0, said
    return approval_id


def test_the_next_such_call_of_the_run_needs_no_other_yes(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = approve_for_run(box, alice, client, wide("first"), RUN)
    for name in ("second", "first", "third"):  # also before the call that was asked about
        done = client.call("box__post", {"text": wide(name)}, run=RUN)
        assert outcome(done) == {"outcome": "completed"}, name
        told = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"]).predicate["approval"]
        assert (told["approval_id"], told["approver"]) == (approval_id, "user:alice")
        assert told.get("approve_for") == (None if name == "first" else "run")
    assert outcome(client.call("box__post", {"text": wide("second")}, run=RUN)) == {"outcome": "replayed"}
    assert box.lines("rows").count(f"post {wide('second')}") == 1


def test_a_run_whose_id_holds_a_secret_is_refused_and_the_id_is_not_logged(box: Box, client: ModernClient) -> None:
    secret = "ghp_" + "a1B2c3D4" * 5
    told = client.call("box__post", {"text": wide("secret run")}, run={"run_id": f"r-{secret}"})["error"]
    assert told["code"] == -32602
    assert "run_id holds a secret (github-token)" in told["message"]
    assert secret not in told["message"]
    assert not [entry.index for entry in box.entries() if secret in str(dict(entry.predicate))]
    assert box.run("log", "verify").code == 0


def test_it_reaches_no_other_run_tool_or_caller_and_no_call_without_a_run(
    box: Box, client: ModernClient, alice: Person
) -> None:
    run = {"run_id": "r-2"}
    approval_id = approve_for_run(box, alice, client, wide("here"), run)
    assert outcome(client.call("box__post", {"text": wide("also")}, run=run)) == {"outcome": "completed"}
    assert ask(client, wide("there"), tool="box__post", run={"run_id": "r-3"}) != approval_id
    assert ask(client, wide("there"), tool="box__post") != approval_id
    assert ask(client, wide("there"), tool="box__add_row", run=run) != approval_id
    assert ask(client, wide("narrow").replace("run", "once"), tool="box__post", run=run) != approval_id
    assert ask(client, wide("two", quorum={"count": 2}), tool="box__post", run=run) != approval_id
    assert not [row for row in box.lines("rows") if "there" in row or "narrow" in row or "two" in row]


def test_a_yes_for_once_and_a_no_reach_nothing_else(box: Box, client: ModernClient, alice: Person) -> None:
    run = {"run_id": "r-4"}
    once = ask(client, wide("once"), tool="box__post", run=run)
    assert alice.answers(box, "approve", once).code == 0
    assert outcome(client.call("box__post", {"text": wide("once")}, run=run)) == {"outcome": "completed"}
    other = ask(client, wide("once more"), tool="box__post", run=run)
    assert alice.answers(box, "reject", other).code == 0
    ask(client, wide("a third"), tool="box__post", run=run)


@pytest.mark.parametrize(
    ("tool", "text", "run"),
    [
        ("box__drop", wide("destructive"), RUN),
        ("box__act", wide("delegated"), RUN),
        ("box__post", wide("no run"), None),
        ("box__post", "not offered || {}", RUN),
    ],
)
def test_where_it_is_not_offered_it_is_refused(
    box: Box, client: ModernClient, alice: Person, tool: str, text: str, run: dict[str, str] | None
) -> None:
    more = {} if run is None else {"run": {"run_id": f"{run['run_id']}-{tool}-{len(text)}"}}
    approval_id = ask(client, text, tool=tool, **more)
    said = alice.answers(box, "approve", approval_id, "--for", "run")
    assert (said.code, "error[approval.reach]" in said.stderr) == (1, True)
    assert ask(client, text, tool=tool, **more) == approval_id


@pytest.mark.parametrize("used", [False, True])
def test_it_can_be_taken_back(box: Box, client: ModernClient, alice: Person, used: bool) -> None:
    run = {"run_id": f"r-taken-{used}"}
    approval_id = approve_for_run(box, alice, client, wide("given"), run)
    if used:
        for name in ("given", "more"):
            assert outcome(client.call("box__post", {"text": wide(name)}, run=run)) == {"outcome": "completed"}
    assert box.run("approvals", "revoke", approval_id).code == 0
    assert box.json("approvals", "show", approval_id)["state"] == "void"
    assert about(box, approval_id)[-1].predicate["event"] == "void"
    assert ask(client, wide("taken back"), tool="box__post", run=run) != approval_id
    assert not [row for row in box.lines("rows") if "taken back" in row]
    again = box.run("approvals", "revoke", approval_id)
    assert (again.code, "error[approval.ended]" in again.stderr) == (1, True)


def test_a_yes_for_one_call_and_a_question_can_be_taken_back_until_it_is_used(
    box: Box, client: ModernClient, alice: Person
) -> None:
    for name, approves in (("asked", False), ("answered", True)):
        approval_id = ask(client, wide(name))
        if approves:
            assert alice.answers(box, "approve", approval_id).code == 0
        assert box.run("approvals", "revoke", approval_id).code == 0
        second = ask(client, wide(name))
        assert second != approval_id
        assert alice.answers(box, "approve", second).code == 0
        assert outcome(client.call("box__drop", {"text": wide(name)})) == {"outcome": "completed"}
        assert "error[approval.ended]" in box.run("approvals", "revoke", second).stderr
    assert "error[approval.unknown]" in box.run("approvals", "revoke", "nothing").stderr


@pytest.mark.long
def test_it_ends_with_its_time_with_a_restart_and_with_another_policy(alice: Person, tmp_path: Any) -> None:
    from gateway.adapters.clock import SystemClock
    from tests.running import until

    policies = write_policy(tmp_path)
    more = f"approvals: {{ttl_seconds: 8}}\npolicy: {{path: {policies}}}\napprovers:\n{alice.listed()}"
    with boxed(tmp_path, more) as box:
        with ModernClient(box.gateway) as client:
            approval_id = approve_for_run(box, alice, client, wide("soon"), RUN)
            assert outcome(client.call("box__post", {"text": wide("now")}, run=RUN)) == {"outcome": "completed"}
            expires_at = box.json("approvals", "show", approval_id)["request"]["expires_at"]
            until(lambda: SystemClock().now() > expires_at, what="the expiry")
            assert ask(client, wide("late"), tool="box__post", run=RUN) != approval_id
            other = {"run_id": "r-5"}
            second = approve_for_run(box, alice, client, wide("before"), other)
            authz = policies / "authz.rego"
            authz.write_text(authz.read_text() + "\n# changed\n")
            assert box.run("policy", "reload").code == 0
            assert ask(client, wide("after"), tool="box__post", run=other) != second
        box.gateway.stop()
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            ask(client, wide("restarted"), tool="box__post", run=other)
        assert not [row for row in box.lines("rows") if any(word in row for word in ("late", "after", "restarted"))]
