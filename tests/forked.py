"""Gateways forked from one process that has imported their code: that is most of the work of a start, done once.

`python -m gateway` runs in the fork as in a fresh process: its own arguments, environment, descriptors and end. What a
fresh one is to show (`test_start`, the tutorial, full disks) starts a fresh one.
"""

import array
import atexit
import contextlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
_MAX_REQUEST = 1 << 20


@dataclass(eq=False)
class Forked:
    """A process that the parent forked, with what tests use of `subprocess.Popen`. `report`: its pid, then its exit code."""

    report: int
    pid: int = field(init=False)
    returncode: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.pid = self._next_number(None) or 0
        try:
            self._handle = os.pidfd_open(self.pid)
        except ProcessLookupError:  # it has ended already
            self._handle = os.open(os.devnull, os.O_RDONLY)
            self.wait()

    def poll(self) -> int | None:
        """Its exit code, minus the signal that ended it, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("gateway", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Where it has ended: nothing."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self.returncode = self._next_number(timeout)
            if self.returncode is not None:
                os.close(self.report)
                os.close(self._handle)
        return self.returncode

    def _next_number(self, timeout: float | None) -> int | None:
        """What the parent reports next; None where it reports nothing in time."""
        readable, _, _ = select.select([self.report], [], [], timeout)
        if not readable:
            return None
        told = os.read(self.report, 8)
        if len(told) != 8:
            raise AssertionError("the process that forks gateways has ended")
        return int.from_bytes(told, "little", signed=True)


class _Parent:
    """The process that forks, from this side."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forked", str(theirs.fileno())], cwd=REPOSITORY, pass_fds=(theirs.fileno(),)
            )
        atexit.register(self._end)

    def fork(self, arguments: list[str], env: dict[str, str], output: int) -> Forked:
        request = json.dumps({"arguments": arguments, "env": env}).encode()
        ours, theirs = os.pipe()
        try:
            handed = array.array("i", (output, theirs))
            self._ours.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handed)])
        finally:
            os.close(theirs)
        return Forked(ours)

    def _end(self) -> None:
        self._ours.close()
        self._process.wait()


_parent: _Parent | None = None


def fork_gateway(arguments: list[str], env: dict[str, str], output: int) -> Forked:
    """`python -m gateway ARGUMENTS` in the repository's folder; the descriptor `output` is its stdout and stderr."""
    global _parent
    if _parent is None:
        _parent = _Parent()
    return _parent.fork(arguments, env, output)


def _serve(channel: socket.socket) -> dict[str, Any]:
    """Fork for every request until the channel ends. Returns in each fork, with its request."""
    reports: dict[int, tuple[int, int]] = {}  # the handle of a running fork: its pid, and where its end is reported
    while True:
        channels: list[Any] = [channel, *reports]
        readable, _, _ = select.select(channels, [], [])
        for handle in readable:
            if handle in reports:
                pid, report = reports.pop(handle)
                _tell(report, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(report)
                os.close(handle)
        if channel in readable:
            message, descriptors, _, _ = socket.recv_fds(channel, _MAX_REQUEST, 2)
            if not message:
                sys.exit(0)
            output, report = descriptors
            pid = os.fork()
            if pid == 0:
                os.dup2(output, 1)
                os.dup2(output, 2)
                os.closerange(3, max(map(int, os.listdir("/proc/self/fd"))) + 1)
                channel.detach()
                request: dict[str, Any] = json.loads(message)
                return request
            os.close(output)
            _tell(report, pid)
            reports[os.pidfd_open(pid)] = (pid, report)


def _tell(report: int, number: int) -> None:
    try:
        os.write(report, number.to_bytes(8, "little", signed=True))
    except BrokenPipeError:
        pass  # nobody wants to know any more


def _main() -> NoReturn:
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    from gateway.loading import loading

    with loading():
        import gateway.cli
        import gateway.cli.process
        import gateway.key_changes  # noqa: F401
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the tests end it
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["gateway", *request["arguments"]]
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    _main()
