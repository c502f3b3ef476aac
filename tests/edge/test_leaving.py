"""A client that goes away, and many that come at once: a read is cancelled, an effect happens once and is recorded."""

import json
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.core.entry import Kind
from tests.edge.box import Box
from tests.edge.clients import HandshakeClient, LineClient, on_socket, usual_headers
from tests.edge.frames import call
from tests.running import ModernClient, outcome, until


@contextmanager
def posted(box: Box, tool: str, text: str) -> Iterator[None]:
    """A modern call over HTTP that the upstream has begun; leaving closes the connection without an answer."""
    body = call(json.dumps({"text": text}), name=f'"{tool}"', meta=f'"dev.sealgate/idempotency-key":"{text}"')
    headers = {**usual_headers(box.gateway), "Mcp-Name": tool, "Content-Length": str(len(body))}
    head = [f"Host: 127.0.0.1:{box.gateway.port}", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection(("127.0.0.1", box.gateway.port)) as connection:
        connection.sendall(b"POST /mcp HTTP/1.1\r\n" + "\r\n".join(head).encode() + b"\r\n\r\n" + body)
        until(lambda: text in box.lines("started"), what="the upstream's start")
        yield


@contextmanager
def lined(box: Box, tool: str, text: str) -> Iterator[LineClient]:
    """The same over the daemon's socket."""
    with on_socket(box.gateway.state / "mcp.sock") as client:
        arguments, meta = json.dumps({"text": text}), f'"dev.sealgate/idempotency-key":"{text}"'
        client.send(call(arguments, name=f'"{tool}"', meta=meta) + b"\n")
        until(lambda: text in box.lines("started"), what="the upstream's start")
        yield client


def outcomes(box: Box, start: int) -> list[tuple[str, Any]]:
    """How calls ended since `start`: (status, reason)."""
    ended = [entry.predicate["result"] for entry in box.entries(start) if entry.kind is Kind.OUTCOME]
    return [(result["status"], result.get("reason")) for result in ended]


@pytest.mark.parametrize("how", [posted, lined])
def test_a_read_is_cancelled_with_its_client_and_recorded(box: Box, how: Any) -> None:
    start, text = box.size(), f"read {how.__name__}"
    with how(box, "box__slow_read", text):
        pass
    until(lambda: text in box.lines("cancelled"), what="the upstream's cancellation")
    assert until(lambda: outcomes(box, start)) == [("failed", "call.cancelled")]


def test_a_read_is_cancelled_when_its_client_says_so(box: Box) -> None:
    start = box.size()
    with lined(box, "box__slow_read", "told") as client:
        client.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}\n')
        until(lambda: "told" in box.lines("cancelled"), what="the upstream's cancellation")
        assert until(lambda: outcomes(box, start)) == [("failed", "call.cancelled")]
        assert "result" in client.call("box__echo", {"text": "still here"})


def test_a_read_of_a_handshake_session_is_cancelled_when_its_client_says_so(box: Box) -> None:
    start = box.size()
    params = {"name": "box__slow_read", "arguments": {"text": "session"}}
    frame = json.dumps({"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": params}).encode()
    with HandshakeClient(box.gateway) as client, ThreadPoolExecutor(1) as aside:
        waiting = aside.submit(client.post, frame)
        until(lambda: "session" in box.lines("started"), what="the upstream's start")
        client.post(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":77}}')
        until(lambda: "session" in box.lines("cancelled"), what="the upstream's cancellation")
        assert until(lambda: outcomes(box, start)) == [("failed", "call.cancelled")]
        client.delete()
        waiting.result(timeout=10)


@pytest.mark.parametrize("how", [posted, lined])
def test_an_effect_is_finished_without_its_client_and_a_retry_gets_its_result(box: Box, how: Any) -> None:
    start, text = box.size(), f"write {how.__name__}"
    with how(box, "box__slow_write", text):
        pass
    (box.folder / f"go-{text}").touch()
    assert until(lambda: outcomes(box, start)) == [("completed", None)]
    with ModernClient(box.gateway) as client:
        again = client.call("box__slow_write", {"text": text}, key=text)
    assert outcome(again) == {"outcome": "replayed"}
    assert again["result"]["content"] == [{"type": "text", "text": f"slow_write: {text}"}]
    assert box.lines("rows").count(f"slow_write {text}") == 1
    assert text not in box.lines("cancelled")


def test_a_retry_that_overtakes_its_running_call_waits_for_the_same_result(box: Box) -> None:
    with posted(box, "box__slow_write", "overtaken"), ThreadPoolExecutor(1) as aside, ModernClient(box.gateway) as client:
        retry = aside.submit(client.call, "box__slow_write", {"text": "overtaken"}, key="overtaken")
        (box.folder / "go-overtaken").touch()
        assert outcome(retry.result(timeout=20)) == {"outcome": "replayed"}
    assert box.lines("rows").count("slow_write overtaken") == 1


def test_fifty_parallel_calls_with_one_key_have_one_effect_and_one_result(box: Box) -> None:
    def one(_: int) -> dict[str, Any]:
        with ModernClient(box.gateway) as client:
            return client.call("box__add_row", {"text": "fifty"}, key="fifty")

    with ThreadPoolExecutor(50) as crowd:
        responses = list(crowd.map(one, range(50)))
    assert Counter(outcome(response)["outcome"] for response in responses) == {"completed": 1, "replayed": 49}
    assert {json.dumps(response["result"]["content"], sort_keys=True) for response in responses} == {
        '[{"text": "add_row: fifty", "type": "text"}]'
    }
    assert box.lines("rows").count("add_row fifty") == 1


def test_parallel_calls_with_one_key_and_different_arguments_have_one_effect(box: Box) -> None:
    def one(turn: int) -> str:
        with ModernClient(box.gateway) as client:
            return str(outcome(client.call("box__add_row", {"text": f"contested {turn}"}, key="contested"))["outcome"])

    with ThreadPoolExecutor(10) as crowd:
        ended = Counter(crowd.map(one, range(10)))
    assert ended == {"completed": 1, "conflict": 9}
    assert sum("contested" in row for row in box.lines("rows")) == 1
