"""The one parser: every rule of its docstring, on messages and on the lines they come in."""

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import wire
from gateway.core.wire import (
    INVALID_REQUEST,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_KEYS,
    MAX_SAFE_INTEGER,
    PARSE_ERROR,
    LineSplitter,
    Malformed,
    Overlong,
    check_message,
    message,
    parse,
)
from tests.core.documents import acceptable, any_text, lone_surrogates, plain


def refused(data: bytes) -> Malformed:
    """How `data` is refused."""
    with pytest.raises(Malformed) as caught:
        message(data)
    return caught.value


def call(**members: Any) -> bytes:
    """A request with these members."""
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", **members}).encode()


@given(acceptable)
def test_what_keeps_the_rules_is_parsed_as_it_is(document: Any) -> None:
    assert parse(json.dumps(document).encode()) == document
    assert parse(json.dumps(document, ensure_ascii=False).encode()) == document


@given(plain)
def test_a_parsed_document_is_serialised_to_the_same_document(document: Any) -> None:
    assert orjson.loads(orjson.dumps(parse(json.dumps(document).encode()))) == document


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"deep": [{"b": 1, "c": 2, "b": 1}]}',
    ],
)
def test_a_duplicate_key_is_refused_also_through_escapes(data: bytes) -> None:
    assert refused(data).message == "not acceptable JSON: duplicate object key"


@given(st.integers(min_value=MAX_SAFE_INTEGER + 1), st.sampled_from(["", "-"]))
def test_an_integer_beyond_the_safe_range_is_refused(number: int, sign: str) -> None:
    error = refused(b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"n":[%s%d]}}' % (sign.encode(), number))
    assert (error.code, error.request_id) == (INVALID_REQUEST, 7)


@pytest.mark.parametrize("number", [MAX_SAFE_INTEGER, -MAX_SAFE_INTEGER, 0, 1.5, 1e300])
def test_numbers_up_to_the_limits_are_taken(number: float) -> None:
    assert parse(json.dumps([number]).encode()) == [number]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e999"])
def test_a_number_that_is_not_finite_is_refused(number: bytes) -> None:
    assert refused(b'{"jsonrpc":"2.0","id":"x","method":"ping","params":{"n":%s}}' % number).request_id == "x"


@given(lone_surrogates)
def test_a_lone_surrogate_is_refused(text: str) -> None:
    for document in ({"v": text}, {text: 1}):
        assert refused(json.dumps(document).encode()).code == PARSE_ERROR


@given(st.binary(min_size=1, max_size=40))
def test_bytes_that_are_no_utf8_are_refused(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert refused(b'{"a":"' + data + b'"}').code == PARSE_ERROR


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text('{}[]",:\\u0123456789-eE.tfn id', max_size=60).map(str.encode))
def test_any_bytes_are_a_message_or_malformed_and_never_anything_else(data: bytes) -> None:
    try:
        document = message(data)
    except Malformed as error:
        orjson.dumps(error.reply())
    else:
        assert document["jsonrpc"] == "2.0"


