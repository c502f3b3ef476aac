"""A real gateway for tests: the `sealgate` command in its own process and folder, on a free loopback port."""

import contextlib
import io
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2

from gateway.cli import main
from tests.forked import Forked, fork_gateway

REPOSITORY = Path(__file__).resolve().parent.parent
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients on loopback, which speak no TLS: loading the authorities takes 20 ms of CPU time for each client."""
PATIENT = {"SEALGATE__POLICY__DEADLINE_MS": "5000"}
"""How fast a policy decides is not what tests of a whole gateway are about: on a busy machine it may take its time."""


def free_port() -> int:
    """A loopback port that nobody listens on right now, below those that Linux gives to outgoing connections (32768 on)."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def status_of(port: int, path: str) -> int | None:
    """The status of a GET on loopback; None where nobody answers. Costs nothing, so that it can be asked often."""
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def until(condition: Callable[[], Any], *, seconds: float = 30.0, what: str = "condition") -> Any:
    """Wait for `condition` to be truthy, and return what it gave; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true in {seconds} s")
        time.sleep(0.02)
    return value


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def run_cli(
    *arguments: str, state: Path | None = None, stdin: str = "", environment: Mapping[str, str] | None = None
) -> Said:
    """`sealgate …` by its entry point, in this process. `state`: on this state folder; `environment`: more variables."""
    chosen = {**(environment or {}), **({} if state is None else {"SEALGATE_STATE": str(state)})}
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.dict(os.environ, {**chosen, "NO_COLOR": "1"}),
        mock.patch.object(sys, "argv", ["sealgate", *arguments]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()))),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return Said(code if isinstance(code, int) else 0 if code is None else 1, out.getvalue(), err.getvalue())


@dataclass
class RunningGateway:
    """`sealgate up` (or `serve`) on `folder/gateway.yaml`. Use as a context manager; `kill` is kill -9.

    `module` is what Python runs: another one than the gateway's for one that is broken on purpose.
    """

    folder: Path
    port: int = field(default_factory=free_port)
    verb: str = "up"
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | Forked | None = None
    module: str = "gateway"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def state(self) -> Path:
        return self.folder / ".sealgate"

    @property
    def token(self) -> str:
        return (self.state / "dev" / "token").read_text().strip()

    @property
    def output(self) -> str:
        """What it said on stderr so far."""
        return (self.folder / "gateway.err").read_text()

    def configure(self, text: str) -> None:
        """Write gateway.yaml."""
        (self.folder / "gateway.yaml").write_text(text)

    def start(self, *, preexec: Callable[[], None] | None = None) -> "RunningGateway":
        """Start it and wait until it is ready."""
        self.launch(preexec=preexec)
        until(self._ready, seconds=60, what="the gateway's readiness")
        return self

    def launch(self, *, preexec: Callable[[], None] | None = None) -> None:
        """Start it without waiting: a fork, or a fresh process where `preexec` is to run before it, or another module."""
        arguments = [self.verb, "--config", str(self.folder / "gateway.yaml"), "--port", str(self.port)]
        env = {**os.environ, **PATIENT, **self.env}
        with (self.folder / "gateway.err").open("ab") as errors:
            if preexec is None and self.module == "gateway":
                self.process = fork_gateway(arguments, env, errors.fileno())
                return
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module, *arguments],
                cwd=REPOSITORY,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                preexec_fn=preexec,
            )

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.output}")
        return status_of(self.port, "/readyz") == 200

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)

    def cli(self, *arguments: str, check: bool = True, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a `sealgate` command against this gateway's state folder, in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=REPOSITORY,
            env={**os.environ, "SEALGATE_STATE": str(self.state), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            input=stdin,
            timeout=60,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"sealgate {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def run(self, *arguments: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`cli` in this process, which costs a second less. Not beside other threads that print."""
        said = run_cli(*arguments, state=self.state, stdin=stdin)
        if check and said.code != 0:
            raise AssertionError(f"sealgate {' '.join(arguments)} ended with {said.code}:\n{said.stdout}{said.stderr}")
        return subprocess.CompletedProcess(arguments, said.code, said.stdout, said.stderr)

    def json(self, *arguments: str) -> Any:
        """The JSON a `sealgate … --json` command prints."""
        return json.loads(self.run(*arguments, "--json").stdout)

    def approve_tools(self) -> None:
        """Pin every tool that waits for it."""
        self.run("tools", "approve", "--all", "--yes")

    def __enter__(self) -> "RunningGateway":
        return self.start()

    def __exit__(self, *exception: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop()


class ModernClient:
    """Speaks MCP 2026-07-28 over HTTP with no SDK in between: what is sent is what the test says."""

    def __init__(self, gateway: RunningGateway, *, token: str | None = None) -> None:
        self._http = httpx2.Client(timeout=60, verify=NO_AUTHORITIES)
        self._url = gateway.url
        self._token = gateway.token if token is None else token
        self._next = 0

    def __enter__(self) -> "ModernClient":
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Raw bytes to /mcp with the usual headers, which `headers` may override."""
        usual = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
        }
        return self._http.post(self._url, content=body, headers={**usual, **(headers or {})})

    def request(self, method: str, params: dict[str, Any], meta: dict[str, Any] | None = None) -> dict[str, Any]:
        """One JSON-RPC request; the response document, an error or a result."""
        self._next += 1
        envelope = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            **(meta or {}),
        }
        body = {"jsonrpc": "2.0", "id": self._next, "method": method, "params": {**params, "_meta": envelope}}
        named = params.get("name", params.get("uri"))
        headers = {"Mcp-Method": method, **({"Mcp-Name": named} if named is not None else {})}
        response = self.post(json.dumps(body).encode(), headers)
        document: dict[str, Any] = response.json()
        return document

    def call(self, name: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """tools/call; `key=` gives an idempotency key, other keywords are `dev.sealgate/…` meta keys."""
        told = {f"dev.sealgate/{key.replace('_', '-')}": value for key, value in meta.items() if key != "key"}
        if "key" in meta:
            told["dev.sealgate/idempotency-key"] = meta["key"]
        return self.request("tools/call", {"name": name, "arguments": arguments}, told)


def outcome(response: dict[str, Any]) -> dict[str, Any]:
    """`_meta["dev.sealgate/outcome"]` of a tools/call response."""
    told: dict[str, Any] = response["result"]["_meta"]["dev.sealgate/outcome"]
    return told


def text(response: dict[str, Any]) -> str:
    """The text of a tools/call response."""
    return "\n".join(item.get("text", "") for item in response["result"]["content"])


@contextlib.contextmanager
def running(folder: Path, config: str) -> Iterator[RunningGateway]:
    """A gateway on this configuration, with all its tools approved."""
    gateway = RunningGateway(folder)
    gateway.configure(config)
    with gateway:
        gateway.approve_tools()
        yield gateway
