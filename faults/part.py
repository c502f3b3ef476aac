"""One part of the campaign in a process of its own: `python -m faults.part NAME --seed S --folder F --out FILE`."""

import argparse
import asyncio
import inspect
import json
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import structlog

from faults import cuts, edits, jumps, kills, network, once, operations, space, stall, teeth
from faults.tally import Finding, Tally


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything."""

    cuts: int = 300
    kills: int = 100
    edits: int = 10_000
    keys: int = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """`run` does it, in a folder of its own: in memory where the disk is a model, else on a real disk."""

    run: Callable[[Tally, Path, Amounts], Awaitable[None] | None]
    modelled: bool = False
    must_find: tuple[Finding, ...] = ()


PARTS: dict[str, Part] = {
    "kills": Part(lambda tally, folder, much: kills.run(tally, much.kills, folder)),
    "edits": Part(lambda tally, folder, much: edits.run(tally, much.edits, folder)),
    "once": Part(lambda tally, folder, much: once.run(tally, much.keys, folder)),
    "operations": Part(lambda tally, folder, much: operations.run(tally, folder), modelled=True),
    "cuts": Part(lambda tally, folder, much: cuts.run(tally, much.cuts, folder), modelled=True),
    "space": Part(lambda tally, folder, much: space.run(tally, folder)),
    "network": Part(lambda tally, folder, much: network.run(tally, folder)),
    "stall": Part(lambda tally, folder, much: stall.run(tally, folder), modelled=True),
    "jumps": Part(lambda tally, folder, much: jumps.run(tally, folder)),
    "teeth-sync": Part(
        lambda tally, folder, much: teeth.without_sync(tally, folder), modelled=True, must_find=(Finding.LOST,)
    ),
    "teeth-intent": Part(
        lambda tally, folder, much: teeth.without_intent(tally, folder),
        modelled=True,
        must_find=(Finding.UNINTENDED, Finding.DUPLICATE),
    ),
}
"""Longest first: they run side by side."""


def main(given: list[str]) -> None:
    """Run the part and write its tally; whatever happens, there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PARTS)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for amount in fields(Amounts):
        parser.add_argument(f"--{amount.name}", type=int, default=amount.default)
    options = parser.parse_args(given)
    structlog.configure(processors=[_quiet])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave through every `finally`: no process stays behind
    part = PARTS[options.name]
    tally = Tally(options.name, options.seed, part.must_find)
    started = time.monotonic()
    try:
        amounts = Amounts(**{amount.name: getattr(options, amount.name) for amount in fields(Amounts)})
        running = part.run(tally, options.folder, amounts)
        if inspect.isawaitable(running):
            asyncio.run(_finish(running))
    except Exception:  # noqa: BLE001 whatever it was, it is told, and the part has not passed
        tally.stopped = traceback.format_exc()[-3000:]
    tally.seconds = time.monotonic() - started
    options.out.write_text(json.dumps(tally.document()))


async def _finish(running: Awaitable[None]) -> None:
    await running


def _quiet(_logger: Any, _method: str, _event: Any) -> Any:
    """A gateway inside this process tells of every fault; here they are the purpose."""
    raise structlog.DropEvent


if __name__ == "__main__":
    main(sys.argv[1:])
