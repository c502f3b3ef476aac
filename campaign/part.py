"""One part of a campaign in a process of its own: `python -m CAMPAIGN.part NAME --seed S --folder F --out FILE`."""

import argparse
import asyncio
import inspect
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from campaign.tally import BaseTally

TallyT = TypeVar("TallyT", bound=BaseTally[Any])
AmountsT = TypeVar("AmountsT")


@dataclass(frozen=True, slots=True)
class Part(Generic[TallyT, AmountsT]):
    """`run` does it, in a folder of its own: in memory where the disk is a model, else on a real disk."""

    run: Callable[[TallyT, Path, AmountsT], Awaitable[None] | None]
    modelled: bool = False
    must_find: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Campaign(Generic[TallyT, AmountsT]):
    """The package `name` has a module `part`, which runs one of `parts`. `amounts` is a dataclass: how much of everything,
    each field a number with a default."""

    name: str
    parts: Mapping[str, Part[TallyT, AmountsT]]
    tally: type[TallyT]
    amounts: type[AmountsT]

    def amount_names(self) -> list[str]:
        """The options that say how much."""
        return [amount.name for amount in fields(self.amounts)]  # type: ignore[arg-type]  # a dataclass


def main(campaign: Campaign[TallyT, AmountsT], given: Sequence[str]) -> None:
    """Run the part and write its tally; whatever happens, there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=campaign.parts)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    much = campaign.amounts()
    for name in campaign.amount_names():
        default = getattr(much, name)
        parser.add_argument(f"--{name}", type=type(default), default=default)
    options = parser.parse_args(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave through every `finally`: no process stays behind
    part = campaign.parts[options.name]
    tally = campaign.tally(options.name, options.seed, part.must_find)
    started = time.monotonic()
    try:
        amounts = campaign.amounts(**{name: getattr(options, name) for name in campaign.amount_names()})
        running = part.run(tally, options.folder, amounts)
        if inspect.isawaitable(running):
            asyncio.run(_finish(running))
    except Exception as error:  # noqa: BLE001 whatever it was, it is told, and the part has not passed
        tally.stop(error)
    tally.seconds = time.monotonic() - started
    options.out.write_text(json.dumps(tally.document()))


async def _finish(running: Awaitable[None]) -> None:
    await running
