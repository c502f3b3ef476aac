"""A yes is about the doubts that were shown: where policy has another one meanwhile, a person is asked anew."""

from collections.abc import Iterator

import pytest

from tests.approvals.people import Person, ask
from tests.edge.box import Box, configured
from tests.running import ModernClient, RunningGateway, outcome

POLICY = """package sealgate.authz

default decision := {"effect": "allow", "reasons": [], "obligations": {}}

reasons contains {"code": "test.mode", "message": "It has an effect."}

reasons contains {"code": "test.tainted", "message": "Its run read strangers."} if input.context.provenance.tainted

decision := {"effect": "ask", "reasons": sort(reasons), "obligations": {"approve_for": "run"}} if {
	input.resource.properties.mode != "read_only"
}
"""


@pytest.fixture(scope="module")
def box(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway whose tool `box__echo` may say what a stranger wrote."""
    folder = tmp_path_factory.mktemp("doubts")
    policies = folder / "policies"
    for made in (policies, folder / "box"):
        made.mkdir()
    (policies / "authz.rego").write_text(POLICY)
    more = f"  - {{match: box__echo, mode: read_only}}\npolicy: {{path: {policies}}}\napprovers:\n{alice.listed()}"
    gateway = RunningGateway(folder)
    gateway.configure(configured(folder / "box", more).replace("[box__echo, ", "["))
    with gateway:
        running = Box(gateway, folder / "box")
        assert running.run("tools", "approve", "--all", "--yes").code == 0
        yield running
        running.assert_sound()


@pytest.mark.parametrize("reach", ["once", "run"])
@pytest.mark.parametrize("tool", ["box__post", "box__add_row"])
def test_a_yes_from_before_the_run_read_strangers_is_none_after(
    box: Box, client: ModernClient, alice: Person, reach: str, tool: str
) -> None:
    text, run = f"{tool} {reach}", {"run_id": f"{tool}-{reach}"}
    approval_id = ask(client, text, tool=tool, run=run)
    assert alice.answers(box, "approve", approval_id, "--for", reach).code == 0
    assert outcome(client.call("box__echo", {"text": "from a stranger"}, run=run)) == {"outcome": "completed"}
    second = ask(client, text, tool=tool, run=run)
    assert second != approval_id
    assert box.json("approvals", "show", approval_id)["state"] == "void"
    assert not [row for row in box.lines("rows") if row.endswith(text)]
    shown = box.json("approvals", "show", second)["request"]
    assert [reason["code"] for reason in shown["reasons"]] == ["test.mode", "test.tainted"]
    assert alice.answers(box, "approve", second).code == 0
    assert outcome(client.call(tool, {"text": text}, run=run)) == {"outcome": "completed"}


def test_a_question_that_waits_is_asked_anew_with_the_new_doubt(box: Box, client: ModernClient, alice: Person) -> None:
    run = {"run_id": "waits"}
    approval_id = ask(client, "waits", tool="box__post", run=run)
    client.call("box__echo", {"text": "from a stranger"}, run=run)
    assert ask(client, "waits", tool="box__post", run=run) != approval_id
    assert "error[approval.already_answered]" in alice.answers(box, "approve", approval_id).stderr
