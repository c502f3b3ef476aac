"""Throw hostile input at the parsers and verifiers, then at a running gateway. Exit code 1 on a finding.

Each case has its own random numbers, made from the seed, the target's name and the case's number: `--replay` runs one
case again. `make fuzz` runs this for a minute.
"""
# ruff: noqa: T201, S311, E402 - it prints what it found; cases must be repeatable

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random, SystemRandom

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fuzz.inside import TARGETS
from fuzz.live import Live
from tests.edge.box import boxed

Target = Callable[[Random], str | None]
LIVE = ("http", "socket")


def main() -> int:
    """Run; the exit code."""
    options = _options()
    names = [*TARGETS, *LIVE] if options.replay is None else [options.replay.partition(":")[0]]
    only = None if options.replay is None else int(options.replay.partition(":")[2])
    print(f"seed {options.seed}", flush=True)
    findings: list[str] = []
    inside = {name: TARGETS[name] for name in names if name in TARGETS}
    live = [name for name in names if name in LIVE]
    if inside:
        findings += _round(inside, options.seed, options.seconds * (0.5 if live else 1.0), only)
    if live:
        with tempfile.TemporaryDirectory() as folder, boxed(Path(folder)) as box:
            fire = Live(box)
            targets = {name: target for name, target in (("http", fire.http), ("socket", fire.socket)) if name in live}
            findings += _round(targets, options.seed, options.seconds * (0.5 if inside else 1.0), only)
            after = [fire.unreached(), *box.faults()[:3], *box.verified().problems[:3]]
            findings += [f"afterwards: {problem}" for problem in after if problem]
    for finding in findings:
        print(f"FINDING {finding}")
    print(f"{len(findings)} findings")
    return 1 if findings else 0


def _round(targets: Mapping[str, Target], seed: int, seconds: float, only: int | None) -> list[str]:
    """Each target in turn until the time is over, or one case of it; what was found, at most one per target."""
    done: Counter[str] = Counter()
    findings: dict[str, str] = {}
    end = time.monotonic() + seconds
    number = 0 if only is None else only
    while len(findings) < len(targets):
        for name, target in targets.items():
            if name in findings:
                continue
            found = _attempt(target, Random(f"{seed}:{name}:{number}"))
            done[name] += 1
            if found:
                findings[name] = f"{name}: {found}\n  again: fuzz/run.py --seed {seed} --replay {name}:{number}"
        number += 1
        if only is not None or time.monotonic() > end:
            break
    print("  ".join(f"{name} {count}" for name, count in done.items()), flush=True)
    return list(findings.values())


def _attempt(target: Target, rng: Random) -> str | None:
    try:
        return target(rng)
    except Exception as error:  # noqa: BLE001 - an error nobody documented is what we look for
        return f"raised {error!r}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, besides starting the gateway (default 60)")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**9), help="default: another one each time")
    parser.add_argument("--replay", metavar="TARGET:NUMBER", help="one case again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
