"""The HTTP port reads what comes within bounds: nothing hidden runs, and who leaves in the middle is no fault of ours."""

import socket
import time

import pytest

from fuzz.attacks import BODY, CHUNKED, H2C, INNER, SMUGGLED, Writer, chunks
from gateway.edge import lines
from tests.edge.box import Box
from tests.edge.clients import AT_ONCE_SECONDS, PATIENCE_SECONDS, on_socket
from tests.running import until


@pytest.fixture
def write(box: Box) -> Writer:
    return Writer(box.gateway)


def exchange(box: Box, data: bytes) -> bytes:
    """What comes for these bytes until the connection is closed or nothing more comes."""
    came = b""
    with socket.create_connection(("127.0.0.1", box.gateway.port), timeout=AT_ONCE_SECONDS) as connection:
        connection.sendall(data)
        connection.settimeout(1.0)
        try:
            while chunk := connection.recv(1 << 16):
                came += chunk
        except (TimeoutError, ConnectionError):
            pass
    return came


def test_no_request_is_smuggled_past_the_first_one(box: Box, write: Writer) -> None:
    hidden = write.whole(body=INNER)
    for data in (
        write.head(CHUNKED, length=4) + chunks(b"") + hidden,
        write.whole(b"Content-Length: 5") + hidden,
        write.chunked(b"Transfer-Encoding: xchunked") + hidden,
        write.chunked(b"Transfer-Encoding : chunked") + hidden,
        write.whole(b"Connection: close") + hidden,
    ):
        assert exchange(box, data).count(b"HTTP/1.1 ") == 1
    assert not any(SMUGGLED in line for line in box.lines("calls"))


def test_another_host_in_the_target_or_beside_the_first_is_refused(box: Box, write: Writer) -> None:
    for data in (
        write.whole(line=b"POST http://evil.example/mcp HTTP/1.1"),
        write.whole(b"Host: evil.example"),
        write.whole(b"Authorization: Bearer x"),
    ):
        assert exchange(box, data).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_offers_http_2_is_served(box: Box, write: Writer) -> None:
    came = exchange(box, write.whole(*H2C))
    assert came.startswith(b"HTTP/1.1 200 ")
    assert b"echo: fine" in came


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault(box: Box, write: Writer) -> None:
    with socket.create_connection(("127.0.0.1", box.gateway.port)) as connection:
        connection.sendall(write.head(length=len(BODY)) + BODY[:20])
    assert exchange(box, write.whole()).startswith(b"HTTP/1.1 200 ")
    assert box.faults() == []


def test_a_half_closed_connection_is_closed(box: Box, write: Writer) -> None:
    with socket.create_connection(("127.0.0.1", box.gateway.port), timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(write.whole())
        connection.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        try:
            while connection.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        assert time.monotonic() - began < AT_ONCE_SECONDS


@pytest.mark.long
def test_a_client_too_many_on_the_socket_is_told_and_a_place_that_is_left_is_there_again(box: Box) -> None:
    path = box.gateway.state / "mcp.sock"
    held: list[socket.socket] = []

    def another() -> bool:
        one = socket.socket(socket.AF_UNIX)
        held.append(one)
        try:
            one.connect(str(path))
        except BlockingIOError:
            held.pop().close()
        return len(held) >= lines.MAX_CONNECTIONS

    def refused() -> bool:
        try:
            with on_socket(path) as client:
                told = client.receive()
                return told is not None and told["error"]["code"] == lines.BUSY and client.receive() is None
        except BlockingIOError:  # those before it are not accepted yet
            return False

    until(another, what="all connections")
    try:
        until(refused, what="the refusal")
    finally:
        for one in held:
            one.close()

    def served() -> bool:
        with on_socket(path) as client:
            client.send(b"garbage\n")
            told = client.receive()
            return told is not None and told["error"]["code"] != lines.BUSY

    until(served, what="a place")
