"""The parts of the fuzz campaign, one in a process: `python -m fuzz.part NAME --seed S --folder F --out FILE`."""

import sys
from dataclasses import dataclass

from campaign.part import Campaign, Part, main
from fuzz import apis, differential, frames, guided, inside, mcp_fuzzer, relayed, teeth, wire
from fuzz.tally import Finding, Tally


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything: frames, documents, seconds of what goes on as long as it is let,
    runs of each thing that the programs of others try, idle connections."""

    frames: int = 20_000
    cases: int = 5_000
    seconds: float = 30.0
    runs: int = 10
    connections: int = 10_000


PARTS: dict[str, Part[Tally, Amounts]] = {
    "frames": Part(lambda tally, folder, much: frames.run(tally, folder, much.frames)),
    "wire": Part(lambda tally, folder, much: wire.run(tally, folder, much.connections)),
    "teeth-frames": Part(
        lambda tally, folder, much: teeth.frames_with_a_lenient_parser(tally, folder),
        must_find=(Finding.TAKEN, Finding.UNANSWERED),
    ),
    "guided": Part(lambda tally, folder, much: guided.run(tally, folder, much.seconds)),
    "inside": Part(lambda tally, folder, much: inside.run(tally, much.seconds / 2)),
    "mcp-fuzzer": Part(lambda tally, folder, much: mcp_fuzzer.run(tally, folder, much.runs)),
    "schemathesis": Part(lambda tally, folder, much: apis.run(tally, folder, much.runs)),
    "differential": Part(lambda tally, folder, much: differential.run(tally, folder, much.cases)),
    "relayed": Part(lambda tally, folder, much: relayed.run(tally, folder, much.cases // 20)),
    "teeth-differential": Part(
        lambda tally, folder, much: teeth.differential_with_a_lenient_parser(tally, folder),
        must_find=(Finding.DISAGREEMENT,),
    ),
}
"""Longest first: they run side by side."""

CAMPAIGN = Campaign("fuzz", PARTS, Tally, Amounts)


if __name__ == "__main__":
    main(CAMPAIGN, sys.argv[1:])
