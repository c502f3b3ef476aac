"""The process of a stdio upstream: scrubbed environment, own process group, bounded stderr, bounded end."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, SubprocessStreamProtocol

from gateway.adapters.upstream.sandbox import CommandLine, sandboxed
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


class _Pipes(SubprocessStreamProtocol):
    """Tells of the exit itself: `Process.wait` also waits for the pipes, which a grandchild may hold open."""

    def __init__(self) -> None:
        super().__init__(limit=READ_BYTES, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def process_exited(self) -> None:
        super().process_exited()
        self.exited.set()


class Child:
    """A running process. Make it with `start`, end it with `stop`."""

    def __init__(self, transport: asyncio.SubprocessTransport, pipes: _Pipes, tail: StderrTail) -> None:
        assert pipes.stdin is not None  # noqa: S101
        assert pipes.stdout is not None  # noqa: S101
        assert pipes.stderr is not None  # noqa: S101
        self.stdin, self.stdout = pipes.stdin, pipes.stdout
        self._transport = transport
        self._pid = transport.get_pid()
        self._exited = pipes.exited
        self._drain = asyncio.create_task(self._drain_stderr(pipes.stderr, tail))

    @classmethod
    async def start(cls, spec: StdioSpec, tail: StderrTail) -> "Child":
        """Start it, in its sandbox if it has one. Raises `OSError` or `ConfigError` where that cannot be done."""
        line = _command_line(spec)
        try:
            transport, pipes = await asyncio.get_running_loop().subprocess_exec(
                _Pipes,
                *line.argv,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd=spec.cwd,
                env=line.env,
                start_new_session=True,
                pass_fds=line.files,
            )
        finally:
            line.close()
        return cls(transport, pipes, tail)

    async def exited(self) -> None:
        """Returns when the process itself has ended."""
        await self._exited.wait()

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
        self._transport.close()
        await asyncio.gather(self._drain, return_exceptions=True)

    async def _exits_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._pid, number)  # it leads its group: start_new_session
        except (ProcessLookupError, PermissionError):
            pass

    async def _drain_stderr(self, stderr: asyncio.StreamReader, tail: StderrTail) -> None:
        while chunk := await stderr.read(READ_BYTES):
            tail.add(chunk)


def _command_line(spec: StdioSpec) -> CommandLine:
    kept = {key: value for key, value in os.environ.items() if key in KEPT_VARIABLES or key.startswith("LC_")}
    if spec.sandbox is not None:
        return sandboxed(spec, spec.sandbox, kept)
    return CommandLine((spec.command, *spec.args), {**kept, **spec.env})
