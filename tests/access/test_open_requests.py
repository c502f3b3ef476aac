"""What stands open: bounded for each caller, and over when what let the caller in is."""

import anyio
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge import open_requests
from gateway.edge.auth import Caller
from gateway.edge.open_requests import MAX_READ_PER_CALLER, MAX_STANDING_PER_CALLER, OpenRequests

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/mcp", "headers": []}


def caller(name: str = "a", *, until: float | None = None) -> Caller:
    principal = Principal(PrincipalKind.SERVICE, name)
    return Caller("example", principal, (), frozenset({"agent"}), credential=f"key:{name}", valid_until=until)


class Client:
    """What a client gets of one request."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.answered, self.ended = anyio.Event(), anyio.Event()

    async def send(self, message: Message) -> None:
        self.got.append(dict(message))
        self.answered.set()
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.ended.set()

    @property
    def status(self) -> int:
        return int(self.got[0]["status"])


async def nothing() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


def stream(begun: bool = True) -> tuple[anyio.Event, ASGIApp]:
    """An app whose answer never ends, and when it was called."""
    called = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        called.set()
        await anyio.sleep_forever()

    return called, app


@pytest.mark.anyio
@pytest.mark.parametrize("begun", [True, False])
async def test_it_ends_whole_where_it_was_begun_and_is_refused_where_it_was_not(begun: bool) -> None:
    requests, client, other = OpenRequests(), Client(), Client()
    called, app = stream(begun)
    other_called, other_app = stream()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(_serve, requests, app, client, caller())
            group.start_soon(_serve, requests, other_app, other, caller("b"))
            await called.wait()
            await other_called.wait()
            requests.end("key:a")
            await client.ended.wait()
            assert client.status == (200 if begun else 401)
            assert len(other.got) == 1, "that of another caller stays open"
            group.cancel_scope.cancel()


@pytest.mark.anyio
async def test_what_is_let_in_until_a_time_stands_open_until_then() -> None:
    requests, client = OpenRequests(lambda: 1000.0), Client()
    _, app = stream()
    with anyio.fail_after(5):
        await _serve(requests, app, client, caller(until=1000.05))
    assert client.got[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.anyio
async def test_a_request_that_does_not_come_as_a_whole_is_refused_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_requests, "READ_SECONDS", 0.05)
    with anyio.fail_after(5):
        refusal = await OpenRequests().read(caller(), nothing)
    assert isinstance(refusal, Response)
    assert refusal.status_code == 408


@pytest.mark.anyio
async def test_a_caller_can_have_so_many_half_sent_requests_and_harms_no_other() -> None:
    requests = OpenRequests()

    async def whole() -> bytes:
        return b"{}"

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(MAX_READ_PER_CALLER):
                group.start_soon(requests.read, caller(), nothing)
            await anyio.wait_all_tasks_blocked()
            refusal = await requests.read(caller(), whole)
            assert isinstance(refusal, Response)
            assert refusal.status_code == 429
            assert await requests.read(caller("b"), whole) == b"{}"
            group.cancel_scope.cancel()
    assert await requests.read(caller(), whole) == b"{}"


@pytest.mark.anyio
async def test_a_request_that_came_whole_in_the_moment_its_key_was_revoked_is_refused() -> None:
    requests = OpenRequests()

    async def body() -> bytes:
        requests.end("key:a")
        return b"{}"

    refusal = await requests.read(caller(), body)
    assert isinstance(refusal, Response)
    assert refusal.status_code == 401


@pytest.mark.anyio
async def test_a_caller_has_so_many_open_and_harms_no_other() -> None:
    requests = OpenRequests()
    _, app = stream()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            clients = [Client() for _ in range(MAX_STANDING_PER_CALLER)]
            for client in clients:
                group.start_soon(_serve, requests, app, client, caller())
            for client in clients:
                await client.answered.wait()
            one_more, other = Client(), Client()
            await _serve(requests, app, one_more, caller())
            assert one_more.status == 429
            group.start_soon(_serve, requests, app, other, caller("b"))
            await other.answered.wait()
            assert other.status == 200
            requests.end("key:a")
            for client in clients:
                await client.ended.wait()
            await anyio.wait_all_tasks_blocked()
            again = Client()
            group.start_soon(_serve, requests, app, again, caller())
            await again.answered.wait()
            assert again.status == 200
            group.cancel_scope.cancel()
    assert requests._open == {}


async def _serve(requests: OpenRequests, app: ASGIApp, client: Client, who: Caller) -> None:
    await requests.serve(app, SCOPE, nothing, client.send, who, stands=True)
