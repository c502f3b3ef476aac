"""Server-sent events from a byte stream (WHATWG HTML, section 9.2.6), with a cap on what is held."""

import re
from collections.abc import Collection, Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventTooLong(Exception):
    """An event, or a line, grew past the cap."""


class EventSplitter:
    """Feed chunks, get the data of each complete event of these kinds. Not thread-safe; one per stream.

    Attributes:
        kind: of the event that was got last
        last_id: the id of the last event that had one, or None
        retry_seconds: what the server last told to wait before asking for the rest of the stream, or None
    """

    def __init__(self, max_bytes: int, kinds: Collection[bytes] = (b"message",)) -> None:
        self._max_bytes = max_bytes
        self._kinds = kinds
        self.kind = b"message"
        self.last_id: str | None = None
        self.retry_seconds: float | None = None
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._type = b""
        self._id: str | None = None
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of the events that `chunk` completes. Raises `EventTooLong`."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            self._line += line
            whole = bytes(self._line)
            self._line.clear()
            data = self._take(whole)
            if data is not None:
                yield data
        self._line += rest
        self._check(len(self._line))

    def _take(self, line: bytes) -> bytes | None:
        self._check(len(line))
        if not line:
            data, kind = b"\n".join(self._data), self._type
            self._data, self._size, self._type = [], 0, b""
            self.last_id = self._id  # only now: what was cut within an event has to be sent again
            self.kind = kind or b"message"
            return data if data and self.kind in self._kinds else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace") or None
        elif name == b"retry" and value.isdigit():
            self.retry_seconds = int(value[:9]) / 1000
        return None

    def _check(self, more: int) -> None:
        if self._size + more > self._max_bytes + len(b"data: "):
            raise EventTooLong