@pytest.mark.parametrize("data", [b"", b" ", b"{} {}", b"{}x", b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":1,}', b"\x00"])
def test_what_is_not_exactly_one_json_value_is_refused(data: bytes) -> None:
    assert refused(data).code == PARSE_ERROR


def nested(depth: int) -> bytes:
    return b'{"jsonrpc":"2.0","id":5,"method":"ping","params":{"a":' + b"[" * depth + b"1" + b"]" * depth + b"}}"


def test_depth_64_is_taken_and_65_is_refused() -> None:
    assert message(nested(MAX_DEPTH - 3))
    assert parse(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    with pytest.raises(Malformed, match="64"):
        parse(b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1))


@pytest.mark.parametrize("depth", [100, 1_000, 200_000])
def test_any_depth_is_refused_at_once_with_the_id_where_it_can_be_read(depth: int) -> None:
    started = time.process_time()
    error = refused(nested(depth))
    assert time.process_time() - started < 2
    assert error.code in (INVALID_REQUEST, PARSE_ERROR)
    assert error.request_id in (5, None)
    assert depth > 100 or error.request_id == 5


def test_a_message_over_one_mebibyte_is_refused() -> None:
    fits = call(params={"a": "x" * (MAX_BYTES - len(call(params={"a": ""})))})
    assert len(fits) == MAX_BYTES
    assert message(fits)
    assert "larger than" in refused(fits + b" ").message


def test_more_than_ten_thousand_keys_are_refused() -> None:
    assert parse(json.dumps({str(number): 0 for number in range(MAX_KEYS)}).encode())
    many = [{str(number): 0 for number in range(MAX_KEYS // 2)}] * 2
    assert parse(json.dumps(many).encode())
    assert "keys" in refused(call(params={"a": many})).message


@pytest.mark.parametrize(
    ("document", "recovered"),
    [
        ([{"jsonrpc": "2.0", "id": 1, "method": "ping"}], None),
        ("text", None),
        ({"id": 3, "method": "ping"}, 3),
        ({"jsonrpc": "1.0", "id": 3, "method": "ping"}, 3),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": {"a": 1}, "method": "ping"}, None),
        ({"jsonrpc": "2.0", "id": 4, "method": 5}, 4),
        ({"jsonrpc": "2.0", "id": 4, "method": "ping", "params": [1]}, 4),
        ({"jsonrpc": "2.0", "id": 4, "method": "ping", "params": None}, 4),
        ({"jsonrpc": "2.0", "id": 4, "method": "ping", "result": {}}, 4),
        ({"jsonrpc": "2.0", "id": 4}, 4),
        ({"jsonrpc": "2.0", "id": 4, "result": {}, "error": {}}, 4),
        ({"jsonrpc": "2.0", "result": {}}, None),
        ({"jsonrpc": "2.0"}, None),
    ],
)
def test_what_is_no_json_rpc_message_is_refused_with_its_id(document: Any, recovered: Any) -> None:
    error = refused(json.dumps(document).encode())
    assert (error.code, error.request_id) == (INVALID_REQUEST, recovered)
    assert error.reply() == {
        "jsonrpc": "2.0",
        "id": recovered,
        "error": {"code": INVALID_REQUEST, "message": error.message},
    }


@pytest.mark.parametrize(
    "document",
    [
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a"}},
        {"jsonrpc": "2.0", "id": "one", "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no"}},
    ],
)
def test_requests_notifications_and_responses_are_messages(document: dict[str, Any]) -> None:
    assert message(json.dumps(document).encode()) == document
    assert check_message(document) is document


@pytest.mark.parametrize(
    ("data", "recovered"),
    [
        (b'{"id": 8, "a": 1, "a": 2}', 8),
        (b'{"a": NaN, "id": "eight"}', "eight"),
        (b'{"params": {"id": 9}, "a": NaN}', None),
        (b'{"id": 8, "params": {"id": 9, "a": NaN}}', 8),
        (b'{"id": 8, "id": 9}', None),
        (b'{"id": 8, "\\u0069d": 8}', None),
        (b'{"id": null, "a": NaN}', None),
        (b'{"id": 9007199254740993}', None),
        (b'[{"id": 8, "a": NaN}]', None),
        (b'{"id": 8, "a": ', None),
    ],
)
def test_the_id_of_a_refused_frame_is_recovered_where_it_is_certain(data: bytes, recovered: Any) -> None:
    assert refused(data).request_id == recovered


@given(any_text.filter(lambda text: len(text) > 3))
def test_a_refusal_does_not_quote_the_client(text: str) -> None:
    key = json.dumps(text)
    assert text not in refused(f"{{{key}: 1, {key}: 2}}".encode()).message


# --- lines ---


def fed(chunks: list[bytes], cap: int) -> list[bytes | Overlong]:
    splitter = LineSplitter(cap)
    return [frame for chunk in chunks for frame in splitter.feed(chunk)]


@settings(max_examples=500)
@given(
    st.lists(st.binary(max_size=12) | st.sampled_from([b"\n", b"\n\n", b" ", b"x" * 30]), max_size=30),
    st.integers(1, 20),
)
def test_however_a_stream_is_cut_the_frames_are_the_same(chunks: list[bytes], cap: int) -> None:
    whole = b"".join(chunks)
    assert fed(chunks, cap) == fed([whole], cap) == fed([bytes([byte]) for byte in whole], cap)


@given(st.lists(st.binary(max_size=25).filter(lambda line: b"\n" not in line), max_size=10), st.integers(1, 20))
def test_frames_are_the_lines_without_empty_ones_and_with_long_ones_reported(lines: list[bytes], cap: int) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    expected = [Overlong(cap) if len(line) > cap else line for line in lines if len(line) > cap or line.strip()]
    assert fed([stream], cap) == expected


def test_a_flood_without_a_line_end_is_reported_once_and_not_held() -> None:
    splitter = LineSplitter(100)
    reports = [frame for _ in range(1000) for frame in splitter.feed(b"x" * 50)]
    assert reports == [Overlong(100)]
    assert list(splitter.feed(b'x\n{"a":1}\n')) == [b'{"a":1}']


def test_a_frame_is_handed_out_only_when_its_line_ended() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b'{"a":')) == []
    assert list(splitter.feed(b"1}")) == []
    assert list(splitter.feed(b"\n")) == [b'{"a":1}']


def test_the_limits_are_those_of_the_design() -> None:
    assert (wire.MAX_BYTES, wire.MAX_DEPTH, wire.MAX_KEYS, wire.MAX_SAFE_INTEGER) == (1 << 20, 64, 10_000, 2**53 - 1)


@pytest.mark.parametrize("many", [[0] * 49_990, [[0] * 9] * 4_999, [{"a": 0}] * 9_000])
def test_up_to_fifty_thousand_values_are_taken(many: Any) -> None:
    assert message(call(params={"a": many}))


@pytest.mark.parametrize("many", [[0] * 50_001, [[0] * 9] * 5_001, [{"a": [0] * 20}] * 3_000, [[]] * 50_001])
def test_more_than_fifty_thousand_values_are_refused(many: Any) -> None:
    assert refused(call(params={"a": many})).message == "more than 50000 values in objects and arrays"
    assert message(call(params={"a": many}), max_keys=wire.MAX_ANSWER_KEYS)


def test_an_answer_may_hold_ten_times_as_many() -> None:
    assert parse(json.dumps([0] * 500_000).encode(), max_bytes=1 << 24, max_keys=wire.MAX_ANSWER_KEYS)
    with pytest.raises(Malformed, match="500000 values"):
        parse(json.dumps([0] * 500_001).encode(), max_bytes=1 << 24, max_keys=wire.MAX_ANSWER_KEYS)
