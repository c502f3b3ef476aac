"""`make faults`: break everything under the gateway and count what was lost. See docs/reference/fault-campaign.md.

A table goes to stdout, progress to stderr; the exit code is 1 where anything was found, where a part about teeth did not
find what it must, or where a part could not go on.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import SystemRandom

from faults.part import PARTS, Amounts
from faults.tally import HEADINGS, Finding, Tally
from tests.running import REPOSITORY

MEMORY = Path("/dev/shm")  # noqa: S108 where the disk is a model, the real one need not be waited for


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    much = Amounts()
    parser = argparse.ArgumentParser(prog="faults", description="Break everything under the gateway.")
    parser.add_argument("--cuts", type=int, default=much.cuts, help=f"power cuts (default {much.cuts})")
    parser.add_argument("--kills", type=int, default=much.kills, help=f"kill -9 (default {much.kills})")
    parser.add_argument("--edits", type=int, default=much.edits, help=f"edits of a log (default {much.edits})")
    parser.add_argument("--keys", type=int, default=much.keys, help=f"keys, 16 calls each (default {much.keys})")
    parser.add_argument("--seed", type=int, help="of everything random (default: another one each time; it is printed)")
    parser.add_argument("--only", choices=PARTS, nargs="+", metavar="NAME", help=f"these parts only: {', '.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parts at a time (default: one per core)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to FILE, as JSON")
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Run the parts; the exit code."""
    seed = SystemRandom().randrange(1_000_000_000) if options.seed is None else options.seed
    _say(f"seed {seed}")
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
    return 0 if all(tally.passed for tally in tallies) else 1


async def _part(name: str, seed: int, options: argparse.Namespace, slots: asyncio.Semaphore) -> Tally:
    async with slots:
        _say(f"{name} …")
        where = MEMORY if PARTS[name].modelled and os.access(MEMORY, os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix=f"faults-{name}-", dir=where))
        out = folder / "tally.json"
        much = [f"--{each}={getattr(options, each)}" for each in ("cuts", "kills", "edits", "keys")]
        command = ["-m", "faults.part", name, f"--seed={seed}", f"--folder={folder}", f"--out={out}", *much]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
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
        _say(f"{name}: {'ok' if tally.passed else 'NOT OK'}, {tally.seconds:.0f} s")
        return tally


def table(tallies: Sequence[Tally]) -> str:
    """The results as Markdown, and under it what was found."""
    columns = ["part", "what it did", *HEADINGS.values(), "verdict", "s"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for tally in tallies:
        did = ", ".join(f"{count} {what}" for what, count in tally.did.items())
        found = [str(tally.found[finding.value]) for finding in Finding]
        lines.append(f"| {' | '.join([tally.part, did, *found, verdict(tally), f'{tally.seconds:.0f}'])} |")
    for tally in tallies:
        lines += [f"\n{tally.part}: {note}" for note in tally.notes]
        if tally.stopped:
            lines.append(f"\n{tally.part} could not go on: {tally.stopped}")
        if not (tally.passed and tally.must_find):
            lines += [f"\n{tally.part}: {example}" for example in tally.examples]
    return "\n".join(lines)


def verdict(tally: Tally) -> str:
    """In a word or two."""
    if tally.stopped:
        return "COULD NOT GO ON"
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
