"""One part of the campaign in a process of its own: `python -m fuzz.part NAME --seed S --folder F --out FILE`."""

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from fuzz import apis, differential, frames, guided, inside, mcp_fuzzer, relayed, teeth, wire
from fuzz.environment import Missing, NotThere
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


@dataclass(frozen=True, slots=True)
class Part:
    """`run` does it, in a folder of its own."""

    run: Callable[[Tally, Path, Amounts], None]
    must_find: tuple[Finding, ...] = ()


PARTS: dict[str, Part] = {
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


def main(given: list[str]) -> None:
    """Run the part and write its tally; whatever happens, there is one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=PARTS)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    for amount in fields(Amounts):
        parser.add_argument(f"--{amount.name}", type=type(amount.default), default=amount.default)
    options = parser.parse_args(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # leave through every `finally`: no process stays behind
    part = PARTS[options.name]
    tally = Tally(options.name, options.seed, part.must_find)
    started = time.monotonic()
    try:
        part.run(
            tally, options.folder, Amounts(**{amount.name: getattr(options, amount.name) for amount in fields(Amounts)})
        )
    except (Missing, NotThere) as missing:
        tally.left_out, tally.excused = str(missing), isinstance(missing, NotThere)
    except Exception:  # noqa: BLE001 whatever it was, it is told, and the part has not passed
        tally.stopped = traceback.format_exc()[-3000:]
    tally.seconds = time.monotonic() - started
    options.out.write_text(json.dumps(tally.document()))


if __name__ == "__main__":
    main(sys.argv[1:])
