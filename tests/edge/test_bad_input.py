"""Whatever a client sends is answered at once, with the right error and its id; nothing malformed reaches an upstream."""

import json
from collections.abc import Iterator

import pytest

from tests.edge.box import Box
from tests.edge.clients import AT_ONCE_SECONDS, HandshakeClient, LineClient, on_socket, send
from tests.edge.frames import DENIED, ERRORS, INVALID_REQUEST, MALFORMED, PARSE_ERROR, Frame, call


@pytest.fixture(autouse=True)
def _nothing_reaches_the_upstream(box: Box) -> Iterator[None]:
    before = box.lines("calls")
    yield
    assert [line for line in box.lines("calls")[len(before) :] if "fine" not in line] == []


@pytest.fixture(scope="module", params=["modern", "handshake"])
def line(request: pytest.FixtureRequest, box: Box) -> Iterator[LineClient]:
    """A connection to the daemon's socket, used by all frames one after the other: each must leave it working."""
    with on_socket(box.gateway.state / "mcp.sock") as client:
        if request.param == "handshake":
            client.handshake()
        assert "result" in client.call("box__echo", {"text": "fine"})
        yield client


@pytest.fixture(scope="module")
def session(box: Box) -> Iterator[HandshakeClient]:
    """A handshake session over HTTP."""
    with HandshakeClient(box.gateway) as client:
        yield client


@pytest.mark.parametrize("frame", [*MALFORMED, Frame("empty body", b"", PARSE_ERROR, None)], ids=str)
def test_a_malformed_body_is_refused_at_once(box: Box, frame: Frame) -> None:
    answer = send(box.gateway, frame.data)
    assert answer.status == 400
    assert (answer.json()["error"]["code"], answer.json()["id"]) == (frame.code, frame.id)
    assert answer.seconds < AT_ONCE_SECONDS


@pytest.mark.parametrize("frame", MALFORMED, ids=str)
def test_a_malformed_body_is_refused_in_a_handshake_session(session: HandshakeClient, frame: Frame) -> None:
    answer = session.post(frame.data)
    assert answer.status_code == 400
    assert (answer.json()["error"]["code"], answer.json()["id"]) == (frame.code, frame.id)
    assert answer.elapsed.total_seconds() < AT_ONCE_SECONDS


@pytest.mark.parametrize("frame", MALFORMED, ids=str)
def test_a_malformed_line_is_refused_and_the_connection_still_works(line: LineClient, frame: Frame) -> None:
    answer = line.ask(frame.data)
    assert answer is not None
    assert (answer["error"]["code"], answer["id"]) == (frame.code, frame.id)
    assert "result" in line.call("box__echo", {"text": "fine"})


@pytest.mark.parametrize("frame", ERRORS, ids=str)
def test_an_error_of_the_protocol_names_the_request(box: Box, frame: Frame) -> None:
    document = json.loads(frame.data)
    headers: dict[str, str | None] = {"Mcp-Method": document["method"]}
    name = document.get("params", {}).get("name")
    headers["Mcp-Name"] = name if isinstance(name, str) else "box__echo"
    answer = send(box.gateway, frame.data, headers)
    assert answer.json()["id"] == frame.id
    expected = -32020 if frame.name == "a number as name" else frame.code  # it cannot equal its Mcp-Name header
    assert answer.json()["error"]["code"] == expected
    assert answer.seconds < AT_ONCE_SECONDS


@pytest.mark.parametrize("frame", DENIED, ids=str)
def test_arguments_outside_the_schema_are_denied_with_a_receipt(box: Box, frame: Frame) -> None:
    meta = send(box.gateway, frame.data).json()["result"]["_meta"]
    assert meta["dev.sealgate/outcome"] == {"outcome": "denied", "reasons": ["arguments.invalid"]}
    assert box.entry(meta["dev.sealgate/receipt"]).predicate["reasons"] == ["arguments.invalid"]


def test_an_unknown_tool_is_recorded_without_its_text(box: Box) -> None:
    answer = send(box.gateway, call(name='"box__\\u001b[31m"'), {"Mcp-Name": "=?base64?Ym94X18bWzMxbQ==?="})
    receipt = answer.json()["error"]["data"]["dev.sealgate/receipt"]
    assert box.entry(receipt).predicate["call"]["requested_name"] == "[not a tool name]"


