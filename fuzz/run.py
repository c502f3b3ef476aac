"""`make fuzz`: hostile input at everything that reads it, and a count of what was not withstood. See
docs/reference/fuzz-campaign.md.

A table goes to stdout, progress to stderr; the exit code is 1 where anything was found, where a part about teeth did not
find what it must, or where a part could not go on. `--replay` runs one case of the parsers and verifiers again.
"""

import argparse
from collections.abc import Sequence

from campaign.run import add_options, chosen_seed, finish, run
from fuzz import inside
from fuzz.part import CAMPAIGN, PARTS, Amounts


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
    add_options(parser, PARTS)
    parser.add_argument("--replay", metavar="TARGET:NUMBER", help=f"one case again, of {', '.join(inside.TARGETS)}")
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Run the parts, or one case again; the exit code."""
    seed = chosen_seed(options)
    if options.replay is not None:
        return _again(seed, options.replay)
    return await run(CAMPAIGN, seed, options)


def _again(seed: int, case: str) -> int:
    name, _, number = case.partition(":")
    found = inside.attempt(name, seed, int(number))
    print(found or "nothing")
    return 1 if found else 0


if __name__ == "__main__":
    finish(main(arguments()))
