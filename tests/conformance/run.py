"""Measure the gateway by the official conformance suite: `make conformance`.

The suite runs against the everything server, and against a gateway in front of it. Exit 1 where any check ends worse behind
the gateway (`parity.py`), or where the measurement itself went wrong.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from tests.conformance import report
from tests.conformance.parity import Comparison, compare
from tests.conformance.suite import MODULES, NODE, REVISIONS, CheckName, Found, SuiteFailed, run_suite
from tests.conformance.world import UPSTREAMS, everything, governed, reachable
from tests.running import free_port

Checks = Mapping[CheckName, Found]


async def directly(revisions: list[str]) -> dict[str, Checks]:
    """The checks of each revision against the server itself."""
    with everything() as url:
        return {revision: await run_suite(url, revision) for revision in revisions}


async def through(upstream: str, revisions: list[str]) -> dict[str, Checks]:
    """The checks of each revision through a gateway. Its log verifies afterwards, or `AssertionError`."""
    relay = free_port()
    with tempfile.TemporaryDirectory(prefix="sealgate-conformance-") as folder:
        with governed(Path(folder), upstream, relay) as gateway:
            async with reachable(gateway, relay) as url:
                found: dict[str, Checks] = {revision: await run_suite(url, revision) for revision in revisions}
            gateway.cli("log", "verify")
        return found


async def measure(upstreams: list[str], revisions: list[str]) -> list[Comparison]:
    straight = await directly(revisions)
    comparisons = []
    for upstream in upstreams:
        comparable = [revision for revision in revisions if revision in UPSTREAMS[upstream]]
        governed_checks = await through(upstream, comparable)
        comparisons += [compare(each, upstream, straight[each], governed_checks[each]) for each in comparable]
    return comparisons


def installed() -> dict[str, str]:
    """The versions that were measured with."""
    suite = json.loads((MODULES / "@modelcontextprotocol" / "conformance" / "package.json").read_text())
    return {"conformance": suite["version"], "mcp": version("mcp")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--upstream", action="append", choices=UPSTREAMS, help="how the gateway reaches the server (all)")
    parser.add_argument("--revision", action="append", choices=REVISIONS, help="whose requirements (both)")
    parser.add_argument("--out", type=Path, help="write all checks as JSON to this file")
    parser.add_argument("--markdown", type=Path, help="write the table as Markdown to this file")
    chosen = parser.parse_args()
    if not NODE.exists():
        print(f"{NODE} is missing: run npm ci in tests/node", file=sys.stderr)
        return 1
    try:
        comparisons = asyncio.run(measure(chosen.upstream or list(UPSTREAMS), chosen.revision or list(REVISIONS)))
    except SuiteFailed as error:
        print(error, file=sys.stderr)
        return 1
    table = report.markdown(comparisons)
    print(table)
    if chosen.out:
        chosen.out.write_text(json.dumps(report.document(comparisons, installed()), indent=1) + "\n")
    if chosen.markdown:
        chosen.markdown.write_text(table)
    crooked = {sentence for comparison in comparisons for sentence in comparison.crooked()}
    for sentence in sorted(crooked):
        print(f"measurement: {sentence}", file=sys.stderr)
    return 1 if crooked or any(comparison.lacking for comparison in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