@pytest.mark.parametrize(
    "response",
    [
        b'{"jsonrpc":"2.0","id":7,"result":5}',
        b'{"jsonrpc":"2.0","id":7,"error":"x"}',
        b'{"jsonrpc":"2.0","id":7,"error":{}}',
    ],
)
def test_a_response_of_no_right_form_ends_no_connection(box: Box, line: LineClient, response: bytes) -> None:
    answer = line.ask(response)
    assert answer is not None
    assert (answer["error"]["code"], answer["id"]) == (INVALID_REQUEST, None)
    assert send(box.gateway, response).status == 400


def test_a_response_nobody_asked_for_is_passed_over(box: Box) -> None:
    with on_socket(box.gateway.state / "mcp.sock") as client:
        client.send(b'{"jsonrpc":"2.0","id":7,"result":{}}\n')
        assert "result" in client.call("box__echo", {"text": "fine"})


def test_lines_may_end_with_carriage_returns_and_be_empty(box: Box) -> None:
    with on_socket(box.gateway.state / "mcp.sock") as client:
        client.send(b"\r\n \r\n\n" + call('{"text":"fine"}') + b"\r\n")
        answer = client.receive()
    assert answer is not None
    assert answer["id"] == 7


def test_a_line_in_single_bytes_is_one_line(box: Box) -> None:
    with on_socket(box.gateway.state / "mcp.sock") as client:
        for byte in call('{"text":"fine"}') + b"\n":
            client.send(bytes([byte]))
        answer = client.receive()
    assert answer is not None
    assert answer["id"] == 7


def test_an_end_in_the_middle_of_a_line_runs_nothing(box: Box) -> None:
    size = box.size()
    with on_socket(box.gateway.state / "mcp.sock") as client:
        client.send(call('{"text":"cut"}'))  # complete, but for the newline
    with on_socket(box.gateway.state / "mcp.sock") as client:
        assert "result" in client.call("box__echo", {"text": "fine"})
    assert box.size() == size + 1


def test_a_client_that_floods_and_leaves_without_reading_harms_nobody(box: Box) -> None:
    for _ in range(3):
        with on_socket(box.gateway.state / "mcp.sock") as client:
            client.send(b"garbage\n" * 20_000)
    with on_socket(box.gateway.state / "mcp.sock") as client:
        assert "result" in client.call("box__echo", {"text": "fine"})


def test_a_chunked_body_has_the_same_limit(box: Box) -> None:
    chunk = b"x" * (1 << 16)
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for _ in range(17)) + b"0\r\n\r\n"
    answer = send(box.gateway, body, {"Transfer-Encoding": "chunked"})
    assert (answer.status, answer.json()["error"]["code"]) == (400, INVALID_REQUEST)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Mcp-Name": "box__add_row"}, -32020),
        ({"Mcp-Method": "tools/list"}, -32020),
        ({"Mcp-Name": None}, -32020),
        ({"MCP-Protocol-Version": "2030-01-01"}, -32020),
    ],
)
def test_headers_that_contradict_the_body_are_refused(box: Box, headers: dict[str, str | None], code: int) -> None:
    answer = send(box.gateway, call(), headers)
    assert (answer.status, answer.json()["error"]["code"], answer.json()["id"]) == (400, code, 7)


@pytest.mark.parametrize("name", ["box__echo  ", " \tbox__echo", "box__echo\t"])
def test_white_space_around_a_header_value_does_not_count(box: Box, name: str) -> None:
    assert send(box.gateway, call('{"text":"fine"}'), {"Mcp-Name": name}).status == 200


def test_a_session_header_on_a_modern_request_is_nobodys_word(box: Box) -> None:
    answer = send(box.gateway, call('{"text":"fine"}'), {"Mcp-Session-Id": "s" * 30_000})
    receipt = answer.json()["result"]["_meta"]["dev.sealgate/receipt"]
    assert box.entry(receipt).predicate["run"]["session_id"] is None


def test_argument_names_of_the_clients_own_stay_out_of_the_log(box: Box) -> None:
    secret = "k" * 60_000
    answer = send(
        box.gateway, call(json.dumps({"fine": secret, secret: "v"}), name='"box__open"'), {"Mcp-Name": "box__open"}
    )
    receipt = answer.json()["result"]["_meta"]["dev.sealgate/receipt"]
    assert list(box.entry(receipt).predicate["call"]["arguments"]) == ["*"]
