"""What was measured, as JSON for CI and as Markdown for people."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.conformance.parity import Comparison, Pair
from tests.conformance.suite import Status

_SHOWN = (Status.SUCCESS, Status.WARNING, Status.SKIPPED, Status.FAILURE)


def document(comparisons: Sequence[Comparison], versions: dict[str, str]) -> dict[str, Any]:
    """All checks of all comparisons. A check that passes in both runs is a name and no more."""
    return {
        "versions": versions,
        "parity": all(not comparison.lacking for comparison in comparisons),
        "comparisons": [
            {
                "revision": comparison.revision,
                "upstream": comparison.upstream,
                "lacking": len(comparison.lacking),
                "direct": _counts(comparison.counted(through=False)),
                "through": _counts(comparison.counted(through=True)),
                "excused": {
                    "direct": _counts(comparison.counted(through=False, excused=True)),
                    "through": _counts(comparison.counted(through=True, excused=True)),
                },
                "checks": [_row(pair) for pair in comparison.pairs],
            }
            for comparison in comparisons
        ],
    }


def markdown(comparisons: Sequence[Comparison]) -> str:
    """The table of counts, and below it one line for each check that lacks parity."""
    lines = [
        "| revision | server behind | | passed | warned | skipped | failed | worse than directly |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for comparison in comparisons:
        for through in (False, True):
            counts = comparison.counted(through=through)
            figures = " | ".join(str(counts[status]) for status in _SHOWN)
            where, worse = ("through Sealgate", str(len(comparison.lacking))) if through else ("directly", "")
            lines.append(f"| {comparison.revision} | {comparison.upstream} | {where} | {figures} | {worse} |")
    for comparison in comparisons:
        if comparison.lacking:
            lines += ["", f"{comparison.revision}, {comparison.upstream}:", ""]
            lines += [f"* {_sentence(pair)}" for pair in comparison.lacking]
    return "\n".join(lines) + "\n"


def _sentence(pair: Pair) -> str:
    check = pair.check
    again = f" ({check.nth})" if check.nth > 1 else ""
    why = f": {pair.through.message}" if pair.through.message else ""
    return f"`{check.scenario}` {check.name}{again}: {pair.direct.status} → {pair.through.status}{why}"


def _row(pair: Pair) -> dict[str, Any]:
    check = pair.check
    row: dict[str, Any] = {"scenario": check.scenario, "id": check.id, "name": check.name, "nth": check.nth}
    row |= {"direct": pair.direct.status, "through": pair.through.status}
    row |= {key: True for key, holds in (("excused", pair.excused), ("lacks", pair.lacks)) if holds}
    said = {"direct": pair.direct.message, "through": pair.through.message}
    messages = {where: message for where, message in said.items() if message}
    return {**row, "messages": messages} if messages else row


def _counts(counted: Counter[Status]) -> dict[str, int]:
    return {str(status): counted[status] for status in Status if counted[status]}
