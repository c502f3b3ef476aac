"""A campaign: its parts side by side, each in a process of its own, then the table and the results.

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
from collections.abc import Coroutine, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any, NoReturn

from campaign.part import AmountsT, Campaign, TallyT
from campaign.table import table
from tests.running import REPOSITORY

MEMORY = Path("/dev/shm")  # noqa: S108 where the disk is a model, the real one need not be waited for


def add_options(parser: argparse.ArgumentParser, parts: Iterable[str]) -> None:
    """What every campaign can be told."""
    parser.add_argument("--seed", type=int, help="of everything random (default: another one each time; it is printed)")
    parser.add_argument("--only", choices=parts, nargs="+", metavar="NAME", help=f"these parts only: {', '.join(parts)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="parts at a time (default: one per core)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to FILE, as JSON")


def chosen_seed(options: argparse.Namespace) -> int:
    """The given seed, or another one each time. It is said."""
    seed: int = SystemRandom().randrange(1_000_000_000) if options.seed is None else options.seed
    _say(f"seed {seed}")
    return seed


async def run(campaign: Campaign[TallyT, AmountsT], seed: int, options: argparse.Namespace) -> int:
    """Run the parts; the exit code."""
    running = asyncio.current_task()
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    started = time.monotonic()
    slots = asyncio.Semaphore(options.jobs)
    names = options.only or campaign.parts
    tallies = await asyncio.gather(*(_part(campaign, name, seed, options, slots) for name in names))
    print(table(tallies))
    print(f"\nseed {seed}, {time.monotonic() - started:.0f} s")
    if options.out is not None:
        options.out.write_text(json.dumps({"seed": seed, "parts": [tally.document() for tally in tallies]}, indent=1) + "\n")
    return 0 if all(tally.accepted() for tally in tallies) else 1


def finish(main: Coroutine[Any, Any, int]) -> NoReturn:
    """Run it to its end, and leave with its exit code."""
    try:
        sys.exit(asyncio.run(main))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("stopped")


async def _part(
    campaign: Campaign[TallyT, AmountsT], name: str, seed: int, options: argparse.Namespace, slots: asyncio.Semaphore
) -> TallyT:
    async with slots:
        _say(f"{name} …")
        part = campaign.parts[name]
        where = MEMORY if part.modelled and os.access(MEMORY, os.W_OK) else None
        folder = Path(tempfile.mkdtemp(prefix=f"{campaign.name}-{name}-", dir=where))
        out = folder / "tally.json"
        much = [f"--{each}={getattr(options, each)}" for each in campaign.amount_names()]
        command = ["-m", f"{campaign.name}.part", name, f"--seed={seed}", f"--folder={folder}", f"--out={out}", *much]
        process = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=REPOSITORY, stdin=subprocess.DEVNULL)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        if out.exists():
            tally = campaign.tally.from_document(json.loads(out.read_text()))
        else:
            tally = campaign.tally(name, seed, part.must_find)
            tally.stopped = f"its process ended with {code} and left no result"
        if tally.passed:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            tally.notes.append(f"what is left of it: {folder}")
        _say(f"{name}: {tally.short()}, {tally.seconds:.0f} s")
        return tally


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
