"""`make bench`: what governing a call costs, next to no gateway and to gateways that govern nothing.

Tables go to stdout, progress to stderr. It measures and judges nothing; it ends with 1 only where calls failed.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench.breakdown import Breakdown, break_down
from bench.calls import Era
from bench.cells import Cell, Plan, measure
from bench.contenders import Contest, contest, has_fastmcp
from bench.processes import REPOSITORY, Cores
from bench.surroundings import surroundings
from bench.tables import breakdown_tables, failure_report, result_tables


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure what governing a call costs.")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--seconds", type=float, default=2.5, help="seconds for one cell (default 2.5)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32], help="calls at once (default 1 8 32)")
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to FILE")
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / ".cache" / "bench",
        help="where the gateway's state lies while it runs; the disk under it counts (default .cache/bench)",
    )
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    cores = Cores.usable()
    os.sched_setaffinity(0, {cores.load})
    seconds = 0.2 if options.quick else options.seconds
    rounds = 1 if options.quick else options.rounds
    plan = Plan(rounds, tuple(Era), options.concurrency, seconds, warm_seconds=min(0.5, seconds / 2))
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=options.folder))
    try:
        where = surroundings(folder, cores)
        if not has_fastmcp():
            _progress("FastMCP is not installed and is left out; the extra `bench` has it.")
        _progress("starting everything …")
        async with contest(folder, cores) as ready:
            cells = await _cells(plan, ready)
            _progress("where the time goes …")
            breakdowns = await break_down(folder / "steps", cores, ready, seconds=2 * seconds, warm_seconds=seconds)
            _progress("verifying the log it wrote …")
            log = await asyncio.to_thread(ready.sealgate.verify_log)
            where["load average"] += f", {os.getloadavg()[0]:.1f} at the end"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(plan, where, cells, breakdowns, log)
    if options.json is not None:
        document = {
            "surroundings": where,
            "cells": [asdict(cell) for cell in cells],
            "breakdowns": [asdict(one) for one in breakdowns],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    failed = sum(cell.failures for cell in cells) + sum(one.failures for one in breakdowns)
    return 1 if failed else 0


async def _cells(plan: Plan, ready: Contest) -> list[Cell]:
    cells: list[Cell] = []
    started = time.monotonic()
    length = plan.length(len(ready.contenders))
    async for cell in measure(plan, ready.contenders):
        cells.append(cell)
        what = f"round {cell.round}, {cell.era}, {cell.concurrency} at a time, {cell.contender}"
        _progress(
            f"[{len(cells)}/{length}, {time.monotonic() - started:.0f} s] {what}: "
            f"{cell.cpu_all_us:.0f} µs CPU, p50 {cell.p50_ms:.2f} ms" + (f", {cell.failures} FAILED" * bool(cell.failures))
        )
    return cells


def _print(plan: Plan, where: dict[str, str], cells: Sequence[Cell], breakdowns: Sequence[Breakdown], log: str) -> None:
    print("# What governing a call costs\n")
    for name, value in where.items():
        print(f"- {name}: {value}")
    print(f"- each figure: median of {plan.rounds} interleaved round(s) of {plan.seconds} s (least–greatest)")
    print("- with helper: Sealgate decides in a helper process; the ratios of CPU time include it\n")
    print(result_tables(cells))
    print("\n## Where Sealgate's time goes\n")
    print("Measured inside one gateway, modern era, one call at a time; `execute` includes the upstream.\n")
    print(breakdown_tables(breakdowns))
    print(f"\n{failure_report(cells, breakdowns)}")
    print(f"The log that the gateway wrote meanwhile: {log}")


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("make bench needs Linux: it pins processes to cores and reads their CPU clocks.")
    sys.exit(uvloop.run(main(arguments())))
