"""Approved calls, changed in every way we know, against the real pipeline and journal: none of them may run.

    python -m tests.approvals.campaign [COUNT] [--seed SEED]
    python -m tests.approvals.campaign --seed SEED --case PLACE

A case is one call that approvers said yes to. It is then made in changed forms (changed_calls), each of which must not run.
After that the call itself is made, which must run exactly once, however often it is made again; or what it stands on is
changed (changed_grounds), and it must not run either. Then a call that nobody approved is given answers that are none
(false_answers). Nothing is simulated but the tool, the policy's answer and the time (arena).

A case depends on the seed and its place only: the one that is told of can be made again alone.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gateway.core.decision import Effect
from gateway.core.outcome import Completed
from tests.approvals.arena import HASTE_SECONDS, Arena
from tests.approvals.changed_calls import HARMLESS
from tests.approvals.changed_grounds import ENDING
from tests.approvals.false_answers import false_answers
from tests.core.calls import decide
from tests.store.world import SqliteWorld

CHANGED_FORMS = 4
AT_ONCE = 16
LATE = 3


async def one_case(arena: Arena, place: str) -> None:
    """See the module."""
    rng = arena.dice(place)
    case = await arena.approved(place, rng)
    for _ in range(CHANGED_FORMS):
        how = rng.choice(HARMLESS)
        await arena.must_not_run(how.__name__, how(case, rng))
    if rng.random() < 0.3:
        told = await asyncio.gather(*(arena.make(case) for _ in range(3)))
        assert sum(isinstance(one, Completed) for one in told) == 1, told  # the control: unchanged, it runs, once
        arena.controls += 1
        for _ in range(2):
            await arena.must_not_run("reuse", case)
        other = replace(case, decision=decide(Effect.ASK, revision="policy-7"))
        await arena.must_not_run("reuse under another policy", other)
    else:
        ending = rng.choice(ENDING)
        await arena.must_not_run(ending.__name__, await ending(arena, case, rng))
    await false_answers(arena, place, rng)


async def late_case(arena: Arena, place: str) -> None:
    """An approved call that is made when the time for it is over."""
    case = await arena.approved(place, arena.dice(place), hasty=True)
    arena.world.clock.advance(HASTE_SECONDS)
    await arena.must_not_run("expiry", case)


async def campaign(arena: Arena, count: int) -> None:
    """Cases until `count` changed calls were made."""
    turn = 0
    while arena.tried.total() < count:
        await asyncio.gather(*(one_case(arena, f"{turn}.{number}") for number in range(AT_ONCE)))
        for number in range(LATE):
            await late_case(arena, f"{turn}.late{number}")
        turn += 1


def report(arena: Arena) -> str:
    lines = [f"{how:34} {tried:7} tried {arena.ran[how]:5} ran" for how, tried in sorted(arena.tried.items())]
    effects = arena.tool.calls
    return "\n".join(
        [
            *lines,
            *(f"seed {arena.seed}, {told} ran" for told in arena.ran_in[:20]),
            f"{arena.tried.total()} changed calls, {arena.ran.total()} ran; {arena.controls} controls, {effects} effects",
        ]
    )


def main(given: Sequence[str] | None = None) -> int:
    """Run the campaign, or one case of it; the exit code."""
    parser = argparse.ArgumentParser(description="Approved calls, changed: none may run.")
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", metavar="PLACE", help="this case alone, as a report names it")
    options = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        world = SqliteWorld(Path(folder))
        arena = Arena(world, options.seed)
        if options.case is None:
            asyncio.run(campaign(arena, options.count))
        else:
            asyncio.run((late_case if "late" in options.case else one_case)(arena, options.case))
        print(report(arena))
        world.close()
    return int(arena.ran.total() != 0 or arena.tool.calls != arena.controls)


if __name__ == "__main__":
    sys.exit(main())
