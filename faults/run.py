"""`make faults`: break everything under the gateway and count what was lost. See docs/reference/fault-campaign.md.

A table goes to stdout, progress to stderr; the exit code is 1 where anything was found, where a part about teeth did not
find what it must, or where a part could not go on.
"""

import argparse
from collections.abc import Sequence

from campaign.run import add_options, chosen_seed, finish, run
from faults.part import CAMPAIGN, PARTS, Amounts


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    much = Amounts()
    parser = argparse.ArgumentParser(prog="faults", description="Break everything under the gateway.")
    parser.add_argument("--cuts", type=int, default=much.cuts, help=f"power cuts (default {much.cuts})")
    parser.add_argument("--kills", type=int, default=much.kills, help=f"kill -9 (default {much.kills})")
    parser.add_argument("--edits", type=int, default=much.edits, help=f"edits of a log (default {much.edits})")
    parser.add_argument("--keys", type=int, default=much.keys, help=f"keys, 16 calls each (default {much.keys})")
    add_options(parser, PARTS)
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Run the parts; the exit code."""
    return await run(CAMPAIGN, chosen_seed(options), options)


if __name__ == "__main__":
    finish(main(arguments()))
