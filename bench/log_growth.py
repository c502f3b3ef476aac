"""`make bench-log`: what appending, proving and verifying cost as the log grows, and how many appends a second it takes.

The real writer with real signatures on a real file, on one core. Tables go to stdout, progress to stderr. It measures and
judges nothing; it ends with 1 only where a log it wrote does not verify.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import uvloop

from bench.log_measure import Grown, Rate, fresh, grow, progress, rates
from bench.processes import REPOSITORY, Cores
from bench.surroundings import surroundings
from bench.tables import spread_of, table


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.log_growth", description="Measure the log as it grows.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**4, 10**5], help="entries (default 10000 100000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default 3)")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8, 32], help="callers at once (default 1 8 32)")
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds for one number of callers (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to FILE")
    parser.add_argument(
        "--folder", type=Path, default=REPOSITORY / ".cache" / "bench", help="where the logs lie (default .cache/bench)"
    )
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    cores = Cores.usable()
    os.sched_setaffinity(0, {cores.tested})
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="log-", dir=options.folder))
    grown: list[Grown] = []
    rated: list[Rate] = []
    try:
        where = {**surroundings(folder, cores), "cores": f"everything on core {cores.tested}"}
        for number in range(1, options.rounds + 1):
            progress(f"round {number} of {options.rounds}: {', '.join(map(str, options.callers))} callers")
            rated += await rates(fresh(folder), number, options.callers, options.seconds)
            logs = fresh(folder)
            grown += await grow(logs, number, sorted(options.sizes))
            shutil.rmtree(logs)
        where["load average"] += f", {os.getloadavg()[0]:.1f} at the end"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(where, options, grown, rated)
    if options.json is not None:
        document = {
            "surroundings": where,
            "grown": [asdict(one) for one in grown],
            "rates": [asdict(one) for one in rated],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(one.problems for one in grown) else 0


def _print(where: dict[str, str], options: argparse.Namespace, grown: Sequence[Grown], rated: Sequence[Rate]) -> None:
    print("# The log as it grows\n")
    for name, value in where.items():
        print(f"- {name}: {value}")
    print(f"- each figure: median of {options.rounds} round(s) (least–greatest)\n")
    print(table(GROWN_HEAD, [_grown_row([one for one in grown if one.entries == size]) for size in sorted(options.sizes)]))
    print("\n## Appends a second\n")
    print(table(RATE_HEAD, [_rate_row([one for one in rated if one.callers == many]) for many in options.callers]))


GROWN_HEAD = (
    "entries",
    "append CPU µs",
    "× first",
    "proof ms",
    "p99 ms",
    "hashes",
    "proof bytes",
    "consistency ms",
    "hashes",
    "verified/s",
    "peak MiB",
    "above start",
    "file MiB",
)
RATE_HEAD = ("callers", "appends/s", "CPU µs/append", "p50 ms", "p99 ms")


def _grown_row(rounds: Sequence[Grown]) -> list[str]:
    def told(figure: Callable[[Grown], float], digits: int) -> str:
        return spread_of([figure(one) for one in rounds], digits)

    return [
        f"{rounds[0].entries:,}",
        told(lambda one: one.append_us, 0),
        told(lambda one: one.append_ratio, 2),
        told(lambda one: one.prove_ms, 2),
        told(lambda one: one.prove_p99_ms, 2),
        str(max(one.hashes for one in rounds)),
        str(max(one.proof_bytes for one in rounds)),
        told(lambda one: one.extend_ms, 2),
        str(max(one.extend_hashes for one in rounds)),
        told(lambda one: one.verified_per_second, 0),
        told(lambda one: one.verify_peak_mib, 0),
        told(lambda one: one.verify_peak_mib - one.verify_base_mib, 1),
        told(lambda one: one.file_mib, 0),
    ]


def _rate_row(rounds: Sequence[Rate]) -> list[str]:
    return [
        str(rounds[0].callers),
        spread_of([one.per_second for one in rounds], 0),
        spread_of([one.cpu_us for one in rounds], 0),
        spread_of([one.p50_ms for one in rounds], 2),
        spread_of([one.p99_ms for one in rounds], 1),
    ]


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("make bench-log needs Linux: it pins itself to one core.")
    sys.exit(uvloop.run(main(arguments())))
