"""`make bench-security`: AgentDojo's suites behind a real gateway, a scripted hijacked agent, no model.

Tables go to stdout, progress to stderr. It ends with 1 where a bound is not kept.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.processes import REPOSITORY
from bench.security import report
from bench.security.campaign import SEED, SUITE_PYTHON, Campaign, run_campaign
from bench.security.deployment import HERE, Setting

SUITES = tuple(sorted(path.stem for path in (HERE / "operator").glob("*.yaml")))
"""Those that somebody wrote an operator's rules for."""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench-security", description="Attack agents behind the gateway and count what takes effect."
    )
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=SUITES, help="which suites (default: all)")
    parser.add_argument(
        "--settings", nargs="+", choices=[each.value for each in Setting], default=list(Setting), help="default: all four"
    )
    parser.add_argument(
        "--tasks",
        type=int,
        metavar="N",
        help=f"a sample of N user tasks of each suite (seed {SEED}) with every attack; it is not held to bounds on autonomy",
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many gateways run at once (default 2)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write every run to FILE, as JSON")
    parser.add_argument(
        "--folder",
        type=Path,
        default=REPOSITORY / ".cache" / "security" / "runs",
        help="where the gateways' state lies while they run (default .cache/security/runs)",
    )
    return parser.parse_args(given)


def main(options: argparse.Namespace) -> int:
    """Run, print, judge; the exit code."""
    if not SUITE_PYTHON.exists():
        print(f"{SUITE_PYTHON} is missing: make .cache/security/stamp", file=sys.stderr)
        return 2
    began = time.monotonic()
    campaigns = run(options)
    print(report.text(campaigns, time.monotonic() - began))
    if options.out is not None:
        options.out.write_text(json.dumps(report.document(campaigns), indent=1) + "\n")
    failures = report.failures(campaigns, whole=options.tasks is None)
    print("\n" + "\n".join([f"NOT KEPT: {failure}" for failure in failures] or ["Every bound is kept."]))
    return 1 if failures else 0


def run(options: argparse.Namespace) -> list[Campaign]:
    """Every suite in every setting, each behind a gateway of its own; the longest first."""
    options.folder.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="r", dir=options.folder))

    def one(suite: str, setting: Setting) -> Campaign:
        done = run_campaign(folder / f"{suite}-{setting}", suite, setting, options.tasks)
        print(f"{suite}, {setting}: {len(done.runs)} runs in {done.seconds:.0f} s", file=sys.stderr, flush=True)
        return done

    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [
            pool.submit(one, suite, Setting(setting))
            for suite in sorted(options.suite, reverse=True)
            for setting in options.settings
        ]
        campaigns = [each.result() for each in pending]  # where one fails, what the processes said stays in the folder
    shutil.rmtree(folder)
    return campaigns


if __name__ == "__main__":
    sys.exit(main(arguments()))
