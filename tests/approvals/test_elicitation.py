"""Asking the person at the client: the official SDK's client in both eras, and clients that lie."""

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitRequestFormParams, ElicitResult

from gateway.adapters.policy.bundle import default_policies
from gateway.core.obligations import Route
from tests.approvals.people import Person
from tests.approvals.policies import write_policy
from tests.approvals.test_answers import about
from tests.edge.box import Box, boxed
from tests.edge.clients import on_stdio
from tests.running import ModernClient, outcome, text

pytestmark = pytest.mark.anyio

ERAS = ("legacy", "2026-07-28")
OFFERS: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}}}
YES = ElicitResult(action="accept", content={"approve": True})
ENDS: dict[str, tuple[ElicitResult, dict[str, Any]]] = {
    "yes": (YES, {"outcome": "completed"}),
    "no": (
        ElicitResult(action="accept", content={"approve": False}),
        {"outcome": "denied", "reasons": ["approval.rejected"]},
    ),
    "nothing": (ElicitResult(action="accept", content={}), {"outcome": "denied", "reasons": ["approval.rejected"]}),
    "a text": (
        ElicitResult(action="accept", content={"approve": "true"}),
        {"outcome": "denied", "reasons": ["approval.rejected"]},
    ),
    "decline": (ElicitResult(action="decline"), {"outcome": "denied", "reasons": ["approval.rejected"]}),
}


