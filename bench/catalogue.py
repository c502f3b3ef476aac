"""`make bench-catalogue`: what a call, a list and a search cost with few tools behind the gateway and with many.

Two gateways, each with an upstream of its own, stand side by side and differ in how many tools are registered, pinned and
callable. The same tool is called on one side and then on the other, round after round. Beside that, of the side with many:
the start, a re-list, pages of tools/list, searches, memory. It measures and judges nothing; it ends with 1 only where a call
failed or an answer is not the one that must come.
"""

import argparse
import asyncio
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from bench.calls import Door, Era, ask
from bench.cells import Cell, Plan, measure
from bench.contenders import Contender, answers
from bench.load import Connection
from bench.processes import REPOSITORY, Cores, Process, cpu_seconds, free_port
from bench.sealgate import Sealgate
from bench.surroundings import surroundings
from bench.tables import failure_report, spread_of, table

SEED = 7
SEARCH = "sealgate__search_tools"
QUERIES = 500
LISTED_WHILE_IDLE = 3
IDLE_SECONDS = 60.0
_WORDS = ("find", "close", "export", "archive", "invoice", "orders", "refund", "region", "day", "how many", "customer", "42")


@dataclass(frozen=True, slots=True)
class Standing:
    """What so many tools cost before anybody calls one. Seconds of CPU time are the gateway's, without its helper's."""

    tools: int
    start_seconds: float
    start_cpu_seconds: float
    approve_cpu_seconds: float
    pinned_start_cpu_seconds: float
    relist_cpu_seconds: float
    memory_mib: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Latencies in ms, as a client sees them, and CPU µs of the gateway for each request."""

    what: str
    requests: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Side:
    """One gateway with its upstream."""

    tools: int
    gateway: Sealgate
    standing: Standing

    @property
    def door(self) -> Door:
        """Where the tool is called that both sides have."""
        return self.gateway.doors()[0]


class WrongAnswer(RuntimeError):
    """What came is not what must come."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench-catalogue", description="Measure what a large catalogue costs.")
    parser.add_argument(
        "--tools", type=int, nargs=2, default=[10, 10_000], metavar=("FEW", "MANY"), help="tools behind each"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds for one cell (default 2)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8], help="calls at once (default 1 8)")
    parser.add_argument("--queries", type=int, default=QUERIES, help=f"searches (default {QUERIES})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to FILE")
    parser.add_argument(
        "--folder", type=Path, default=REPOSITORY / ".cache" / "bench", help="where the gateways' state lies meanwhile"
    )
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    cores = Cores.usable()
    os.sched_setaffinity(0, {cores.load})
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="catalogue-", dir=options.folder))
    plan = Plan(options.rounds, (Era.MODERN,), options.concurrency, options.seconds, min(0.5, options.seconds / 2))
    try:
        where = surroundings(folder, cores)
        async with AsyncExitStack() as stack:
            sides = [await stack.enter_async_context(_side(folder, cores, tools)) for tools in options.tools]
            contenders = [Contender(_named(side.tools), side.door, side.gateway.process, "") for side in sides]
            cells = []
            async for cell in measure(plan, contenders):
                cells.append(cell)
                _progress(
                    f"round {cell.round}, {cell.concurrency} at a time, {cell.contender}: {cell.cpu_all_us:.0f} µs CPU"
                )
            readings = await _readings(sides[1], options.queries)
            where["load average"] += f", {os.getloadavg()[0]:.1f} at the end"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(where, plan, [side.standing for side in sides], cells, readings)
    if options.json is not None:
        document = {
            "surroundings": where,
            "standing": [asdict(side.standing) for side in sides],
            "cells": [asdict(cell) for cell in cells],
            "readings": [asdict(reading) for reading in readings],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(cell.failures for cell in cells) else 0


@asynccontextmanager
async def _side(folder: Path, cores: Cores, tools: int) -> AsyncIterator[Side]:
    """A gateway with so many tools, all of them callable. Raises `RuntimeError`."""
    _progress(f"starting {_named(tools)} …")
    async with AsyncExitStack() as stack:
        port = free_port()
        upstream = Process("bench.upstream", [str(port), str(tools)], core=cores.load, log=folder / f"upstream-{tools}.log")
        stack.callback(upstream.stop)
        behind = Door(port, "look")
        await answers(behind, upstream)

        began = time.perf_counter()
        gateway = Sealgate(folder / str(tools), free_port(), port, core=cores.tested)
        stack.callback(gateway.process.stop)
        await asyncio.to_thread(gateway.wait)
        start_seconds, started = time.perf_counter() - began, cpu_seconds(gateway.process.pid)
        await asyncio.to_thread(gateway.approve_tools)
        approved = cpu_seconds(gateway.process.pid)
        await answers(gateway.doors()[0], gateway.process)
        pinned, relist = await _relisting(folder / f"{tools}-again", cores, port, behind, gateway.lock)
        standing = Standing(
            tools,
            start_seconds,
            started,
            approved - started,
            pinned,
            relist,
            _memory_mib(gateway.process.pid),
        )
        yield Side(tools, gateway, standing)


async def _relisting(folder: Path, cores: Cores, upstream: int, behind: Door, lock: Path) -> tuple[float, float]:
    """CPU seconds of a start with all tools pinned, and of one re-list that finds nothing new."""
    often = "upstreams: {up: {refresh_seconds: 1}}\n"
    gateway = Sealgate(folder, free_port(), upstream, core=cores.tested, lock=lock, more=often)
    try:
        await asyncio.to_thread(gateway.wait)
        await answers(gateway.doors()[0], gateway.process)
        started = cpu_seconds(gateway.process.pid)
        first = await _lists(behind)
        deadline = time.monotonic() + IDLE_SECONDS
        while (listed := await _lists(behind) - first) < LISTED_WHILE_IDLE:
            if time.monotonic() > deadline:
                raise RuntimeError(f"it was listed {listed} times in {IDLE_SECONDS} s")
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # the last one is being read
        return started, (cpu_seconds(gateway.process.pid) - started) / listed
    finally:
        gateway.process.stop()


async def _lists(behind: Door) -> int:
    connection = await Connection.open(behind.port)
    try:
        found: int = (await _answer(connection, behind, "bench/lists", {}))["lists"]
        return found
    finally:
        connection.close()


async def _readings(side: Side, queries: int) -> list[Reading]:
    """Pages of tools/list until all tools were listed, the first search, and more of them."""
    door = side.door
    connection = await Connection.open(door.port)
    try:
        pages = _Clock(side.gateway.process.pid)
        names: list[str] = []
        params: dict[str, Any] = {}
        while True:
            with pages:
                page = await _answer(connection, door, "tools/list", params)
            names += [tool["name"] for tool in page["tools"]]
            if "nextCursor" not in page:
                break
            params = {"cursor": page["nextCursor"]}
        if len(set(names) - {SEARCH}) != side.tools or len(names) != len(set(names)):
            raise WrongAnswer(
                f"{len(names)} tools were listed, {len(set(names))} different ones, and there are {side.tools}"
            )

        dice = Random(SEED)
        searched = Door(door.port, SEARCH, door.token)
        first, more = _Clock(side.gateway.process.pid), _Clock(side.gateway.process.pid)
        for number in range(queries + 1):
            query = " ".join(dice.sample(_WORDS, dice.randint(1, 5)))
            with first if number == 0 else more:
                result = await _answer(
                    connection, searched, "tools/call", {"name": SEARCH, "arguments": {"query": query, "limit": 10}}
                )
            if not result["structuredContent"]["matches"] and side.tools > len(_WORDS) ** 2:
                raise WrongAnswer(f"nothing was found for {query}")
        readings = [pages.told("a page of tools/list"), first.told("the first search"), more.told("a search")]
    finally:
        connection.close()
    return readings


async def _answer(connection: Connection, door: Door, method: str, params: dict[str, Any]) -> dict[str, Any]:
    reply = await connection.ask(ask(door, method, params))
    try:
        result: dict[str, Any] = reply.messages()[0]["result"]
    except (ValueError, KeyError, IndexError) as error:
        raise WrongAnswer(f"{method}: HTTP {reply.status}: {reply.body[:200]!r}") from error
    return result


class _Clock:
    """The time of each request that is made within it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._taken: list[float] = []
        self._cpu = 0.0

    def __enter__(self) -> None:
        self._cpu -= cpu_seconds(self._pid)
        self._began = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self._taken.append((time.perf_counter() - self._began) * 1000)
        self._cpu += cpu_seconds(self._pid)

    def told(self, what: str) -> Reading:
        """Percentiles by nearest rank."""
        ordered = sorted(self._taken)
        many = len(ordered)

        def at(share: float) -> float:
            return ordered[min(many - 1, int(share * many))] if many else math.nan

        return Reading(what, many, at(0.5), at(0.99), at(1.0), self._cpu / many * 1e6 if many else math.nan)


def _memory_mib(pid: int) -> float:
    """Resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no VmRSS")


def ratios(cells: Sequence[Cell], concurrency: int) -> list[float]:
    """CPU time per call with many tools by that with few, one for each round."""
    chosen = [cell for cell in cells if cell.concurrency == concurrency]
    few, many = dict.fromkeys(cell.contender for cell in chosen)
    by = {(cell.contender, cell.round): cell.cpu_all_us for cell in chosen}
    return [by[many, number] / by[few, number] for number in dict.fromkeys(cell.round for cell in chosen)]


def _print(
    where: dict[str, str], plan: Plan, standing: Sequence[Standing], cells: Sequence[Cell], readings: Sequence[Reading]
) -> None:
    print("# What a large catalogue costs\n")
    for name, value in where.items():
        print(f"- {name}: {value}")
    print(f"- each figure of calls: median of {plan.rounds} interleaved rounds of {plan.seconds} s (least–greatest)")
    print("- CPU of calls is the gateway's with its policy helper; ratios are made within a round\n")
    few, many = (_named(one.tools) for one in standing)
    rows = []
    for concurrency in plan.concurrencies:
        chosen = [cell for cell in cells if cell.concurrency == concurrency]
        cpu = [spread_of([cell.cpu_all_us for cell in chosen if cell.contender == name], 0) for name in (few, many)]
        p50 = [spread_of([cell.p50_ms for cell in chosen if cell.contender == name], 2) for name in (few, many)]
        rows.append([f"{concurrency} at a time", *cpu, spread_of(ratios(cells, concurrency), 2), *p50])
    print(table(("tools/call", f"CPU µs, {few}", f"CPU µs, {many}", "ratio", f"p50 ms, {few}", f"p50 ms, {many}"), rows))
    print(f"\n{failure_report(cells, [])}\n")
    head = ("of " + many, "requests", "p50 ms", "p99 ms", "most ms", "CPU µs")
    print(
        table(
            head,
            [
                [
                    one.what,
                    str(one.requests),
                    f"{one.p50_ms:.2f}",
                    f"{one.p99_ms:.2f}",
                    f"{one.most_ms:.2f}",
                    f"{one.cpu_us:.0f}",
                ]
                for one in readings
            ],
        )
    )
    print()
    stands = ("standing", "start s", "start CPU s", "approve all CPU s", "pinned start CPU s", "re-list CPU s", "memory MiB")
    print(
        table(
            stands,
            [
                [
                    _named(one.tools),
                    f"{one.start_seconds:.1f}",
                    f"{one.start_cpu_seconds:.2f}",
                    f"{one.approve_cpu_seconds:.2f}",
                    f"{one.pinned_start_cpu_seconds:.2f}",
                    f"{one.relist_cpu_seconds:.3f}",
                    f"{one.memory_mib:.0f}",
                ]
                for one in standing
            ],
        )
    )


def _named(tools: int) -> str:
    return f"{tools:,} tools"


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("make bench-catalogue needs Linux: it pins processes to cores and reads their CPU clocks.")
    sys.exit(uvloop.run(main(arguments())))
