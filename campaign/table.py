"""The results of a campaign as a table."""

from collections.abc import Sequence
from typing import Any

from campaign.tally import BaseTally


def table(tallies: Sequence[BaseTally[Any]]) -> str:
    """The results of one campaign, at least one, as Markdown, and under it what was found."""
    headings = tallies[0].headings
    columns = ["part", "what it did", *headings.values(), "verdict", "s"]
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    for tally in tallies:
        did = ", ".join(f"{count:{tally.count_format}} {what}" for what, count in tally.did.items())
        found = [str(tally.found[finding.value]) for finding in headings]
        lines.append(f"| {' | '.join([tally.part, did, *found, tally.verdict(), f'{tally.seconds:.0f}'])} |")
    for tally in tallies:
        lines += [f"\n{tally.part}: {note}" for note in tally.notes]
        unfinished = tally.unfinished()
        if unfinished:
            lines.append(f"\n{tally.part} {unfinished[1]}")
        if not (tally.passed and tally.must_find):
            lines += [f"\n{tally.part}: {example}" for example in tally.examples]
    return "\n".join(lines)
