"""What the suite is pointed at: the everything server on its own, and a real gateway in front of it."""

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from tests.conformance.bearer import with_bearer
from tests.conformance.suite import REVISIONS
from tests.running import REPOSITORY, RunningGateway, running

UPSTREAMS: Mapping[str, tuple[str, ...]] = {"http": REVISIONS, "http-handshake": ("2025-11-25",), "stdio": REVISIONS}
"""How the gateway reaches the server, and the revisions that can be compared so: over HTTP in both eras, over HTTP in the
handshake versions alone, over stdio. A handshake server asks in its own way, so that in front of it 2026-07-28 is a bridge
and no relay: there are no names of questions to compare.
"""
SERVER = "everything"
LET_GO_SECONDS = 1
"""The suite wants to see a call that lets go of its connection (SEP-1699), which a gateway does only where it is told to."""
_MODULE = "tests.conformance.everything"


@contextlib.contextmanager
def everything(kind: str = "http") -> Iterator[str]:
    """The server over HTTP (`http` or `http-handshake`); its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE, kind], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"the everything server ended with {process.wait()} and gave no port")
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@contextlib.contextmanager
def governed(folder: Path, upstream: str, relay: int) -> Iterator[RunningGateway]:
    """A gateway in `folder`, in front of the server: all that it offers is registered and allowed.

    It answers to the address of the relay at port `relay`, which is the one that the suite knows.
    """
    with contextlib.ExitStack() as stack:
        if upstream == "stdio":
            server = f"{{command: {sys.executable}, args: [-m, {_MODULE}, stdio], cwd: {REPOSITORY}}}"
        else:
            server = f"{{url: {stack.enter_context(everything(upstream))}}}"
        config = f"""
listen:
  allowed_hosts: ["127.0.0.1:{relay}"]
  allowed_origins: ["http://127.0.0.1:{relay}"]
  let_go_seconds: {LET_GO_SECONDS}
mcpServers: {{{SERVER}: {server}}}
upstreams: {{{SERVER}: {{names: bare}}}}
tools: [{{match: ["{SERVER}__*", "{SERVER}__*/*"], mode: read_only, trust: trusted, owner: test}}]
"""
        yield stack.enter_context(running(folder, config))


@contextlib.asynccontextmanager
async def reachable(gateway: RunningGateway, relay: int) -> AsyncIterator[str]:
    """The URL that the suite may use: it sends no token, so that the relay adds it."""
    async with with_bearer(relay, gateway.port, gateway.token):
        yield f"http://127.0.0.1:{relay}/mcp"
