"""Requests that HTTP forbids, or that two readers could take differently: what is sent, and the statuses that may come.

Sources: RFC 9110, RFC 9112; smuggling by framing: sections 6.1, 6.3 and 11.2 of the latter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.edge.clients import MODERN
from tests.edge.frames import call, nested
from tests.running import RunningGateway

OK = 200
BODY = call('{"text":"fine"}')
SMUGGLED = "smuggled"
INNER = call('{"text":"smuggled"}')
CHUNKED = b"Transfer-Encoding: chunked"
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")


@dataclass(frozen=True, slots=True)
class Attack:
    """`statuses`: those of the answers, in order, each one of a set. `closes`: the gateway must close the connection then.

    `error`: the JSON-RPC error code in the last answer, where one must be there. `cut`: answers may be missing.
    """

    name: str
    data: bytes
    statuses: tuple[frozenset[int], ...]
    closes: bool = False
    error: int | None = None
    cut: bool = False


class Writer:
    """Writes requests to one gateway by hand."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._host = b"Host: 127.0.0.1:%d" % gateway.port
        self._port = gateway.port
        self._token = gateway.token.encode()

    def head(self, *more: bytes, line: bytes = b"POST /mcp HTTP/1.1", length: int | None = None, host: bool = True) -> bytes:
        """A head as a modern client's call of box__echo has it; `more` lines are added."""
        lines = [
            line,
            *((self._host,) if host else ()),
            b"Authorization: Bearer " + self._token,
            b"Content-Type: application/json",
            b"Accept: application/json, text/event-stream",
            b"MCP-Protocol-Version: " + MODERN.encode(),
            b"Mcp-Method: tools/call",
            b"Mcp-Name: box__echo",
            *(() if length is None else (b"Content-Length: %d" % length,)),
            *more,
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def whole(self, *more: bytes, line: bytes = b"POST /mcp HTTP/1.1", body: bytes = BODY, host: bool = True) -> bytes:
        """Head and body."""
        return self.head(*more, line=line, length=len(body), host=host) + body

    def chunked(self, *more: bytes, body: bytes | None = None, line: bytes = b"POST /mcp HTTP/1.1") -> bytes:
        """The same in chunks."""
        return self.head(*more, line=line) + (chunks(BODY) if body is None else body)

    @property
    def absolute(self) -> bytes:
        """This gateway's own address as a target."""
        return b"POST http://127.0.0.1:%d/mcp HTTP/1.1" % self._port


def chunks(body: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """One chunk and the last one."""
    return b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(body), extension, body, trailer)


def attacks(write: Writer) -> Iterator[Attack]:
    """All of them; those that are fine are there to show that the others are refused for what they are."""
    yield from _framing(write)
    yield from _lines(write)
    yield from _targets(write)
    yield from _fields(write)
    yield from _many(write)
    yield from _large(write)


def _fine(name: str, data: bytes, answers: int = 1) -> Attack:
    return Attack(name, data, (frozenset({OK}),) * answers)


def _refused(name: str, data: bytes, *statuses: int) -> Attack:
    return Attack(name, data, (frozenset(statuses or (400,)),), closes=True)


def _framing(write: Writer) -> Iterator[Attack]:
    hidden = write.whole(body=INNER)
    size = b"Content-Length: %d" % len(BODY)
    yield _fine("as it should be", write.whole())
    yield _fine("in chunks", write.chunked(CHUNKED))
    yield _fine("Chunked with a capital", write.chunked(b"Transfer-Encoding: Chunked"))
    yield _fine("a chunk extension", write.chunked(CHUNKED, body=chunks(BODY, extension=b";a=b")))
    yield _fine("a trailer with a token in it", write.chunked(CHUNKED, body=chunks(BODY, trailer=b"Authorization: x\r\n")))
    yield _refused("both lengths", write.head(CHUNKED, length=4) + chunks(b"") + hidden)
    yield _refused("the length in chunks is shorter", write.head(CHUNKED, length=len(BODY) + 40) + chunks(BODY) + hidden)
    yield _refused("the length twice", write.whole(size))
    yield _refused("two lengths", write.whole(b"Content-Length: 5"))
    yield _refused("lengths in a list", write.head(b"Content-Length: %d, %d" % (len(BODY), len(BODY))) + BODY)
    for name, text in {"signed": b"+1", "hexadecimal": b"0x10", "negative": b"-1", "long": b"9" * 40, "empty": b""}.items():
        yield _refused(f"a {name} length", write.head(b"Content-Length: " + text) + BODY)
    for coding in (b"xchunked", b"chunked, identity", b"gzip, chunked", b"chunked, chunked", b"\x0bchunked", b'"chunked"'):
        yield _refused(f"transfer coding {coding!r}", write.chunked(b"Transfer-Encoding: " + coding) + hidden, 400, 501)
    yield _refused("the coding twice", write.chunked(CHUNKED, CHUNKED) + hidden)
    yield _refused("white space before the colon", write.chunked(b"Transfer-Encoding : chunked") + hidden)
    yield _refused("chunks in HTTP/1.0", write.chunked(CHUNKED, line=b"POST /mcp HTTP/1.0"))
    yield _refused("chunk lines with a bare LF", write.chunked(CHUNKED, body=chunks(BODY).replace(b"\r\n", b"\n")))
    yield _refused("a chunk of more than 64 bits", write.chunked(CHUNKED, body=b"f" * 20 + b"\r\n" + BODY))
    yield _refused("a negative chunk", write.chunked(CHUNKED, body=b"-1\r\n" + BODY))
    yield _refused("a gzip body by name", write.whole(b"Content-Encoding: gzip"), 415)
    yield Attack("a body behind GET", write.whole(line=b"GET /mcp HTTP/1.1", body=hidden), (frozenset({400, 405, 406}),))


def _lines(write: Writer) -> Iterator[Attack]:
    yield _refused("bare LF", write.whole().replace(b"\r\n", b"\n", 3))
    yield _refused("a bare LF in a value", write.whole(b"X-A: b\nX-C: d"))
    yield _refused("a bare CR in a value", write.whole(b"X-A: b\rX-C: d"))
    yield _refused("a folded line", write.whole(b"X-A: b\r\n c"))
    yield _refused("NUL in a value", write.whole(b"X-A: b\0c"))
    yield _refused("NUL in a name", write.whole(b"X-\0A: b"))
    yield _refused("NUL in the target", write.whole(line=b"POST /mcp\0 HTTP/1.1"))
    yield _refused("a line without a colon", write.whole(b"nothing"))
    yield _refused("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20)
    yield _refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield _refused("HTTP/1.2", write.whole(line=b"POST /mcp HTTP/1.2"))
    yield _refused("HTTP/3.7", write.whole(line=b"POST /mcp HTTP/3.7"))
    yield _refused("a method in small letters", write.whole(line=b"post /mcp HTTP/1.1"))
    yield _refused("a method of no one's", write.whole(line=b"BREW /mcp HTTP/1.1"))
    yield Attack("HTTP/1.0", write.whole(line=b"POST /mcp HTTP/1.0"), (frozenset({OK}),), closes=True)
    yield _fine("empty lines in front", b"\r\n\r\n" + write.whole())


def _targets(write: Writer) -> Iterator[Attack]:
    yield _refused("this host in the target", write.whole(line=write.absolute))
    yield _refused("another host in the target", write.whole(line=b"POST http://evil.example/mcp HTTP/1.1"))
    yield _refused("CONNECT", write.whole(line=b"CONNECT evil.example:443 HTTP/1.1"))
    yield _refused("an asterisk", write.whole(line=b"OPTIONS * HTTP/1.1"))
    yield _refused("a byte above 127", write.whole(line=b"POST /m\xe7p HTTP/1.1"))
    for path in (b"//mcp", b"/x/../mcp", b"/x%2f..%2fmcp", b"/mcp%00", b"/mcp%zz", b"/MCP", b"/mcp/"):
        yield Attack(f"target {path.decode()}", write.whole(line=b"POST %b HTTP/1.1" % path), (frozenset({404, 307, 400}),))
    for method in (b"TRACE", b"PUT", b"PATCH", b"OPTIONS", b"DELETE", b"GET", b"HEAD"):
        statuses = frozenset({404, 405, 406, 400})
        yield Attack(f"method {method.decode()}", write.head(line=method + b" /mcp HTTP/1.1", length=0), (statuses,))


def _fields(write: Writer) -> Iterator[Attack]:
    yield _refused("two hosts", write.whole(b"Host: evil.example"))
    yield _refused("two tokens", write.whole(b"Authorization: Bearer x"))
    yield _refused("two content types", write.whole(b"Content-Type: text/plain"))
    yield Attack("no host", write.whole(host=False), (frozenset({400, 421}),))
    yield _fine("an upgrade to HTTP/2", write.whole(*H2C))
    yield _fine("an upgrade, and a request behind it", write.whole(*H2C) + write.whole(), 2)
    yield _fine("an upgrade of a body in chunks", write.chunked(CHUNKED, *H2C))
    web = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    yield Attack("an upgrade to WebSocket", write.head(*web, line=b"GET /mcp HTTP/1.1"), (frozenset({400, 405, 406}),))
    continued = (frozenset({100}), frozenset({OK}))
    yield Attack("100-continue", write.whole(b"Expect: 100-continue"), continued)


def _many(write: Writer) -> Iterator[Attack]:
    yield _fine("ten requests at once", write.whole() * 10, 10)
    yield Attack(
        "a request behind Connection: close",
        write.whole(b"Connection: close") + write.whole(body=INNER),
        (frozenset({OK}),),
        closes=True,
    )
    behind = write.whole() + b"\x00garbage\r\n\r\n"
    yield Attack("garbage behind a request", behind, (frozenset({OK}),), closes=True, cut=True)


def _large(write: Writer) -> Iterator[Attack]:
    bad = frozenset({400})
    yield _refused("a target of 64 KiB", write.whole(line=b"POST /%b HTTP/1.1" % (b"a" * 65_000)), 414)
    yield _refused("a field of 1 MiB", write.whole(b"X-A: " + b"a" * (1 << 20)), 431)
    yield _refused("a field without an end", write.head().removesuffix(b"\r\n\r\n") + b"a" * (4 << 20), 431)
    yield _refused("20,000 fields", write.whole(*(b"X-%d: a" % number for number in range(20_000))), 431)
    yield _refused("101 fields", write.whole(*(b"X-%d: a" % number for number in range(101))), 431)
    endless = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(9_000))
    yield Attack(
        "a trailer of 9 MB", write.chunked(CHUNKED, body=chunks(BODY, trailer=endless)), (frozenset({OK, 413, 431}),), True
    )
    yield Attack("a body of 2 MiB", write.whole(body=b"[" + b"0," * (1 << 20) + b"0]"), (bad,), error=-32600)
    chunk = b"%x\r\n%b\r\n" % (1 << 16, b"x" * (1 << 16))
    yield Attack("chunks of 16 MiB", write.chunked(CHUNKED, body=chunk * 256), (bad,), closes=True, error=-32600)
    yield Attack("a length of 1 GiB", write.head(length=1 << 30) + b"x" * (9 << 20), (bad,), closes=True, error=-32600)
    yield Attack("depth 5,000", write.whole(body=call(nested(5_000))), (bad,), error=-32700)
    keys = b'{"text":{' + b",".join(b'"%d":0' % number for number in range(40_000)) + b"}}"
    yield Attack("40,000 keys", write.whole(body=call(keys.decode())), (bad,), error=-32600)
    yield Attack("200,000 values", write.whole(body=call('{"text":[' + "0," * 200_000 + "0]}")), (bad,), error=-32600)
    yield Attack("a string of 900 KB", write.whole(body=call('{"text":"' + "x" * 900_000 + '"}')), (frozenset({OK}),))
    yield Attack(
        "a number of 900,000 digits", write.whole(body=call('{"text":' + "9" * 900_000 + "}")), (bad,), error=-32700
    )
    yield Attack("a batch of 5,000", write.whole(body=b"[" + b",".join([BODY] * 5_000) + b"]"), (bad,), error=-32600)
    yield Attack("a name of 900 KB", write.whole(body=call(name='"' + "x" * 900_000 + '"')), (frozenset({400}),))
