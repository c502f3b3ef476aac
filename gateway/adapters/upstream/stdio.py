"""Newline-delimited JSON-RPC with a child process, shared by the SDK's session and our own requests.

Above stands the SDK `Client`, which enters this as its transport and negotiates; or nobody, where the session is exclusive
(see `waiting`) and the handshake our own. Our requests use the same pipes; their answers are taken out by id before the SDK
sees them. Every line is capped and strictly parsed: a line that never ends stops the process, a malformed one is dropped and
fails only its own request, until there are `MAX_MALFORMED` between two answers: then the process is stopped too. What the
SDK is handed is bounded, see `screen`.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

import anyio
import orjson
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter
from pydantic import ValidationError

from gateway.adapters.upstream.child import Child, StderrTail
from gateway.adapters.upstream.rpc import (
    FLOOD,
    LOST,
    MALFORMED,
    UNAVAILABLE,
    Answer,
    Fault,
    Outgoing,
    encode,
    encode_cancel,
    encode_notification,
    read_response,
)
from gateway.adapters.upstream.screen import NOTICES, PASSED, Notice, reply_to
from gateway.adapters.upstream.spec import StdioSpec
from gateway.adapters.upstream.waiting import Waiting
from gateway.core.wire import MAX_ANSWER_KEYS, LineSplitter, Malformed, Overlong, message

logger = logging.getLogger("sealgate.upstream")

READ_BYTES = 65_536
MAX_MALFORMED = 20

MAX_UNWRITTEN_BYTES = 2 << 20
"""More than one request of ours, which is written when the pipe has drained: an upstream that reads never gets there."""

ToSession = MemoryObjectSendStream[SessionMessage | Exception]
FromSession = MemoryObjectReceiveStream[SessionMessage]


class StdioLink(Transport):
    """One process and its pipes; entering starts it, leaving ends it. `on_end` is called once when it is gone.

    `exclusive`: one call at a time has it to itself, and no SDK session reads what is left.
    """

    def __init__(
        self,
        spec: StdioSpec,
        tail: StderrTail,
        on_notice: Notice,
        on_end: Callable[[], None],
        *,
        exclusive: bool = False,
    ) -> None:
        self._spec = spec
        self._tail = tail
        self._on_notice = on_notice
        self._on_end = on_end
        self._exclusive = exclusive
        self._ended: str | None = None
        self._malformed = 0
        self._waiting = Waiting(self._reply, exclusive=exclusive)
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ended(self) -> str | None:
        """See `rpc.Link`."""
        return self._ended

    async def __aenter__(self) -> tuple[MemoryObjectReceiveStream[SessionMessage | Exception], Any]:
        self._child = await Child.start(self._spec, self._tail)
        to_session, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, from_session = anyio.create_memory_object_stream[SessionMessage](0)
        self._tasks = [
            asyncio.create_task(self._read(self._child, to_session)),
            asyncio.create_task(self._write(self._child, from_session)),
            asyncio.create_task(self._watch(self._child)),
        ]
        return read_stream, write_stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end(LOST)
        assert self._child is not None  # noqa: S101
        for task in self._tasks:
            task.cancel()
        try:
            await self._child.stop()
        finally:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def request(self, outgoing: Outgoing) -> Answer:
        """See `rpc.Link`."""
        answer = self._waiting.begin(outgoing)
        try:
            await self._put(encode(outgoing), outgoing)
            return read_response(await answer)
        except asyncio.CancelledError:
            if outgoing.sent:
                self._put_now(encode_cancel(outgoing.id))
            raise
        finally:
            await self._waiting.end(outgoing)

    async def notify(self, method: str) -> None:
        """See `rpc.Link`."""
        self._put_now(encode_notification(method))

    async def _put(self, line: bytes, outgoing: Outgoing | None = None) -> None:
        """Hand one line to the pipe as soon as what was written before has drained; so a stuck child costs no memory."""
        if self._ended is not None or self._child is None:
            raise Fault(UNAVAILABLE)
        async with self._turn:
            try:
                await self._child.stdin.drain()
            except OSError as error:
                raise Fault(UNAVAILABLE) from error
            if self._child.stdin.is_closing():
                raise Fault(UNAVAILABLE)
            if outgoing is not None:
                outgoing.sent = True
            self._child.stdin.write(line + b"\n")

    def _put_now(self, line: bytes) -> bool:
        """Hand one line to the pipe at once. False where it is dropped because the child reads too little."""
        if self._child is None or self._ended is not None or self._child.stdin.is_closing():
            return True
        if self._child.stdin.transport.get_write_buffer_size() >= MAX_UNWRITTEN_BYTES:
            return False
        self._child.stdin.write(line + b"\n")
        return True

    async def _reply(self, response: dict[str, Any]) -> None:
        if not self._put_now(orjson.dumps(response)):
            logger.warning("upstream %s reads no answers to its requests; its session is ended", self._spec.name)
            self._end(FLOOD)

    async def _read(self, child: Child, to_session: ToSession) -> None:
        """Child → us. Ends the link on EOF, on a flood and on too many malformed lines."""
        splitter = LineSplitter(self._spec.limits.max_result_bytes)
        code = LOST
        try:
            async with to_session:
                while chunk := await child.stdout.read(READ_BYTES):
                    for frame in splitter.feed(chunk):
                        if isinstance(frame, Overlong):
                            logger.warning("upstream %s sent a line that is too long; it is stopped", self._spec.name)
                            code = FLOOD
                            return
                        await self._receive(frame, to_session)
                    await asyncio.sleep(0)  # a read of what is there already does not suspend
        except Fault as fault:
            code = fault.code
        finally:
            self._end(code)

    async def _receive(self, frame: bytes, to_session: ToSession) -> None:
        """Take one line. Raises `Fault` where the session must end."""
        try:
            document = message(frame, max_bytes=self._spec.limits.max_result_bytes, max_keys=MAX_ANSWER_KEYS)
        except Malformed as malformed:
            self._waiting.failed(malformed.request_id, Fault(MALFORMED))
            self._count_malformed(str(malformed))
            return
        if "method" not in document and self._waiting.answered(document):
            self._malformed = min(self._malformed, 1)  # a sloppy server that works is borne, and told of once
            return
        if "method" in document and (self._exclusive or "id" in document or document["method"] not in PASSED):
            await self._hear(document)
            await asyncio.sleep(0)  # many of them must not keep the others waiting
            return
        if self._exclusive:
            return
        try:
            await to_session.send(SessionMessage(jsonrpc_message_adapter.validate_python(document, by_name=False)))
        except ValidationError:
            self._count_malformed("a message of no known shape")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # the session is being left

    async def _hear(self, document: dict[str, Any]) -> None:
        """Take a request or a notification. Raises `Fault` where the session must end."""
        if document["method"] in NOTICES:
            self._on_notice(document["method"], document.get("params", {}))
        elif await self._waiting.heard(document) or "id" not in document:
            pass
        elif not self._put_now(orjson.dumps(reply_to(document))):
            logger.warning("upstream %s reads no answers to its requests; it is stopped", self._spec.name)
            raise Fault(FLOOD)

    def _count_malformed(self, cause: str) -> None:
        """Tells of the first in this session. Raises `Fault` at the last that is borne."""
        self._malformed += 1
        if self._malformed == 1:
            logger.warning("upstream %s sent a malformed line, which is dropped: %s", self._spec.name, cause)
        if self._malformed >= MAX_MALFORMED:
            logger.warning("upstream %s sent %d malformed lines; it is stopped", self._spec.name, self._malformed)
            raise Fault(MALFORMED)

    async def _write(self, child: Child, from_session: FromSession) -> None:
        """SDK session → child."""
        async with from_session:
            async for item in from_session:
                try:
                    await self._put(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode())
                except Fault:
                    return

    async def _watch(self, child: Child) -> None:
        """A grandchild may hold the pipes open after the process died."""
        await child.exited()
        await asyncio.sleep(0.2)  # let `_read` take what was written before the end
        self._end(LOST)

    def _end(self, code: str) -> None:
        if self._ended is not None:
            return
        self._ended = code
        self._waiting.fail_all(code)
        self._on_end()
