"""Where the time of a governed call goes: loads `bench.steps` one call at a time, and makes its report a table's rows."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bench.calls import Era
from bench.contenders import READ, WRITE, Contest, answers
from bench.load import Tally, load
from bench.processes import Cores, free_port
from bench.sealgate import Sealgate

CALL, HTTP = "call", "http"
"""The steps that `bench.steps` adds around the pipeline's own."""

STEPS = ("resolve", "seal", "flow", "decide", "reserve", "ready", "begin", "execute", "capture", "finish")
PAUSE_SECONDS = 0.0005
"""Between two calls, so that what the gateway does after a response is not counted to the next call."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one call: mean wall time and mean CPU time of the event loop's thread, in µs."""

    name: str
    wall_us: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One kind of call. `threads` is CPU time in µs per call by who spent it; their sum is all of it."""

    contender: str
    calls: int
    failures: int
    first_failure: str | None
    parts: tuple[Part, ...]
    total: Part
    threads: dict[str, float]


async def break_down(
    folder: Path, cores: Cores, beside: Contest, *, seconds: float, warm_seconds: float
) -> tuple[Breakdown, ...]:
    """Of a read and of a write, in the modern era. It has the upstream and the pins of `beside`.

    Raises `RuntimeError` where the gateway does not serve.
    """
    port = free_port()
    gateway = Sealgate(folder, port, beside.upstream, core=cores.tested, module="bench.steps", lock=beside.sealgate.lock)
    found = []
    try:
        await asyncio.to_thread(gateway.wait)
        for name, door in zip((READ, WRITE), gateway.doors(), strict=True):
            await answers(door, gateway.process)
            await load(door, Era.MODERN, None, concurrency=1, seconds=warm_seconds, warm_seconds=0.0)
            await asyncio.to_thread(_get, port, "reset")
            tally = await load(
                door, Era.MODERN, None, concurrency=1, seconds=seconds, warm_seconds=0.0, pause_seconds=PAUSE_SECONDS
            )
            found.append(_breakdown(name, tally, await asyncio.to_thread(_get, port, "report")))
    finally:
        gateway.process.stop()
    return tuple(found)


def _get(port: int, what: str) -> Any:
    return httpx2.get(f"http://127.0.0.1:{port}/bench/{what}", timeout=10).raise_for_status().json()


def _breakdown(contender: str, tally: Tally, report: Mapping[str, Any]) -> Breakdown:
    calls = report["steps"][HTTP]["count"]

    def part(name: str) -> Part:
        step = report["steps"].get(name, {"wall_s": 0.0, "cpu_s": 0.0})
        return Part(name, step["wall_s"] / calls * 1e6, step["cpu_s"] / calls * 1e6)

    steps = tuple(map(part, STEPS))
    call, http = part(CALL), part(HTTP)
    cpu = {name: seconds / calls * 1e6 for name, seconds in report["cpu_s"].items()}
    total = Part("the whole call, as the client sees it", sum(tally.latencies) / max(tally.calls, 1) * 1000, cpu["loop"])
    around = (
        _rest("between the steps", call, *steps),
        _rest("HTTP app, strict front, SDK server, reply", http, call),
        _rest("uvicorn, sockets, event loop, client", total, http),
    )
    threads = {
        "event loop": cpu["loop"],
        "journal's writer thread": cpu["writer"],
        "other threads": cpu["process"] - cpu["loop"] - cpu["writer"],
        "policy helper process": cpu["helpers"],
    }
    return Breakdown(contender, tally.calls, tally.failures, tally.first_failure, (*steps, *around), total, threads)


def _rest(name: str, whole: Part, *parts: Part) -> Part:
    """What `parts` leave of `whole`."""
    return Part(name, whole.wall_us - sum(part.wall_us for part in parts), whole.cpu_us - sum(part.cpu_us for part in parts))
