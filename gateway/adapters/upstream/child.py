"""The process of a stdio upstream: scrubbed environment, own process group, bounded stderr, bounded end."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process

from gateway.adapters.upstream.spec import StdioSpec

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TERM")
STDERR_TAIL_BYTES = 2_048
READ_BYTES = 65_536
CLOSE_SECONDS = 0.5
TERMINATE_SECONDS = 2.0


class StderrTail:
    """The end of what a process, and the ones after it, wrote to stderr."""

    def __init__(self) -> None:
        self._bytes = b""

    def add(self, chunk: bytes) -> None:
        """Keep the end of it."""
        self._bytes = (self._bytes + chunk)[-STDERR_TAIL_BYTES:]

    def text(self) -> str:
        """The printable part. Text of the upstream: for the operator only."""
        text = self._bytes.decode("utf-8", "replace")
        return "".join(character for character in text if character.isprintable() or character == "\n")


class Child:
    """A running process. Make it with `start`, end it with `stop`."""

    def __init__(self, process: Process, tail: StderrTail) -> None:
        self._process = process
        self._tail = tail
        self._drain = asyncio.create_task(self._drain_stderr())

    @classmethod
    async def start(cls, spec: StdioSpec, tail: StderrTail) -> "Child":
        """Start it. Raises `OSError` where the command cannot be run."""
        process = await asyncio.create_subprocess_exec(
            spec.command,
            *spec.args,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=spec.cwd,
            env=_environment(spec),
            start_new_session=True,
        )
        return cls(process, tail)

    @property
    def stdin(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None  # noqa: S101
        return self._process.stdout

    async def stop(self) -> None:
        """Close its stdin, then terminate, then kill the whole group (MCP stdio: shutdown). Takes seconds at most."""
        try:
            self.stdin.close()
            if not await self._exits_within(CLOSE_SECONDS):
                self._signal(signal.SIGTERM)
                await self._exits_within(TERMINATE_SECONDS)
        finally:
            self._signal(signal.SIGKILL)  # also what the process itself left behind
            self._drain.cancel()
        await self._exits_within(TERMINATE_SECONDS)
        await asyncio.gather(self._drain, return_exceptions=True)
        await self._read_to_the_end()

    async def exited(self) -> None:
        """Returns when the process has ended."""
        await self._process.wait()

    async def _exits_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    async def _read_to_the_end(self) -> None:
        """asyncio closes a pipe only when its end was read; one that is paused after a flood would stay open."""
        try:
            async with asyncio.timeout(TERMINATE_SECONDS):
                while await self.stdout.read(READ_BYTES):
                    pass
        except TimeoutError:
            pass

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)  # it leads its group: start_new_session
        except (ProcessLookupError, PermissionError):
            pass

    async def _drain_stderr(self) -> None:
        assert self._process.stderr is not None  # noqa: S101
        while chunk := await self._process.stderr.read(READ_BYTES):
            self._tail.add(chunk)


def _environment(spec: StdioSpec) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in KEPT_VARIABLES or key.startswith("LC_")}
    return {**kept, **spec.env}
