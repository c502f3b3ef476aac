"""An A2A agent behind the gateway: what its card becomes, what a call is, and how its task ends."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.keys import write_private_text
from gateway.adapters.upstream.a2a.card import UnusableCard, offered
from gateway.adapters.upstream.credentials.spec import FromFile, StaticSpec
from gateway.adapters.upstream.spec import AgentSpec, Limits
from gateway.adapters.upstream.status import State
from gateway.core.approval import Grant
from gateway.core.capability import ApprovalMode
from gateway.core.conversation import SILENT
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.obligations import Obligations
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply
from tests.openapi.stub import Reply, serving
from tests.running import free_port
from tests.upstream.a2a_agent import CARD_PATH, SECRET, Agent, card, said, task
from tests.upstream.world import TRACEPARENT, World, eventually, running

pytestmark = pytest.mark.anyio

LIMITS = Limits(deadline_seconds=5.0, refresh_seconds=60.0, max_result_bytes=10_000, breaker_failures=0)
HASTY = replace(LIMITS, deadline_seconds=0.6)


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    with serving(agent.answer) as agent.stub:
        yield agent


def spec(agent: Agent, **more: Any) -> AgentSpec:
    assert agent.stub is not None
    told: dict[str, Any] = {"headers": {"Authorization": SECRET}, "limits": LIMITS, **more}
    return AgentSpec("travel", agent.stub.url + CARD_PATH, **told)


def going_on(polled: Any) -> dict[str, list[Any]]:
    """The answers of an agent that works at a task, and says `polled` of it when it is asked."""
    return {"SendMessage": [{"task": task("WORKING")}], "GetTask": [polled], "CancelTask": [task("CANCELED")]}


async def call(
    world: World, tool: str = "book", obligations: Obligations | None = None, **arguments: Any
) -> UpstreamReply | Reason:
    """Ready, then run."""
    given = {"message": "To Rome", **arguments}
    sealed = world.call("travel", tool, given, capability=world.capability("travel", tool, ApprovalMode.DELEGATED))
    grant = Grant(sealed, PolicyDecision("d", "test", "r", Effect.ALLOW, (), obligations or Obligations()))
    return await world.upstreams.ready(grant) or await world.upstreams.run(grant, SILENT)


async def result(agent: Agent, *answers: Any, polled: tuple[Any, ...] = (), **arguments: Any) -> dict[str, Any]:
    """The document of a call of an agent that answers so."""
    if answers:
        agent.answers = {"SendMessage": list(answers), "GetTask": list(polled)}
    async with running(spec(agent)) as world:
        reply = await call(world, **arguments)
    assert isinstance(reply, ToolReply), reply
    assert reply.protocol == "a2a-1.0"
    return reply.document


async def test_each_skill_is_a_tool_whose_definition_says_who_is_called_and_where(agent: Agent) -> None:
    async with running(spec(agent)) as world:
        tools = world.tools("travel")
        assert (world.status("travel").state, world.status("travel").tools) == (State.UP, 2)
    assert set(tools) == {"book", "cancel"}
    document = tools["book"].document
    assert agent.stub is not None
    assert document["_meta"] == {
        "dev.sealgate/declared": {"mode": "delegated"},
        "dev.sealgate/agent": {
            "name": "Travel",
            "version": "2.1.0",
            "url": f"{agent.stub.url}/a2a",
            "provider": "Example Travel https://travel.example",
        },
    }
    assert document["title"] == "Book a journey"
    assert document["description"] == ("Finds and books a journey.\n\nExamples:\n* Paris to Rome on Friday\n\nTags: travel")


async def test_a_call_is_one_message_in_the_name_of_the_caller(agent: Agent) -> None:
    told = await result(agent, data={"class": 2}, context_id="ctx-0", task_id="task-0")
    assert told == {"content": [{"type": "text", "text": "Booked."}]}
    assert agent.asked("SendMessage") == [
        {
            "message": {
                "messageId": "e",
                "role": "ROLE_USER",
                "parts": [{"text": "To Rome"}, {"data": {"class": 2}, "mediaType": "application/json"}],
                "contextId": "ctx-0",
                "taskId": "task-0",
            },
            "configuration": {"acceptedOutputModes": ["text/plain", "application/json"]},
            "metadata": {"dev.sealgate/skill": "book", "dev.sealgate/on-behalf-of": "user:alice"},
        }
    ]
    assert agent.stub is not None
    headers = agent.stub.seen[-1].headers
    assert (headers["a2a-version"], headers["traceparent"], headers["authorization"]) == ("1.0", TRACEPARENT, SECRET)


async def test_what_a_finished_task_made_is_the_content(agent: Agent) -> None:
    parts = [
        {"text": "Here it is"},
        {"data": {"price": 42}, "mediaType": "application/json"},
        {"raw": "iVBORw", "mediaType": "image/png"},
        {"raw": "-_8=", "mediaType": "application/pdf", "filename": "my ticket.pdf"},
        {"url": "https://travel.example/t/1", "filename": "ticket", "mediaType": "text/html"},
    ]
    artifacts = [{"artifactId": "a", "parts": parts}]
    told = await result(agent, {"task": task("COMPLETED", artifacts=artifacts, status={"message": said({"text": "Bye"})})})
    assert told == {
        "content": [
            {"type": "text", "text": "Here it is"},
            {"type": "text", "text": '{"price":42}'},
            {"type": "image", "data": "iVBORw==", "mimeType": "image/png"},
            {
                "type": "resource",
                "resource": {"uri": "a2a:my%20ticket.pdf", "blob": "+/8=", "mimeType": "application/pdf"},
            },
            {"type": "resource_link", "uri": "https://travel.example/t/1", "name": "ticket", "mimeType": "text/html"},
            {"type": "text", "text": "Bye"},
        ],
        "structuredContent": {"price": 42},
        "_meta": {"a2a": {"task_id": "task-1", "context_id": "ctx-1", "state": "TASK_STATE_COMPLETED"}},
    }


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("FAILED", "The agent's task failed."),
        ("CANCELED", "The agent's task was canceled."),
        ("REJECTED", "The agent rejected the task."),
        (
            "INPUT_REQUIRED",
            "The agent asks for input. To go on, call this tool again with the answer as message and "
            "task_id task-1 and context_id ctx-1.",
        ),
        (
            "AUTH_REQUIRED",
            "The agent asks for an authorization, which must be given to it directly, not by this tool. "
            "Then call this tool again with task_id task-1 and context_id ctx-1.",
        ),
    ],
)
async def test_a_task_that_did_not_succeed_is_an_error_that_says_how_to_go_on(
    agent: Agent, state: str, sentence: str
) -> None:
    told = await result(agent, {"task": task(state, status={"message": said({"text": "Which day?"})})})
    assert told["isError"] is True
    assert [item["text"] for item in told["content"]] == [sentence, "Which day?"]


@pytest.mark.parametrize("meanwhile", [task("WORKING"), Reply(cut=True), Reply(503)])
async def test_a_task_that_goes_on_is_asked_for_until_it_ends(agent: Agent, meanwhile: Any) -> None:
    told = await result(agent, {"task": task("SUBMITTED")}, polled=(meanwhile, task("COMPLETED")))
    assert told["_meta"]["a2a"]["state"] == "TASK_STATE_COMPLETED"
    assert agent.asked("GetTask") == [{"id": "task-1", "historyLength": 0}] * 2
    assert len(agent.asked("SendMessage")) == 1


async def test_a_task_that_does_not_end_in_time_is_canceled_and_in_doubt(agent: Agent) -> None:
    agent.answers = going_on(task("WORKING"))
    async with running(spec(agent, limits=HASTY)) as world:
        reply = await call(world)
        assert isinstance(reply, NoAnswer)
        assert reply.reason.code == "upstream.timeout"
        await eventually(lambda: agent.asked("CancelTask") == [{"id": "task-1"}])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (-32602, "upstream error -32602: no such task"),
        (Reply(403, b"no"), "upstream error 403: HTTP status"),
        (Reply(302, headers={"location": "http://127.0.0.1:1/"}), "upstream error 302: HTTP status"),
    ],
)
async def test_a_refusal_is_an_answer(agent: Agent, answer: Any, text: str) -> None:
    told = await result(agent, answer)
    assert (told["isError"], told["content"][0]["text"]) == (True, text)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Reply(cut=True), "upstream.lost"),
        (Reply(504), "upstream.lost"),
        (Reply(200, b"{}"), "upstream.malformed"),
        (Reply(200, b"x" * 20_000), "upstream.flood"),
        ({}, "upstream.malformed"),
        ({"task": task("COMPLETED"), "message": said()}, "upstream.malformed"),
        ({"task": task("UNSPECIFIED")}, "upstream.malformed"),
        ({"task": {**task("COMPLETED"), "id": "a b"}}, "upstream.malformed"),
        ({"message": said({"text": "a", "url": "b"})}, "upstream.malformed"),
        ({"message": said({"raw": "%"})}, "upstream.malformed"),
    ],
)
async def test_what_is_no_answer_leaves_the_call_in_doubt_and_is_sent_once(agent: Agent, answer: Any, code: str) -> None:
    agent.answers = {"SendMessage": [answer]}
    async with running(spec(agent)) as world:
        reply = await call(world)
    assert isinstance(reply, NoAnswer), reply
    assert reply.reason.code == code
    assert len(agent.asked("SendMessage")) == 1


@pytest.mark.parametrize(
    ("polled", "code"), [(-32001, "upstream.lost"), ({**task("COMPLETED"), "id": "x"}, "upstream.malformed")]
)
async def test_a_task_whose_end_is_not_told_is_in_doubt(agent: Agent, polled: Any, code: str) -> None:
    agent.answers = going_on(polled)
    async with running(spec(agent)) as world:
        reply = await call(world)
    assert isinstance(reply, NoAnswer), reply
    assert reply.reason.code == code


async def test_a_changed_card_is_seen_before_the_call_and_nothing_is_sent(agent: Agent) -> None:
    async with running(spec(agent)) as world:
        capability = world.capability("travel", "book", ApprovalMode.DELEGATED)
        sealed = world.call("travel", "book", {"message": "To Rome"}, capability=capability)
        agent.changes = {"version": "2.2.0"}
        reason = await world.ready_sealed(sealed)
    assert reason is not None
    assert reason.code == "tool.drifted"
    assert agent.asked("SendMessage") == []


@pytest.mark.parametrize("hosts", [(), ("localhost:1",)])
@pytest.mark.parametrize("url", ["http://localhost:{port}/a2a", "https://127.0.0.1:{port}/a2a", "http://127.0.0.1:1/a2a"])
async def test_a_card_cannot_send_calls_elsewhere(agent: Agent, url: str, hosts: tuple[str, ...]) -> None:
    assert agent.stub is not None
    interface = {"url": url.format(port=agent.stub.port), "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    agent.changes = {"supportedInterfaces": [interface]}
    async with running(spec(agent, hosts=hosts)) as world:
        status = world.status("travel")
        assert (status.state, status.tools) == (State.DOWN, 0)
        assert "list it in hosts" in str(status.reason)


async def test_a_host_that_the_operator_listed_may_be_called(agent: Agent) -> None:
    assert agent.stub is not None
    host = f"localhost:{agent.stub.port}"
    interface = {"url": f"http://{host}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.1", "tenant": "t-1"}
    agent.changes = {"supportedInterfaces": [interface]}
    async with running(spec(agent, hosts=(host,))) as world:
        assert isinstance(await call(world), ToolReply)
        assert agent.asked("SendMessage")[0]["tenant"] == "t-1"
        refused = await call(world, obligations=Obligations(egress=(f"127.0.0.1:{agent.stub.port}",)))
        assert isinstance(refused, Reason), refused


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"supportedInterfaces": []}, 200, "names no JSON-RPC interface"),
        ({"supportedInterfaces": None}, 200, "is no A2A 1.0 agent card"),
        ({"name": 1}, 200, "is no A2A 1.0 agent card"),
        ({"skills": [{"id": str(number)} for number in range(1001)]}, 200, "more than 1000 skills"),
        ({}, 404, "cannot be fetched"),
    ],
)
async def test_an_unusable_card_takes_the_agent_down_with_a_reason(
    agent: Agent, changes: dict[str, Any], status: int, reason: str
) -> None:
    agent.changes, agent.card_status = changes, status
    async with running(spec(agent)) as world:
        assert world.status("travel").state is State.DOWN
        assert reason in str(world.status("travel").reason)


async def test_a_skill_that_is_none_takes_no_other_along(agent: Agent) -> None:
    agent.changes = {"skills": [{"id": 1}, {"name": "x"}, {"id": "fine"}]}
    async with running(spec(agent)) as world:
        assert set(world.tools("travel")) == {"fine"}


@pytest.mark.parametrize(
    ("url", "is_called"),
    [
        ("http://localhost:8080/a2a", True),
        ("http://agents.example/a2a", False),
        ("https://agents.example/a2a", False),
        ("http://u@localhost:8080/a2a", False),
        ("http://localhost:8080\\.elsewhere.example/a2a", False),
    ],
)
def test_what_is_sent_to_a_listed_host_is_encrypted_where_that_is_another_machine(url: str, is_called: bool) -> None:
    told = card("http://localhost:8080")
    told["supportedInterfaces"] = [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]
    spec = AgentSpec("travel", f"http://localhost:8080{CARD_PATH}", hosts=("agents.example",))
    try:
        assert offered(json.dumps(told).encode(), spec).interface.url == url
        found = True
    except UnusableCard:
        found = False
    assert found is is_called


async def test_credentials_go_with_card_and_calls_and_a_refusal_of_them_is_certainly_no_effect(
    agent: Agent, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    write_private_text(secret, SECRET)
    shown = StaticSpec("Authorization", None, FromFile(str(secret)))
    async with running(spec(agent, headers={}, credentials=shown)) as world:
        assert isinstance(await call(world), ToolReply)
        agent.answers = {"SendMessage": [Reply(401)]}
        refused = await call(world)
    assert isinstance(refused, NotSent), refused
    assert refused.reason.code == "upstream.unauthorized"


async def test_an_agent_that_takes_no_connection_was_sent_nothing(agent: Agent) -> None:
    dead = f"localhost:{free_port()}"
    interface = {"url": f"http://{dead}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    agent.changes = {"supportedInterfaces": [interface]}
    async with running(spec(agent, hosts=(dead,))) as world:
        reply = await call(world)
    assert isinstance(reply, NotSent), reply
    assert reply.reason.code == "upstream.unavailable"
