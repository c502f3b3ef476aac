"""Everything that is measured, started and ready: the upstream itself, Sealgate, and two proxies that govern nothing."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.calls import Door, Era, make_call
from bench.load import Connection, NoAnswer, open_session
from bench.processes import Cores, Process, free_port
from bench.sealgate import Sealgate

READY_SECONDS = 30.0
DIRECT, READ, WRITE, NAIVE, FASTMCP = (
    "direct",
    "sealgate read_only",
    "sealgate local_write",
    "naive SDK proxy",
    "FastMCP proxy",
)


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to call the echo tool. `session_id` is its handshake session, opened once."""

    name: str
    door: Door
    process: Process
    session_id: str


@dataclass(frozen=True, slots=True)
class Contest:
    """All contenders, and the gateway among them. `upstream` is the port of the upstream behind the proxies."""

    contenders: tuple[Contender, ...]
    sealgate: Sealgate
    upstream: int


def has_fastmcp() -> bool:
    """Whether FastMCP is installed; it comes with the extra `bench`."""
    return importlib.util.find_spec("fastmcp") is not None


@asynccontextmanager
async def contest(folder: Path, cores: Cores) -> AsyncIterator[Contest]:
    """Start them, wait until each has answered a call, and stop them at the end. Raises `RuntimeError`."""
    async with AsyncExitStack() as stack:

        def start(module: str, *arguments: str, core: int, log: str) -> Process:
            process = Process(module, arguments, core=core, log=folder / log)
            stack.callback(process.stop)
            return process

        upstream = free_port()
        behind = start("bench.upstream", str(upstream), core=cores.load, log="upstream.log")
        await answers(Door(upstream, "look"), behind)
        url = f"http://127.0.0.1:{upstream}/mcp"

        gateway = Sealgate(folder / "sealgate", free_port(), upstream, core=cores.tested)
        stack.callback(gateway.process.stop)
        started: list[tuple[str, Door, Process]] = []
        for name, module in ((DIRECT, "bench.upstream"), (NAIVE, "bench.naive_proxy"), (FASTMCP, "bench.fastmcp_proxy")):
            if name == FASTMCP and not has_fastmcp():
                continue
            port = free_port()
            more = [] if name == DIRECT else [url]
            process = start(module, str(port), *more, core=cores.tested, log=f"{module}.log")
            started.append((name, Door(port, "look"), process))
        await asyncio.to_thread(gateway.wait)
        await asyncio.to_thread(gateway.approve_tools)
        read, write = gateway.doors()
        started[1:1] = [(READ, read, gateway.process), (WRITE, write, gateway.process)]

        contenders = []
        for name, door, process in started:
            await answers(door, process)
            contenders.append(Contender(name, door, process, await open_session(door)))
        yield Contest(tuple(contenders), gateway, upstream)


async def answers(door: Door, process: Process) -> None:
    """Wait until it answers a modern call well. Raises `RuntimeError` where it does not in time."""
    deadline = time.monotonic() + READY_SECONDS
    problem: str | None = "it never listened"
    while problem is not None:
        process.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"no good answer from {door.tool} on port {door.port} in {READY_SECONDS} s: {problem}")
        try:
            connection = await Connection.open(door.port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        call = make_call(door, Era.MODERN, None)
        try:
            problem = call.problem(await asyncio.wait_for(connection.ask(call.request), READY_SECONDS))
        except (NoAnswer, TimeoutError) as error:
            problem = repr(error)
        finally:
            connection.close()
        if problem is not None:
            await asyncio.sleep(0.1)
