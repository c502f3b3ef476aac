"""The gateway's side of one helper process (`worker.py`): one process, one bundle, from start to end.

The worker answers in order, so requests wait in a queue and need no names. Two bounds hold:

* a request is answered within its own deadline, whatever else waits in front of it
* a worker that has worked on one request for `patience` seconds is killed, and so is everything it still had to answer

A process that has ended never answers again: the engine starts another one.
"""

import asyncio
import os
import re
import socket
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.worker import FRAME
from gateway.core.decision import ENTRY_POINT
from gateway.core.errors import ConfigError

WORKER = Path(__file__).with_name("worker.py")
INHERITED = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
MAX_WAITING = 1024
_LINE = re.compile(r"\w+:\s+--> (?P<place>.+?:\d+):\d+\n *\|\n *\d+ \| (?P<line>.*)")
_LOCATION = re.compile(r"--> (?P<place>.+?:\d+):\d+\n.*^error: (?P<what>.+)", re.DOTALL | re.MULTILINE)
UNDEFINED = f"ValueError: {ENTRY_POINT} is undefined"
LAST_LOOK_SECONDS = 0.001
START_HINT = "Free memory or process slots, then try again."
LOAD_HINT = "Correct the policy and check it with: sealgate policy check"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why there is no answer, for the operator. `told`: in the engine's words, which may quote the input."""

    cause: str
    told: bool = False

    def where(self) -> str:
        """The cause as `file:line: what`, where the engine named a place in a policy."""
        found = _LOCATION.search(self.cause)
        return f"{found['place']}: {found['what']}" if found else self.cause

    def without_values(self) -> str:
        """The cause, fit to be logged: of an engine's words only the place, and the policy's line there."""
        if not self.told or self.cause == UNDEFINED:
            return self.cause
        found = _LINE.match(self.cause)  # at its beginning: further on, a value could look like it
        return f"the policy failed at {found['place']}: {found['line'].strip()}" if found else "the policy failed"


class PolicyProcess(asyncio.Protocol):
    """See the module. Owned by one event loop; make it with `start`."""

    def __init__(self, on_end: Callable[["PolicyProcess"], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_end = on_end
        self._waiting: deque[tuple[asyncio.Future[bytes | Fault], asyncio.TimerHandle]] = deque()
        self._received = bytearray()
        self._advanced = 0.0  # when the request in front got there, loop time
        self._look: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport
        self._process: asyncio.subprocess.Process
        self.patience = 0.0
        self.fault: Fault | None = None

    @classmethod
    async def start(cls, on_end: Callable[["PolicyProcess"], None], niceness: int = 0) -> "PolicyProcess":
        """A worker with nothing in it. `on_end` is called once, when it has ended. Raises `ConfigError`."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            making = asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the worker's folder is not for imports
                str(WORKER),
                str(theirs.fileno()),
                str(niceness),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,  # Rego's print() would write arguments to it
                start_new_session=True,
                env={name: os.environ[name] for name in INHERITED if name in os.environ},  # and no credentials
            )
            process = await _whole(making)
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):
                raise ConfigError(f"the policy process cannot be started: {error}", hint=START_HINT) from error
            raise
        finally:
            theirs.close()
        worker = cls(on_end)
        worker._process = process  # known before the connection can be lost
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: worker, sock=ours)
        except BaseException:
            ours.close()
            await _ended(process)
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def load(self, bundle: PolicyBundle, seconds: float) -> None:
        """Give a fresh worker its modules and data. Raises `ConfigError` with the file and line."""
        document = {
            "modules": dict(bundle.modules),
            "data": orjson.Fragment(bundle.written_data),
            "roots": bundle.manifest.roots,
            "entry_point": ENTRY_POINT,
        }
        self.patience = seconds
        answer = await self.ask(b"L", orjson.dumps(document), self._loop.time() + seconds)
        if isinstance(answer, Fault):
            raise ConfigError(f"the policies cannot be loaded: {answer.where()}", hint=LOAD_HINT)

    async def ask(self, kind: bytes, payload: bytes, deadline: float) -> bytes | Fault:
        """One request (see `worker.py`) and its answer as JSON bytes. `deadline` is in loop time."""
        if self.fault is not None:
            return self.fault
        if len(self._waiting) >= MAX_WAITING:
            return Fault(f"{MAX_WAITING} decisions are waiting already")
        if not self._waiting:
            self._advanced = self._loop.time()
        answer: asyncio.Future[bytes | Fault] = self._loop.create_future()
        self._waiting.append((answer, self._loop.call_at(deadline, self._overdue, answer)))
        self._transport.write(FRAME.pack(len(payload), kind) + payload)
        return await answer

    async def retire(self) -> None:
        """Ask nothing more; let it finish what it has, then end it."""
        if self.fault is None:
            self._transport.write_eof()
        await self._process.wait()

    async def stop(self) -> None:
        """End it now."""
        self._kill("the gateway is stopping")
        await self._process.wait()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream's transport is a Transport

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= FRAME.size:
            size, status = FRAME.unpack_from(received)
            end = FRAME.size + size
            if len(received) < end:
                break
            payload = bytes(received[FRAME.size : end])
            del received[:end]
            if not self._waiting:
                self._kill("the policy process answered what nobody asked")
                return
            answer, timer = self._waiting.popleft()
            timer.cancel()
            if not answer.done():
                answer.set_result(payload if status == b"V" else Fault(payload.decode(errors="replace"), told=True))
        self._advanced = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the policy process ended by itself")

    # the bounds

    def _overdue(self, answer: "asyncio.Future[bytes | Fault]") -> None:
        # A loop that was held up runs timers before it reads: the answer may be there already.
        self._loop.call_later(LAST_LOOK_SECONDS, self._give_up, answer)

    def _give_up(self, answer: "asyncio.Future[bytes | Fault]") -> None:
        self._check_stuck()
        if not answer.done():
            answer.set_result(Fault("there was no decision within the deadline"))

    def _check_stuck(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self.fault is not None or not self._waiting:
            return
        left = self._advanced + self.patience - self._loop.time()
        if left <= 0:
            self._kill(f"the policy did not end within {self.patience} s; its process was killed")
        else:
            self._look = self._loop.call_later(left, self._check_stuck)

    def _kill(self, cause: str) -> None:
        if self._process.returncode is None:
            try:
                self._process.kill()
            except ProcessLookupError:
                pass  # it was quicker
        self._end(cause)

    def _end(self, cause: str) -> None:
        if self.fault is not None:
            return
        self.fault = Fault(cause)
        self._transport.abort()
        if self._look is not None:
            self._look.cancel()
        for answer, timer in self._waiting:
            timer.cancel()
            if not answer.done():
                answer.set_result(self.fault)
        self._waiting.clear()
        self._on_end(self)


async def _whole(making: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """What is being started, or, for a caller who goes away meanwhile, nothing at all."""
    starting = asyncio.ensure_future(making)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _ended(await starting)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()
