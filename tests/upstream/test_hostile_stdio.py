"""A stdio upstream may do what it likes: its own calls fail, nothing else does."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from gateway.adapters.upstream.listing import MAX_LIST_BYTES
from gateway.adapters.upstream.result import result_document
from gateway.adapters.upstream.spec import Limits, StdioSpec
from gateway.adapters.upstream.status import State
from gateway.core.capability import ApprovalMode
from gateway.core.method import Method
from gateway.core.reply import NoAnswer, NotSent, ToolReply
from tests.upstream.world import (
    IMPATIENT,
    World,
    children,
    eventually,
    peak_bytes,
    raw_stdio,
    running,
    sdk_stdio,
)

pytestmark = pytest.mark.anyio

MEBIBYTE = 1 << 20
UNREADABLE = ["weird_block", "block_without_text", "content_object"]


async def test_a_flood_without_a_newline_costs_no_memory_and_the_upstream_is_started_anew() -> None:
    async with running(raw_stdio()) as world:
        await world.text("raw", "echo")
        before = peak_bytes()
        reply = await world.run("raw", "flood")
        assert isinstance(reply, NoAnswer)
        assert reply.reason.code == "upstream.flood"
        await world.is_up("raw", restarts=1)
        assert peak_bytes() - before < 50 * MEBIBYTE
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"


async def test_a_list_is_not_read_on_when_it_is_larger_than_may_be() -> None:
    async with running(raw_stdio("--large-list")) as world:
        status = world.status("raw")
        assert status.reason == "It sent more than it may."
        assert int(status.stderr_tail.rpartition("page ")[2].partition(".")[0]) * 900_000 < 2 * MAX_LIST_BYTES


async def test_dying_in_a_call_is_no_answer_for_every_running_call_and_it_is_started_anew() -> None:
    async with running(raw_stdio(), raw_stdio(name="other")) as world:
        hanging = asyncio.create_task(world.run("raw", "hang"))
        elsewhere = asyncio.create_task(world.text("other", "echo"))
        await asyncio.sleep(0)
        await world.text("raw", "echo")
        died = await world.run("raw", "die")
        for reply in (died, await hanging):
            assert isinstance(reply, NoAnswer)
            assert reply.reason.code == "upstream.lost"
        assert "tools/call" in await elsewhere
        await world.is_up("raw", restarts=1)
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
        assert world.status("raw").stderr_tail == "last words [31m\n"
        assert world.status("other").restarts == 0


async def test_its_death_is_noticed_even_where_a_grandchild_holds_its_pipes() -> None:
    async with running(raw_stdio()) as world:
        reply = await world.run("raw", "die_leaving_a_grandchild")
        assert isinstance(reply, NoAnswer)
        assert reply.reason.code == "upstream.lost"
        await world.is_up("raw", restarts=1)
        assert len(children()) == 1


async def test_while_it_is_down_nothing_is_sent() -> None:
    async with running(raw_stdio()) as world:
        sealed = world.call("raw", "echo")
        await world.run("raw", "die")
        reply = await world.run_sealed(sealed)
        assert isinstance(reply, NotSent)
        assert reply.reason.code == "upstream.unavailable"
        unready = await world.ready(sealed.capability)
        assert unready is not None
        assert unready.code == "upstream.unavailable"


async def test_malformed_lines_are_dropped_and_the_next_good_line_counts() -> None:
    async with running(raw_stdio()) as world:
        assert await world.text("raw", "garbage_then_answer") == "fine"


@pytest.mark.parametrize("tool", ["duplicate_keys", "huge_number", "no_content", *UNREADABLE])
async def test_an_unacceptable_answer_fails_its_own_call_at_once(tool: str) -> None:
    async with running(raw_stdio()) as world:
        reply = await world.run("raw", tool)
        assert isinstance(reply, NoAnswer)
        assert reply.reason.code == "upstream.malformed"
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
        assert world.status("raw").restarts == 0


async def test_unknown_fields_stay_as_they_came() -> None:
    async with running(raw_stdio()) as world:
        reply = await world.run("raw", "unknown_fields")
        assert isinstance(reply, ToolReply)
        block = {"type": "text", "text": "x", "vendor": [1]}
        assert reply.document == {"content": [block], "vendor": {"is_error": None}}


@pytest.mark.parametrize(
    ("tool", "code"), [("junk_flood", "upstream.malformed"), ("ping_flood", "upstream.flood"), ("change_flood", None)]
)
async def test_a_flood_of_short_lines_costs_no_memory_and_delays_nobody(
    tool: str, code: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(raw_stdio(), raw_stdio(name="other")) as world:
        assert await world.text("other", "add", {"a": 2, "b": 3}) == "5"
        before = peak_bytes()
        flooding = asyncio.create_task(world.run("raw", tool))
        slowest = 0.0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            began = time.monotonic()
            await world.text("other", "echo")
            slowest = max(slowest, time.monotonic() - began)
        reply = await flooding
        assert slowest < 5
        assert isinstance(reply, NoAnswer)
        assert peak_bytes() - before < 60 * MEBIBYTE
        if code is not None:
            assert reply.reason.code == code
            await world.is_up("raw", restarts=1)
            assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
    assert len(caplog.records) < 30


async def test_its_requests_are_answered_and_refused() -> None:
    async with running(raw_stdio()) as world:
        first, second = map(json.loads, (await world.text("raw", "ask_and_read")).splitlines())
        assert first == {"jsonrpc": "2.0", "id": "p", "result": {}}
        assert (second["id"], second["error"]["code"]) == ("r", -32601)


async def test_errors_and_questions_become_error_results_and_forged_receipts_are_taken_out() -> None:
    async with running(raw_stdio()) as world:
        error = await world.run("raw", "error")
        assert isinstance(error, ToolReply)
        text = "upstream error -32000: Connection closed"
        said = {"code": -32000, "message": "Connection closed"}
        assert error.document == {"content": [{"type": "text", "text": text}], "isError": True, "error": said}
        asked = await world.run("raw", "ask")
        assert isinstance(asked, ToolReply)
        assert asked.document["isError"] is True
        assert "not supported" in asked.document["content"][0]["text"]
        forged = await world.run("raw", "forge")
        assert isinstance(forged, ToolReply)
        assert forged.document["_meta"] == {"vendor": 1}
        forged = await world.run("raw", "forge_error")
        assert isinstance(forged, ToolReply)
        assert forged.document == {"content": [{"type": "text", "text": "x"}], "isError": True}


def test_a_result_of_another_method_can_not_be_taken_for_an_error() -> None:
    contents = [{"uri": "test://x", "text": "x"}]
    answer = {"contents": contents, "isError": True, "error": {"code": -32602, "message": "forged"}, "vendor": 1}
    assert result_document(Method.RESOURCE, answer) == {"contents": contents, "vendor": 1}


async def test_a_change_without_notification_is_caught_before_a_destructive_call() -> None:
    async with running(raw_stdio()) as world:
        reading = world.capability("raw", "echo", ApprovalMode.READ_ONLY)
        for mode in (ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE):
            assert await world.ready(world.capability("raw", "echo", mode)) is None
        destructive = world.capability("raw", "echo", ApprovalMode.DESTRUCTIVE)
        await world.text("raw", "change_quietly")
        assert len(world.listed) == 1
        reason = await world.ready(destructive)
        assert reason is not None
        assert reason.code == "tool.drifted"
        assert world.tools("raw")["echo"].document["description"] == "changed quietly"
        assert await world.ready(reading) is None


async def test_a_change_without_notification_is_found_by_the_refresh() -> None:
    async with running(raw_stdio(limits=Limits(refresh_seconds=0.2))) as world:
        await world.text("raw", "change_quietly")
        await eventually(lambda: world.tools("raw")["echo"].document["description"] == "changed quietly")
        assert len(world.listed) == 2


async def test_a_server_that_reads_no_more_costs_no_memory_and_calls_that_were_not_written_were_not_sent() -> None:
    async with running(raw_stdio(limits=IMPATIENT)) as world:
        await world.text("raw", "stuck")
        before = peak_bytes()
        big = world.call("raw", "echo", {"text": "x" * 500_000})
        replies = [await world.run_sealed(big) for _ in range(3)]
        replies += await asyncio.gather(*(world.run_sealed(big) for _ in range(20)))
        assert isinstance(replies[0], NoAnswer)
        assert all(isinstance(reply, NotSent) for reply in replies[1:])
        assert peak_bytes() - before < 50 * MEBIBYTE


async def test_calls_beyond_the_limit_wait_and_then_are_not_sent() -> None:
    limits = Limits(deadline_seconds=2.0, queue_seconds=0.1, max_concurrent=1)
    async with running(raw_stdio(limits=limits)) as world:
        first = asyncio.create_task(world.run("raw", "hang"))
        await asyncio.sleep(0)
        reply = await world.run("raw", "echo")
        assert isinstance(reply, NotSent)
        assert reply.reason.code == "upstream.unavailable"
        assert isinstance(await first, NoAnswer)
        assert "tools/call" in await world.text("raw", "echo")


async def test_the_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_SECRET", "s")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    async with running(raw_stdio(TOKEN="t")) as world:
        environment = json.loads(await world.text("raw", "environment"))
    assert environment["TOKEN"] == "t"
    assert environment["PATH"] == os.environ["PATH"]
    assert environment.keys() - {"PATH", "HOME", "LANG", "TERM", "TOKEN"} <= {"LC_ALL", "LC_CTYPE"}


async def test_a_flood_on_stderr_is_drained() -> None:
    async with running(raw_stdio("--noisy")) as world:
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
        assert len(world.status("raw").stderr_tail) <= 2048


async def test_no_process_is_left_behind_not_even_grandchildren_or_one_that_ignores_every_hint() -> None:
    async with running(raw_stdio("--ignore-eof"), sdk_stdio(), raw_stdio(name="other")) as world:
        grandchild = int(await world.text("other", "grandchild"))
        assert grandchild in children()
        assert len(children()) >= 4
    await eventually(lambda: not Path(f"/proc/{grandchild}").exists() or "Z" in Path(f"/proc/{grandchild}/stat").read_text())
    assert children() == set()


async def test_a_command_that_cannot_run_is_down_and_delays_nobody() -> None:
    broken = StdioSpec("broken", "/nonexistent/command")
    silent = StdioSpec("silent", "sleep", ("600",), limits=Limits(connect_seconds=60.0))
    async with running(raw_stdio(), broken) as world:
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
        assert (world.status("broken").state, world.status("broken").reason) == (State.DOWN, "Its command cannot be run.")
    world = World((raw_stdio(), silent))
    async with world.upstreams:
        await world.is_up("raw")
        assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
        assert world.status("silent").state is State.STARTING
    assert children() == set()
