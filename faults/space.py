"""A disk that is really full: the whole gateway with its state on a small tmpfs, called until it can write no more.

Mounting needs a mount namespace of its own (unshare). Where the machine refuses that, the part says so; with REQUIRE_ALL=1
that is a violation.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

from faults.outside import Answers, Callers, Upstream, audit_state, counting_upstream, new_gateway, retry, start
from faults.tally import Finding, Tally
from tests.running import REPOSITORY, ModernClient, until

KIBIBYTES = (1500, 2500, 4500, 7000)
"""Too small for the WAL, for WAL and database, and large enough that the database grows by what was in the WAL before."""
CALLERS = 4
FILL_SECONDS = 120
INSIDE_SECONDS = 600


def run(tally: Tally, folder: Path) -> None:
    """Once for each size."""
    refused = _refused()
    if refused is not None:
        tally.notes.append(f"left out: this machine refuses to mount a tmpfs: {refused}")
        tally.check(os.environ.get("REQUIRE_ALL") != "1", f"a tmpfs cannot be mounted: {refused}")
        return
    out = folder / "inside.json"
    command = [sys.executable, "-m", "faults.space", str(folder), str(tally.seed), str(out)]
    done = subprocess.run(
        [*_namespace(), *command], cwd=REPOSITORY, capture_output=True, text=True, timeout=INSIDE_SECONDS, check=False
    )
    if done.returncode != 0:
        tally.find(Finding.OTHER, f"it ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
        return
    inside = Tally.from_document(json.loads(out.read_text()))
    tally.did += inside.did
    tally.found += inside.found
    tally.examples += inside.examples


def _namespace() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


def _refused() -> str | None:
    """Why no tmpfs can be mounted, or None."""
    try:
        done = subprocess.run(
            [*_namespace(), "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()


def _inside(tally: Tally, folder: Path) -> None:
    for size in KIBIBYTES:
        place = folder / f"{size}k"
        state = place / ".sealgate"
        state.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=700", "none", str(state)], check=True)
        with counting_upstream(place) as upstream:
            _fill(tally, Random(tally.seed + size), place, upstream)
        subprocess.run(["umount", str(state)], check=True)


def _fill(tally: Tally, dice: Random, place: Path, upstream: Upstream) -> None:
    where = f"{place.name}, seed {tally.seed}"
    gateway = new_gateway(place, upstream.url)
    answers = Answers()
    callers = Callers(gateway, answers, [f"caller-{number}" for number in range(CALLERS)])
    process = gateway.process
    assert process is not None  # noqa: S101 it was started above
    try:
        until(lambda: process.poll() is not None, seconds=FILL_SECONDS, what="the end of a gateway without space")
        tally.check(process.returncode == 1, f"{where}: it ended with {process.returncode}")
    finally:
        callers.join()
    tally.did["disks filled"] += 1
    tally.did["calls acknowledged"] += len(answers.told)
    subprocess.run(["mount", "-o", "remount,size=64m", str(gateway.state)], check=True)
    start(gateway)
    try:
        audit_state(tally, where, gateway, answers, upstream)
        completed = list(answers.completed())
        retry(tally, where, gateway, answers, upstream, answers.unanswered())
        retry(tally, where, gateway, answers, upstream, dice.sample(completed, min(20, len(completed))))
        with ModernClient(gateway) as client:
            tally.check(answers.ask(client, "after"), f"{where}: with space again it does not take a call")
        audit_state(tally, where, gateway, answers, upstream)
    finally:
        tally.check(gateway.stop() == 0, f"{where}: it did not stop well")


if __name__ == "__main__":
    place, seed, out = sys.argv[1:]
    inside = Tally("space", int(seed))
    _inside(inside, Path(place))
    Path(out).write_text(json.dumps(inside.document()))