@pytest.fixture(scope="module")
def box(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway that elicits, with the packaged policies: box__post is `network`, and asks for want of egress.

    These tests make many calls in a minute: that is no doubt here.
    """
    folder = tmp_path_factory.mktemp("elicits")
    shutil.copytree(default_policies(), folder / "policies")
    data = folder / "policies" / "data.json"
    data.write_text(data.read_text().replace('"network_calls_per_minute": 60', '"network_calls_per_minute": 6000'))
    more = f"approvals: {{elicitation: true}}\npolicy: {{path: {folder / 'policies'}}}\napprovers:\n{alice.listed()}"
    with boxed(folder, more) as running:
        yield running
        running.assert_sound()


@asynccontextmanager
async def sdk(box: Box, era: Any, answer: ElicitResult | None, seen: list[str]) -> AsyncIterator[Client]:
    """The official client; without `answer` it offers no elicitation."""

    async def asked(context: Any, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestFormParams)
        seen.append(params.message)
        assert answer is not None
        return answer

    headers = {"Authorization": f"Bearer {box.gateway.token}"}
    callback: Any = None if answer is None else asked
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(box.gateway.url, http_client=http), mode=era, elicitation_callback=callback) as client,
    ):
        yield client


async def call(client: Client, said: str, tool: str = "box__post") -> Any:
    """tools/call, as a wire document."""
    result = await client.call_tool(tool, {"text": said})
    return {"result": result.model_dump(by_alias=True, mode="json", exclude_none=True)}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("end", ENDS)
async def test_the_person_at_the_client_answers_and_the_call_goes_on(box: Box, era: str, end: str) -> None:
    answer, then = ENDS[end]
    said, seen = f"{end} {era}", list[str]()
    async with sdk(box, era, answer, seen) as client:
        done = await call(client, said)
    assert outcome(done) == then
    assert len(seen) == 1
    assert box.lines("rows").count(f"post {said}") == (1 if end == "yes" else 0)
    entry = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"])
    if end == "yes":
        told = entry.predicate["approval"]
        principal = entry.predicate["run"]["principal_chain"][0]
        assert (told["route"], told["approver"], told["answer"]) == ("elicitation", principal, "approve")
        answered = about(box, told["approval_id"])[-1]
        assert (answered.predicate["event"], answered.predicate["route"]) == ("approved", "elicitation")
        assert answered.predicate["keyid"] == answered.keyid  # the gateway's own word, by its entry key


@pytest.mark.parametrize("era", ERAS)
async def test_who_closes_the_form_has_not_answered(box: Box, alice: Person, era: str) -> None:
    seen: list[str] = []
    async with sdk(box, era, ElicitResult(action="cancel"), seen) as client:
        waiting = await call(client, f"later {era}")
        assert (outcome(waiting)["outcome"], len(seen)) == ("awaiting_approval", 1)
        approval_id = outcome(waiting)["approval_id"]
        assert alice.answers(box, "approve", approval_id).code == 0
        assert outcome(await call(client, f"later {era}")) == {"outcome": "completed"}
    assert len(seen) == 1


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_without_the_capability_is_told_to_wait(box: Box, era: str) -> None:
    async with sdk(box, era, None, []) as client:
        waiting = await call(client, f"cannot {era}")
    assert outcome(waiting)["outcome"] == "awaiting_approval"
    assert "sealgate approvals approve" in text(waiting)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("tool", ["box__drop"])
async def test_above_network_the_client_is_not_asked(box: Box, era: str, tool: str) -> None:
    seen: list[str] = []
    async with sdk(box, era, YES, seen) as client:
        waiting = await call(client, f"above {era}", tool)
    assert outcome(waiting)["outcome"] == "awaiting_approval"
    assert seen == []


async def test_what_the_person_sees_is_what_will_run_and_cannot_deceive(box: Box) -> None:
    said, seen = "pay\u202e 100\u200b\u0430\x7f\n\u001b[2J <!-- --> <b> &lt; ``` [x](/y 'z') approve?", list[str]()
    async with sdk(box, "2026-07-28", ElicitResult(action="cancel"), seen) as client:
        waiting = await call(client, said)
    (message,) = seen
    assert set(message) <= set(map(chr, range(32, 127))) | {"\n"}
    assert not set(message.replace("```", "")) & set("<>&`")
    _, request, after = message.split("```")  # of which a client that renders Markdown hides nothing
    assert after == ""
    shown = json.loads(request.split("arguments  sha256:")[1].partition("\n")[2])
    assert shown == {"text": said}
    stored = box.json("approvals", "show", outcome(waiting)["approval_id"])
    assert stored["request"]["call_digest"] in message
    assert "box__post  (network)" in message


async def test_a_call_too_long_to_be_shown_whole_is_not_asked_about(box: Box) -> None:
    seen: list[str] = []
    async with sdk(box, "2026-07-28", YES, seen) as client:
        waiting = await call(client, "x" * 9000)
    assert (outcome(waiting)["outcome"], seen) == ("awaiting_approval", [])


def test_over_stdio_the_client_is_asked_too(box: Box, tmp_path: Any) -> None:
    with on_stdio(box.gateway.folder / "gateway.yaml", tmp_path / "errors") as (client, _):
        client.send(
            b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":'
            b'{"elicitation":{}},"clientInfo":{"name":"raw","version":"1"}}}\n'
        )
        assert (client.receive(60) or {})["id"] == 1
        client.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        client.send(
            b'{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"box__post","arguments":{"text":"line"}}}\n'
        )
        question = client.receive(60) or {}
        assert question["method"] == "elicitation/create"
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {"approve": True}}}
        client.send(json.dumps(answer).encode() + b"\n")
        done = client.receive(60) or {}
    assert (done["id"], outcome(done)) == (2, {"outcome": "completed"})
    assert box.lines("rows").count("post line") == 1


# --- 2026-07-28, by hand: what a client could try ---


def asked(client: ModernClient, said: str, **more: Any) -> dict[str, Any]:
    params = {"name": "box__post", "arguments": {"text": said}, **more}
    return client.request("tools/call", params, OFFERS)


def accepted(state: Any) -> dict[str, Any]:
    """What a client sends with the call when its person said yes."""
    return {"requestState": state, "inputResponses": {"approval": {"action": "accept", "content": {"approve": True}}}}


def test_the_state_is_good_for_one_use(box: Box, client: ModernClient) -> None:
    required = asked(client, "replayed")["result"]
    assert (required["resultType"], required["_meta"]["dev.sealgate/outcome"]["outcome"]) == (
        "input_required",
        "awaiting_approval",
    )
    answer = accepted(required["requestState"])
    told = [outcome(asked(client, "replayed", **answer))["outcome"] for _ in range(3)]
    assert told == ["completed", "replayed", "replayed"]
    assert box.lines("rows").count("post replayed") == 1


def test_a_used_state_answers_nothing_anew(box: Box, client: ModernClient) -> None:
    first = asked(client, "cancelled")["result"]["requestState"]
    cancel = {"requestState": first, "inputResponses": {"approval": {"action": "cancel"}}}
    assert outcome(asked(client, "cancelled", **cancel))["outcome"] == "awaiting_approval"
    assert "requestState" in asked(client, "cancelled", **accepted(first))["error"]["message"]
    second = asked(client, "cancelled")["result"]["requestState"]
    assert outcome(asked(client, "cancelled", **accepted(second))) == {"outcome": "completed"}


def _flipped(state: str) -> str:
    return state[:30] + ("A" if state[30] != "A" else "B") + state[31:]


SPOILED: list[Callable[[str], Any]] = [
    _flipped,
    lambda state: state[:-4],
    lambda state: "",
    lambda state: 7,
    lambda state: {},
]


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_changed_state_is_refused(box: Box, client: ModernClient, spoil: Callable[[str], Any]) -> None:
    state = asked(client, "forged state")["result"]["requestState"]
    refused = asked(client, "forged state", **accepted(spoil(state)))
    assert refused["error"]["code"] == -32602
    assert "post forged state" not in box.lines("rows")


def test_the_state_of_one_call_answers_no_other(box: Box, client: ModernClient) -> None:
    state = asked(client, "mine")["result"]["requestState"]
    refused = asked(client, "yours", **accepted(state))
    assert refused["error"]["code"] == -32602
    assert "post yours" not in box.lines("rows")
    assert outcome(asked(client, "mine", **accepted(state))) == {"outcome": "completed"}


def test_a_response_without_a_state_or_of_another_form_approves_nothing(box: Box, client: ModernClient) -> None:
    bare = accepted(None)
    del bare["requestState"]
    assert asked(client, "no state", **bare)["result"]["resultType"] == "input_required"
    state = asked(client, "no state")["result"]["requestState"]
    refused = asked(client, "no state", requestState=state, inputResponses={"approval": {"action": "perhaps"}})
    assert "error" in refused
    assert "post no state" not in box.lines("rows")


def test_a_call_that_is_destructive_is_not_approved_by_what_a_client_sends_along(box: Box, client: ModernClient) -> None:
    state = asked(client, "lent")["result"]["requestState"]
    params = {"name": "box__drop", "arguments": {"text": "lent"}, **accepted(state)}
    assert outcome(client.request("tools/call", params, OFFERS))["outcome"] == "awaiting_approval"
    assert "drop lent" not in box.lines("rows")


def test_it_is_off_by_default(alice: Person, tmp_path: Any) -> None:
    with boxed(tmp_path, "approvers:\n" + alice.listed()) as plain, ModernClient(plain.gateway) as client:
        assert outcome(asked(client, "off"))["outcome"] == "awaiting_approval"


def test_policy_can_take_the_route_away_or_let_an_elicited_yes_be_one_of_two(alice: Person, tmp_path: Any) -> None:
    more = f"approvals: {{elicitation: true}}\npolicy: {{path: {write_policy(tmp_path)}}}\napprovers:\n{alice.listed()}"
    with boxed(tmp_path, more) as box, ModernClient(box.gateway) as client:
        assert outcome(asked(client, 'no || {"routes": ["cli"]}'))["outcome"] == "awaiting_approval"
        for wanted in ('{"quorum": {"count": 1}}', '{"quorum": {"count": 2}}', '{"approver": "user:dev"}'):
            assert outcome(asked(client, f"people || {wanted}"))["outcome"] == "awaiting_approval"
            assert "requestState" not in asked(client, f"people || {wanted}")["result"]
        two = 'two || {"quorum": {"count": 2}, "routes": ["cli", "elicitation"]}'
        state = asked(client, two)["result"]["requestState"]
        waiting = outcome(asked(client, two, **accepted(state)))
        assert waiting["outcome"] == "awaiting_approval"
        assert outcome(asked(client, two)) == waiting  # the principal has answered, and is not asked again
        assert alice.answers(box, "approve", waiting["approval_id"]).code == 0
        done = asked(client, two)
        assert outcome(done) == {"outcome": "completed"}
        told = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"]).predicate["approval"]
        assert [one["route"] for one in told["answers"]] == [Route.ELICITATION, Route.CLI]


def test_what_was_elicited_counts_no_more_when_the_operator_turns_it_off(alice: Person, tmp_path: Any) -> None:
    config = f"policy: {{path: {write_policy(tmp_path)}}}\napprovers:\n{alice.listed()}"
    two = 'off || {"quorum": {"count": 2}, "routes": ["cli", "elicitation"]}'
    with boxed(tmp_path, "approvals: {elicitation: true}\n" + config) as box:
        with ModernClient(box.gateway) as client:
            approval_id = outcome(asked(client, two, **accepted(asked(client, two)["result"]["requestState"])))[
                "approval_id"
            ]
            assert alice.answers(box, "approve", approval_id).code == 0
        box.gateway.stop()
        path = box.gateway.folder / "gateway.yaml"
        path.write_text(path.read_text().replace("elicitation: true", "elicitation: false"))
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            assert outcome(asked(client, two))["approval_id"] != approval_id
        assert box.lines("rows") == []
