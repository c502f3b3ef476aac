"""The parts of the fault campaign, one in a process: `python -m faults.part NAME --seed S --folder F --out FILE`."""

import sys
from dataclasses import dataclass
from typing import Any

import structlog

from campaign.part import Campaign, Part, main
from faults import cuts, edits, jumps, kills, network, once, operations, space, stall, teeth
from faults.tally import Finding, Tally


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything."""

    cuts: int = 300
    kills: int = 100
    edits: int = 10_000
    keys: int = 1000


PARTS: dict[str, Part[Tally, Amounts]] = {
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

CAMPAIGN = Campaign("faults", PARTS, Tally, Amounts)


def _quiet(_logger: Any, _method: str, _event: Any) -> Any:
    """A gateway inside this process tells of every fault; here they are the purpose."""
    raise structlog.DropEvent


if __name__ == "__main__":
    structlog.configure(processors=[_quiet])
    main(CAMPAIGN, sys.argv[1:])
