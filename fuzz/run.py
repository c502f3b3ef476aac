"""`make fuzz`: hostile input at everything that reads it, and a count of what was not withstood. See
docs/reference/fuzz-campaign.md.

A table goes to stdout, progress to stderr; the exit code is 1 where anything was found, where a part about teeth did not
find what it must, or where a part could not go on. `--replay` runs one case of the parsers and verifiers again.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from random import SystemRandom

from fuzz import inside
from fuzz.environment import required
from fuzz.part import PARTS, Amounts
from fuzz.tally import HEADINGS, Finding, Tally
from tests.running import REPOSITORY


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    much = Amounts()
    parser = argparse.ArgumentParser(prog="fuzz", description="Throw hostile input at everything that reads it.")
    parser.add_argument("--frames", type=int, default=much.frames, help=f"frames (default {much.frames})")
    parser.add_argument("--cases", type=int, default=much.cases, help=f"differential cases (default {much.cases})")
    seconds = f"seconds for what goes on as long as it is let (default {much.seconds:.0f})"
    parser.add_argument("--seconds", type=float, default=much.seconds, help=seconds)
    runs = f"runs of each thing that the programs of others try (default {much.runs})"
    parser.add_argument("--runs", type=int, default=much.runs, help=runs)
    idle = f"idle connections (default {much.connections})"
    parser.add_argument("--connections", type=int, default=much.connections, help=idle)
    parser.add_argument("--seed", type=int, help="of everything random (default: another one each time; it is printed)")
    parser.add_argument("--only", choices=PARTS, nargs="+", metavar="NAME", help=f"these parts only: {', '.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parts at a time (default: one per core)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to FILE, as JSON")
    parser.add_argument("--replay", metavar="TARGET:NUMBER", help=f"one case again, of {', '.join(inside.TARGETS)}")
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Run the parts; the exit code."""
    seed = SystemRandom().randrange(1_000_000_000) if options.seed is None else options.seed
    _say(f"seed {seed}")
    if options.replay is not None:
        return _again(seed, options.replay)
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    started = time.monotonic()
    slots = asyncio.Semaphore(options.jobs)
    tallies = await asyncio.gather(*(_part(name, seed, options, slots) for name in options.only or PARTS))
    print(table(tallies))
    print(f"\nseed {seed}, {time.monotonic() - started:.0f} s")
    if options.out is not None:
        options.out.write_text(json.dumps({"seed": seed, "parts": [tally.document() for tally in tallies]}, indent=1) + "\n")
    return 0 if all(tally.passed or (tally.left_out and (tally.excused or not required())) for tally in tallies) else 1


def _again(seed: int, case: str) -> int:
    name, _, number = case.partition(":")
    found = inside.attempt(name, seed, int(number))
    print(found or "nothing")
    return 1 if found else 0


async def _part(name: str, seed: int, options: argparse.Namespace, slots: asyncio.Semaphore) -> Tally:
    async with slots:
        _say(f"{name} …")
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        out = folder / "tally.json"
        much = [f"--{each.name}={getattr(options, each.name)}" for each in fields(Amounts)]
        command = ["-m", "fuzz.part", name, f"--seed={seed}", f"--folder={folder}", f"--out={out}", *much]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=REPOSITORY, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if out.exists():
            tally = Tally.from_document(json.loads(out.read_text()))
        else:
            tally = Tally(name, seed, PARTS[name].must_find)
            tally.stopped = f"its process ended with {code} and left no result"
        if tally.passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            tally.notes.append(f"what is left of it: {folder}")
        _say(f"{name}: {verdict(tally)}, {tally.seconds:.0f} s")
        return tally


def table(tallies: Sequence[Tally]) -> str:
    """The results as Markdown, and under it what was found."""
    columns = ["part", "what it did", *HEADINGS.values(), "verdict", "s"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for tally in tallies:
        did = ", ".join(f"{count:,} {what}" for what, count in tally.did.items())
        found = [str(tally.found[finding.value]) for finding in Finding]
        lines.append(f"| {' | '.join([tally.part, did, *found, verdict(tally), f'{tally.seconds:.0f}'])} |")
    for tally in tallies:
        lines += [f"\n{tally.part}: {note}" for note in tally.notes]
        if tally.left_out:
            lines.append(f"\n{tally.part} was left out: {tally.left_out}")
        if tally.stopped:
            lines.append(f"\n{tally.part} could not go on: {tally.stopped}")
        if not (tally.passed and tally.must_find):
            lines += [f"\n{tally.part}: {example}" for example in tally.examples]
    return "\n".join(lines)


def verdict(tally: Tally) -> str:
    """In a word or two."""
    if tally.stopped:
        return "COULD NOT GO ON"
    if tally.left_out:
        return "left out"
    if tally.must_find:
        return "found out" if tally.passed else "NOT FOUND OUT"
    return "ok" if tally.passed else "VIOLATED"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(arguments())))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("stopped")
