"""An API behind the gateway: what its answers become, and that an effect is sent once or not at all."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.upstream.spec import Limits, OpenApiSpec
from gateway.adapters.upstream.status import State
from gateway.core.approval import Grant
from gateway.core.capability import ApprovalMode
from gateway.core.conversation import SILENT
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply
from tests.openapi.documents import document, operation, parameter
from tests.openapi.stub import Reply, Seen, Stub, as_json, serving
from tests.upstream.world import World, eventually, running

pytestmark = pytest.mark.anyio

LIMITS = Limits(deadline_seconds=5.0, refresh_seconds=1.0, max_result_bytes=10_000)
BODY = {"content": {"application/json": {"schema": {"type": "object"}}}}


def notes(**changed: Any) -> dict[str, Any]:
    """The document of the API: one note at `/notes/{id}`."""
    item: dict[str, Any] = {
        method: operation(operationId=method, parameters=[parameter("id", "path")])
        for method in ("get", "head", "put", "delete")
    }
    item["post"] = operation(operationId="post", parameters=[parameter("id", "path")], requestBody=BODY)
    return document({"/notes/{id}": {**item, **changed}})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(notes()))
    return path


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(lambda seen: as_json({"id": seen.target})) as stub:
        yield stub


def spec(stub: Stub, file: Path | str, **more: Any) -> OpenApiSpec:
    return OpenApiSpec("api", str(file), stub.url, limits=more.pop("limits", LIMITS), **more)


def rewrite(file: Path, what: dict[str, Any] | None) -> None:
    """Put another document there, or none."""
    if what is None:
        file.unlink()
    else:
        file.write_text(json.dumps(what))


async def call(
    world: World, tool: str, mode: ApprovalMode = ApprovalMode.READ_ONLY, **arguments: Any
) -> UpstreamReply | Reason:
    """Ready, then run."""
    given = {"id": "1", **arguments}
    sealed = world.call("api", tool, given, capability=world.capability("api", tool, mode))
    grant = Grant(sealed, PolicyDecision("d", "test", "r", Effect.ALLOW, ()))
    return await world.upstreams.ready(grant) or await world.upstreams.run(grant, SILENT)


async def result(world: World, tool: str = "get", **arguments: Any) -> dict[str, Any]:
    reply = await call(world, tool, **arguments)
    assert isinstance(reply, ToolReply), reply
    assert reply.protocol == "openapi-3.1.0"
    return reply.document


async def test_a_call_is_one_request_and_a_json_object_is_structured_content(stub: Stub, file: Path) -> None:
    async with running(spec(stub, file, headers={"Authorization": "Bearer t"})) as world:
        told = await result(world, "post", body={"a": 1})
    assert told == {
        "content": [{"type": "text", "text": '{"id": "/notes/1"}'}],
        "structuredContent": {"id": "/notes/1"},
    }
    (seen,) = stub.seen
    assert (seen.method, seen.target, json.loads(seen.body)) == ("POST", "/notes/1", {"a": 1})
    assert (seen.headers["authorization"], seen.headers["content-type"]) == ("Bearer t", "application/json")


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        (as_json([1]), {"type": "text", "text": "[1]"}),
        (as_json({"id": 2**60}), {"type": "text", "text": f'{{"id": {2**60}}}'}),
        (Reply(200, b'{"a":1,"a":2}', {"content-type": "application/json"}), {"type": "text", "text": '{"a":1,"a":2}'}),
        (Reply(200, "é".encode(), {"content-type": "text/plain; charset=utf-8"}), {"type": "text", "text": "é"}),
        (Reply(204), {"type": "text", "text": "HTTP 204 No Content"}),
        (
            Reply(200, b"\x89PNG", {"content-type": "image/png"}),
            {"type": "image", "data": "iVBORw==", "mimeType": "image/png"},
        ),
        (
            Reply(200, b"\xff\xfe", {"content-type": "text/plain"}),
            {"type": "text", "text": "(an answer of 2 bytes of type text/plain, which is not shown)"},
        ),
        (
            Reply(200, b"PK", {"content-type": "application/zip"}),
            {"type": "text", "text": "(an answer of 2 bytes of type application/zip, which is not shown)"},
        ),
    ],
)
async def test_other_answers_are_text_or_what_clients_can_show(file: Path, reply: Reply, content: dict[str, Any]) -> None:
    with serving(lambda seen: reply) as stub:
        async with running(spec(stub, file)) as world:
            assert await result(world) == {"content": [content]}


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (as_json({"detail": "no such note"}, 404), 'HTTP 404 Not Found\n{"detail": "no such note"}'),
        (Reply(500, b"x" * 9_000, {"content-type": "text/plain"}), "HTTP 500 Internal Server Error\n" + "x" * 2_000),
        (Reply(401, b"\xff"), "HTTP 401 Unauthorized"),
        (
            Reply(302, b"", {"location": "http://169.254.169.254/"}),
            "HTTP 302 Found\nIt redirects, and no redirect is followed.",
        ),
        (Reply(499, b""), "HTTP 499"),
    ],
)
async def test_an_error_of_the_api_is_an_error_with_the_beginning_of_what_it_says(
    file: Path, reply: Reply, text: str
) -> None:
    with serving(lambda seen: reply) as stub:
        async with running(spec(stub, file)) as world:
            assert await result(world) == {"content": [{"type": "text", "text": text}], "isError": True}
        assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(408),
        Reply(502),
        Reply(504),
        Reply(200, b"x" * 10_001, {"content-type": "text/plain"}),
        Reply(200, gzip.compress(b"{}"), {"content-type": "application/json", "content-encoding": "gzip"}),
        Reply(cut=True),
    ],
)
@pytest.mark.parametrize("tool", ["post", "put", "delete"])
async def test_an_effect_whose_end_nobody_knows_is_no_answer_and_was_sent_once(file: Path, reply: Reply, tool: str) -> None:
    with serving(lambda seen: reply) as stub:
        async with running(spec(stub, file)) as world:
            for count in (1, 2):  # the second over a connection that was used before, or a new one
                assert isinstance(await call(world, tool, ApprovalMode.NETWORK), NoAnswer)
                assert len(stub.seen) == count


async def test_an_effect_on_a_connection_that_breaks_is_not_repeated(file: Path) -> None:
    replies = [as_json({})]

    def answer(seen: Seen) -> Reply:
        return replies.pop() if replies else Reply(cut=True)

    with serving(answer) as api:
        async with running(spec(api, file)) as world:
            assert isinstance(await call(world, "put", ApprovalMode.NETWORK), ToolReply)
            assert isinstance(await call(world, "put", ApprovalMode.NETWORK), NoAnswer)
        assert len(api.seen) == 2


async def test_an_answer_that_does_not_come_in_time_is_none(stub: Stub, file: Path) -> None:
    stub.held.clear()
    async with running(spec(stub, file, limits=replace(LIMITS, deadline_seconds=0.5))) as world:
        reply = await call(world, "delete", ApprovalMode.NETWORK)
        assert isinstance(reply, NoAnswer)
        assert reply.reason.code == "upstream.timeout"
    assert len(stub.seen) == 1


async def test_an_api_that_takes_no_connection_was_certainly_sent_nothing(stub: Stub, file: Path) -> None:
    gone = replace(spec(stub, file), url="http://127.0.0.1:9")
    async with running(gone) as world:
        assert isinstance(await call(world, "delete", ApprovalMode.NETWORK), NotSent)


async def test_a_name_that_leads_inward_is_not_connected_to_unless_it_may(stub: Stub, file: Path) -> None:
    async def inward(host: str, port: int) -> tuple[str, ...]:
        return ("127.0.0.1",)

    named = replace(spec(stub, file), url=f"http://api.example:{stub.port}")
    async with running(named, resolve=inward) as world:
        assert isinstance(await call(world, "get"), NotSent)
        assert not stub.seen
    async with running(replace(named, private_addresses=True), resolve=inward) as world:
        assert (await result(world))["structuredContent"] == {"id": "/notes/1"}


@pytest.mark.parametrize("value", ["..", "1/../2", "", "1/secret"])
async def test_arguments_that_make_no_request_are_refused_before_anything_is_begun(
    stub: Stub, file: Path, value: str
) -> None:
    async with running(spec(stub, file)) as world:
        reason = await call(world, "get", id=value)
    assert isinstance(reason, Reason)
    assert reason.code == "arguments.unsendable"
    assert not stub.seen


async def test_a_document_that_changes_lists_anew_and_what_was_pinned_does_not_run(stub: Stub, file: Path) -> None:
    async with running(spec(stub, file)) as world:
        old = world.capability("api", "get")
        rewrite(file, notes(get=operation(operationId="get", parameters=[parameter("id", "path")], summary="New")))
        await eventually(lambda: world.tools("api")["get"].digest != old.definition.digest)
        reply = await world.run_sealed(world.call("api", "get", {"id": "1"}, capability=old))
        assert isinstance(reply, NotSent)
        assert reply.reason.code == "tool.drifted"
        assert isinstance(await call(world, "get"), ToolReply)
    assert len(stub.seen) == 1


async def test_before_a_destructive_call_the_document_is_read_anew(stub: Stub, file: Path) -> None:
    async with running(spec(stub, file, limits=replace(LIMITS, refresh_seconds=600.0))) as world:
        old = world.capability("api", "delete", ApprovalMode.DESTRUCTIVE)
        sealed = world.call("api", "delete", {"id": "1"}, capability=old)
        assert await world.ready_sealed(sealed) is None
        rewrite(file, notes(delete=operation(operationId="delete", parameters=[parameter("id", "path")], summary="All")))
        reason = await world.ready_sealed(sealed)
        assert reason is not None
        assert reason.code == "tool.drifted"
        rewrite(file, None)
        gone = await world.ready_sealed(sealed)
        assert gone is not None
        assert gone.code == "upstream.unavailable"
        assert world.status("api").reason == "Its document cannot be read."
        rewrite(file, notes())
        await eventually(lambda: world.status("api").state is State.UP)
        assert await world.ready_sealed(sealed) is None


async def test_a_document_that_cannot_be_used_offers_nothing_until_it_can(stub: Stub, file: Path) -> None:
    right = hashlib.sha256(json.dumps(notes()).encode()).hexdigest()
    rewrite(file, {})
    async with running(spec(stub, file, sha256=right)) as world:
        status = world.status("api")
        assert (status.kind, status.state, status.tools) == ("openapi", State.DOWN, 0)
        assert status.reason is not None
        assert status.reason.startswith("Its document has not the sha256")
        rewrite(file, notes())
        await eventually(lambda: world.status("api").state is State.UP)
        assert isinstance(await call(world, "get"), ToolReply)


async def test_a_document_at_a_url_is_fetched_and_must_have_its_digest() -> None:
    text = json.dumps(notes())
    with serving(lambda seen: as_json(notes()) if seen.target == "/api.json" else as_json({})) as stub:
        digest = hashlib.sha256(text.encode()).hexdigest()
        async with running(spec(stub, f"{stub.url}/api.json", sha256=digest)) as world:
            assert isinstance(await call(world, "get"), ToolReply)
        async with running(spec(stub, f"{stub.url}/api.json", sha256="0" * 64)) as world:
            assert world.status("api").state is State.DOWN
        async with running(spec(stub, f"{stub.url}/none", sha256=digest)) as world:
            assert world.status("api").state is State.DOWN


async def test_an_api_that_gives_no_answers_is_left_alone_for_a_while(file: Path) -> None:
    impatient = replace(LIMITS, breaker_failures=2, breaker_pause_seconds=60.0)
    with serving(lambda seen: Reply(504)) as stub:
        async with running(spec(stub, file, limits=impatient)) as world:
            for _ in range(2):
                assert isinstance(await call(world, "post", ApprovalMode.NETWORK), NoAnswer)
            reason = await call(world, "post", ApprovalMode.NETWORK)
            assert isinstance(reason, Reason)
            assert world.status("api").paused_seconds is not None
        assert len(stub.seen) == 2


async def test_a_head_request_has_no_body(stub: Stub, file: Path) -> None:
    async with running(spec(stub, file)) as world:
        assert await result(world, "head") == {"content": [{"type": "text", "text": "HTTP 200 OK"}]}
