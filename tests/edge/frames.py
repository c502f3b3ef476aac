"""Malformed frames: what is sent, the JSON-RPC error code that must come back, and the id that can be recovered."""

import json
from dataclasses import dataclass

SECRET = "ghp_" + "a1B2c3D4" * 5
PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, NO_METHOD = -32700, -32600, -32602, -32601
META = '"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'


@dataclass(frozen=True)
class Frame:
    """One malformed frame."""

    name: str
    data: bytes
    code: int
    id: int | str | None

    def __str__(self) -> str:
        return self.name


def call(arguments: str = '{"text":"x"}', *, request_id: str = "7", name: str = '"box__echo"', meta: str = "") -> bytes:
    """A tools/call of the modern era, written by hand: any of its parts may be malformed."""
    told = META.replace("{", "{" + meta + ",", 1) if meta else META
    params = f'{{"name":{name},"arguments":{arguments},{told}}}'
    return f'{{"jsonrpc":"2.0","id":{request_id},"method":"tools/call","params":{params}}}'.encode()


def nested(depth: int) -> str:
    """Arguments with `depth` lists in each other."""
    return '{"text":' + "[" * depth + "]" * depth + "}"


MALFORMED = [
    Frame("duplicate key", call('{"text":"a","text":"b"}'), PARSE_ERROR, 7),
    Frame("duplicate key through an escape", call('{"text":"a","t\\u0065xt":"b"}'), PARSE_ERROR, 7),
    Frame("duplicate name", call(name='"box__echo","name":"box__drop"'), PARSE_ERROR, 7),
    Frame("duplicate id", call(request_id='7,"id":8'), PARSE_ERROR, None),
    Frame("NaN", call('{"text":NaN}'), PARSE_ERROR, 7),
    Frame("Infinity", call('{"text":-Infinity}'), PARSE_ERROR, 7),
    Frame("1e999", call('{"text":1e999}'), INVALID_REQUEST, 7),
    Frame("2^53+1", call('{"text":9007199254740993}'), INVALID_REQUEST, 7),
    Frame("-2^53", call('{"text":-9007199254740992}'), INVALID_REQUEST, 7),
    Frame("5,000 digits", call('{"text":' + "9" * 5000 + "}"), PARSE_ERROR, 7),
    Frame("depth 100", call(nested(100)), INVALID_REQUEST, 7),
    Frame("depth 100,000", call(nested(100_000)), PARSE_ERROR, None),
    Frame("10,001 keys", call(json.dumps({"text": dict.fromkeys(map(str, range(10_001)), 0)})), INVALID_REQUEST, 7),
    Frame("2 MiB", call('{"text":"' + "x" * (2 << 20) + '"}'), INVALID_REQUEST, None),
    Frame("invalid UTF-8", call().replace(b'"x"', b'"\xff\xfe"'), PARSE_ERROR, 7),
    Frame("overlong UTF-8", call().replace(b'"x"', b'"\xc0\xaf"'), PARSE_ERROR, 7),
    Frame("UTF-8 of a surrogate", call().replace(b'"x"', b'"\xed\xa0\x80"'), PARSE_ERROR, 7),
    Frame("lone surrogate", call('{"text":"\\ud800"}'), PARSE_ERROR, 7),
    Frame("lone surrogate in a key", call('{"\\udfff":"x"}'), PARSE_ERROR, 7),
    Frame("lone surrogate in the id", call(request_id='"\\ud800"'), PARSE_ERROR, None),
    Frame("invalid UTF-8 in the id", call(request_id='"A"').replace(b'"A"', b'"\xff"'), PARSE_ERROR, None),
    Frame("a byte order mark", b"\xef\xbb\xbf" + call(), PARSE_ERROR, None),
    Frame("raw control character", call('{"text":"\x01"}'), PARSE_ERROR, 7),
    Frame("batch", b"[" + call() + b"]", INVALID_REQUEST, None),
    Frame("batch with an error in it", b"[" + call('{"text":NaN}') + b"]", PARSE_ERROR, None),
    Frame("empty batch", b"[]", INVALID_REQUEST, None),
    Frame("null id", call(request_id="null"), INVALID_REQUEST, None),
    Frame("id 1.5", call(request_id="1.5"), INVALID_REQUEST, None),
    Frame("id 1.0", call(request_id="1.0"), INVALID_REQUEST, None),
    Frame("bool id", call(request_id="true"), INVALID_REQUEST, None),
    Frame("list id", call(request_id="[7]"), INVALID_REQUEST, None),
    Frame("id beyond 2^53", call(request_id="9007199254740993"), INVALID_REQUEST, None),
    Frame("garbage", b"\x00\x01garbage\xff", PARSE_ERROR, None),
    Frame("text behind the message", call() + b"{}", PARSE_ERROR, None),
    Frame("half a message", call()[:60], PARSE_ERROR, None),
    Frame("a string", b'"tools/call"', INVALID_REQUEST, None),
    Frame("no jsonrpc member", b'{"id":7,"method":"tools/list"}', INVALID_REQUEST, 7),
    Frame("jsonrpc 1.0", b'{"jsonrpc":"1.0","id":"a","method":"tools/list"}', INVALID_REQUEST, "a"),
    Frame("neither request nor response", b'{"jsonrpc":"2.0","id":7}', INVALID_REQUEST, 7),
    Frame("both request and response", b'{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}', INVALID_REQUEST, 7),
    Frame("method is no string", b'{"jsonrpc":"2.0","id":7,"method":5}', INVALID_REQUEST, 7),
    Frame("params is a list", b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":["box__echo"]}', INVALID_REQUEST, 7),
    Frame("params is null", b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":null}', INVALID_REQUEST, 7),
]
"""Refused by the strict parser, before anything else looks at them."""

ERRORS = [
    Frame("unknown tool", call(name='"box__nothing"'), INVALID_PARAMS, 7),
    Frame("a number as name", call(name="5"), INVALID_PARAMS, 7),
    Frame("arguments are a list", call('["x"]'), INVALID_PARAMS, 7),
    Frame("arguments are a string", call('"x"'), INVALID_PARAMS, 7),
    Frame("no params", b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}', INVALID_PARAMS, 7),
    Frame("_meta is a list", call().replace(META.encode(), b'"_meta":[]'), INVALID_PARAMS, 7),
    Frame("unknown method", call().replace(b"tools/call", b"tools/nope"), NO_METHOD, 7),
    Frame("key is a number", call(meta='"dev.sealgate/idempotency-key":7'), INVALID_PARAMS, 7),
    Frame("key is empty", call(meta='"dev.sealgate/idempotency-key":""'), INVALID_PARAMS, 7),
    Frame("key is too long", call(meta=f'"dev.sealgate/idempotency-key":"{"k" * 256}"'), INVALID_PARAMS, 7),
    Frame("key with a line break", call(meta='"dev.sealgate/idempotency-key":"a\\nb"'), INVALID_PARAMS, 7),
    Frame("run is a string", call(meta='"dev.sealgate/run":"run-1"'), INVALID_PARAMS, 7),
    Frame("run of an unknown member", call(meta='"dev.sealgate/run":{"roles":["admin"]}'), INVALID_PARAMS, 7),
    Frame("run id is a number", call(meta='"dev.sealgate/run":{"run_id":7}'), INVALID_PARAMS, 7),
    Frame("run id with a secret", call(meta=f'"dev.sealgate/run":{{"run_id":"r-{SECRET}"}}'), INVALID_PARAMS, 7),
    Frame("unknown safety mode", call(meta='"dev.sealgate/run":{"safety_mode":"root"}'), INVALID_PARAMS, 7),
    Frame("safety mode is a list", call(meta='"dev.sealgate/run":{"safety_mode":[]}'), INVALID_PARAMS, 7),
]
"""Well-formed JSON-RPC that is answered with an error of the protocol."""

DENIED = [
    Frame("arguments outside the schema", call('{"text":5}'), 0, 7),
    Frame("an extra argument", call('{"text":"x","more":1}'), 0, 7),
    Frame("a missing argument", call("{}"), 0, 7),
    Frame("null arguments", call("null"), 0, 7),
]
"""Calls whose arguments the pinned schema does not take: answered with a result that says so, and recorded."""
