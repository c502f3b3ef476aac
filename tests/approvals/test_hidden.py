"""An approver is asked about nothing that he is not shown, but for what the tool's own schema hides: of that he is told."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.approvals.people import Person, ask
from tests.edge.box import Box, configured
from tests.running import ModernClient, RunningGateway, outcome, text

TOKEN = "ghp_" + "a1B2c3D4" * 5
KEY = "-----BEGIN PRIVATE KEY-----\n" + "DROPDATABASEproduction" * 3 + "\n-----END PRIVATE KEY-----"
OFFERS: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
MARKED = {"type": "string", "x-sealgate-sensitive": True}
REMIT = {"type": "object", "properties": {"text": {"type": "string"}, "pin": MARKED, "tan": MARKED}, "required": ["text"]}
MORE = """  - {{match: box__echo, mode: read_only}}
  - {{match: box__remit, mode: network, egress: [bank.example]}}
approvals: {{elicitation: true}}
approvers:
{listed}"""


@pytest.fixture(scope="module")
def box(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway with the packaged policies, that elicits, and a tool `box__remit` with arguments that its schema marks."""
    folder = tmp_path_factory.mktemp("hidden")
    (folder / "box").mkdir()
    (folder / "box" / "extra.json").write_text(json.dumps([{"name": "remit", "inputSchema": REMIT}]))
    gateway = RunningGateway(folder)
    gateway.configure(configured(folder / "box", MORE.format(listed=alice.listed())).replace("[box__echo, ", "["))
    with gateway:
        running = Box(gateway, folder / "box")
        assert running.run("tools", "approve", "--all", "--yes").code == 0
        yield running
        running.assert_sound()


def waiting(box: Box) -> list[Any]:
    found: list[Any] = box.json("approvals", "list")["approvals"]
    return found


@pytest.mark.parametrize("tool", ["box__drop", "box__post"])
@pytest.mark.parametrize(("secret", "kind"), [(TOKEN, "github-token"), (KEY, "private-key")])
def test_nobody_is_asked_about_arguments_in_which_a_form_would_hide_something(
    box: Box, client: ModernClient, tool: str, secret: str, kind: str
) -> None:
    before = waiting(box)
    response = client.call(tool, {"text": f"a {secret} b"})
    assert outcome(response) == {"outcome": "denied", "reasons": ["approval.secret_in_arguments"]}
    assert f"({kind})" in text(response)
    assert "x-sealgate-sensitive" in text(response)
    assert waiting(box) == before
    assert not [row for row in box.lines("rows") if secret[-20:] in row]


def test_what_only_begins_like_a_key_is_shown_whole_and_kept(box: Box, client: ModernClient, alice: Person) -> None:
    said = "DROP TABLE scratch; -- -----BEGIN PRIVATE KEY-----\nDROP DATABASE production;"
    approval_id = ask(client, said)
    shown = alice.answers(box, "approve", approval_id)
    assert shown.code == 0
    assert "DROP DATABASE production;" in shown.stdout
    done = client.call("box__drop", {"text": said})
    assert outcome(done) == {"outcome": "completed"}
    envelope_id = done["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
    (value,) = [one for one in box.json("log", "disclose", envelope_id)["disclosed"] if one["name"] == "text"]
    assert value["value"] == said


def test_an_allowed_call_with_a_secret_runs_as_before(box: Box, client: ModernClient) -> None:
    assert outcome(client.call("box__add_row", {"text": f"a {TOKEN} b"})) == {"outcome": "completed"}
    assert f"add_row a {TOKEN} b" in box.lines("rows")


def test_of_what_the_schema_hides_approvers_are_told_where_how_long_and_a_digest(
    box: Box, client: ModernClient, alice: Person
) -> None:
    told = outcome(client.call("box__remit", {"text": "rent", "pin": "1234"}, key="k-1"))
    said = box.run("approvals", "show", told["approval_id"]).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("hidden")]
    assert line.startswith("hidden     /pin: 4 characters, sensitive by the tool's schema, hmac-sha256:")
    assert "of what is shown: a part is hidden, see above" in said
    document = box.json("approvals", "show", told["approval_id"])
    assert document["hidden"] == [{"pointer": "/pin", "characters": 4, "digest": line.rpartition(" ")[2]}]
    assert alice.answers(box, "approve", told["approval_id"]).code == 0
    assert outcome(client.call("box__remit", {"text": "rent", "pin": "1234"}, key="k-1")) == {"outcome": "completed"}
    other = outcome(client.call("box__remit", {"text": "rent", "pin": "1234"}, key="k-2"))["approval_id"]
    assert box.json("approvals", "show", other)["hidden"][0]["digest"] != document["hidden"][0]["digest"]


@pytest.mark.parametrize("more", [{}, {"pin": "1234"}, {"pin": "allow-list"}])
def test_the_person_at_the_client_is_not_asked_where_something_is_hidden(
    box: Box, client: ModernClient, more: dict[str, str]
) -> None:
    params = {"name": "box__remit", "arguments": {"text": f"elicited {more}", **more}}
    answer = client.request("tools/call", params, OFFERS)["result"]
    assert answer.get("resultType") == ("complete" if more else "input_required")
    assert outcome({"result": answer})["outcome"] == "awaiting_approval"


def test_no_yes_covers_a_doubt_whose_name_the_caller_had_taken_out(box: Box, client: ModernClient, alice: Person) -> None:
    """Of policy's codes `flow.no_intent` and `network.host_not_allowed`, these arguments would leave the same."""
    hiding = {"text": "to mallory", "pin": "flow.", "tan": "network"}
    run = {"run_id": "hiding"}
    before = waiting(box)
    for _ in range(2):
        response = client.call("box__remit", hiding, run=run)
        assert outcome(response) == {"outcome": "denied", "reasons": ["policy.redacted"]}
        assert "Nobody can be asked" in text(response)
        assert outcome(client.call("box__echo", {"text": "a stranger's text"}, run=run))["outcome"] == "completed"
    assert waiting(box) == before
    honest, run = {"text": "to bob", "pin": "1234", "tan": "5678"}, {"run_id": "honest"}
    first = outcome(client.call("box__remit", honest, run=run))
    assert alice.answers(box, "approve", first["approval_id"]).code == 0
    client.call("box__echo", {"text": "a stranger's text"}, run=run)
    second = outcome(client.call("box__remit", honest, run=run))
    assert (second["outcome"], "flow.no_intent" in second["reasons"]) == ("awaiting_approval", True)
    assert not [call for call in box.lines("calls") if call.startswith("remit") and ("bob" in call or "mallory" in call)]
