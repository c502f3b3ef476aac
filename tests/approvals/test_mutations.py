"""10,000 changed forms of approved calls: none runs. And the campaign would see it if one did."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.store.sqlite.questions import Questions
from gateway.core import verify
from gateway.core.answer import SignedAnswer
from gateway.core.approval import ApprovalRow
from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import Capability
from gateway.core.commitment import CommitmentKey
from gateway.core.outcome import Reason
from gateway.core.run_context import RunContext
from tests.approvals.arena import Arena
from tests.approvals.campaign import campaign, one_case, report
from tests.core.calls import KEY
from tests.store.clock import SetClock
from tests.store.world import SqliteWorld

pytestmark = pytest.mark.anyio

SEED = int(os.environ.get("MUTATIONS_SEED", "20261130"))
MANY = int(os.environ.get("MUTATIONS", "10000"))


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    world = SqliteWorld(tmp_path)
    yield Arena(world, SEED)
    world.close()


def none_ran(arena: Arena) -> bool:
    return arena.ran.total() == 0 and arena.tool.calls == arena.controls > 0


def log_tells(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the log holds but for what was changed in the file: each such request ended as another than was asked."""
    monkeypatch.setattr(verify, "MAX_PROBLEMS", 10**6)
    found = Counter(problem.partition(": ")[2] for problem in arena.world.verify().problems)
    return found == {"an approval request is not as it was asked": arena.tried["changed_request"]}


async def test_no_changed_call_runs(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    await campaign(arena, 600)
    assert none_ran(arena), report(arena)
    assert log_tells(arena, monkeypatch)


async def test_a_case_is_the_same_alone_as_among_others(tmp_path: Path) -> None:
    told = []
    for alone in (False, True):
        folder = tmp_path / str(alone)
        folder.mkdir()
        world = SqliteWorld(folder)
        arena = Arena(world, SEED)
        places = [f"0.{number}" for number in range(6)]
        if alone:
            for place in reversed(places):
                await one_case(arena, place)
        else:
            await asyncio.gather(*(one_case(arena, place) for place in places))
        told.append((arena.tried, arena.controls))
        world.close()
    assert told[0] == told[1]
    assert told[0][0].total() > 6 * 4


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_none_of_ten_thousand_changed_calls_runs(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUTATIONS and MUTATIONS_SEED in the environment change how many, and which."""
    await campaign(arena, MANY)
    assert none_ran(arena), report(arena)
    assert arena.tried.total() >= MANY
    assert min(arena.tried.values()) >= 20, report(arena)
    assert log_tells(arena, monkeypatch)


# --- with one check taken out, it is seen ---


class Believing(Questions):
    """Takes the journal's word for an answer."""

    def signed(self, approval: ApprovalRow) -> tuple[SignedAnswer, ...]:
        return approval.answers


class Negligent(Sealer):
    """Leaves the arguments out of what is digested."""

    def seal(
        self, run: RunContext, capability: Capability, request: ToolRequest, *, instead_of: SealedCall | None = None
    ) -> SealedCall | tuple[Reason, ...]:
        same = super().seal(run, capability, replace(request, arguments={}), instead_of=instead_of)
        sealed = super().seal(run, capability, request, instead_of=instead_of)
        if isinstance(sealed, SealedCall) and isinstance(same, SealedCall):
            return replace(sealed, call_digest=same.call_digest, fingerprint=same.fingerprint)
        return sealed


class Forgetful(SetClock):
    """Reads the same time whatever has passed."""

    def now(self) -> str:
        return SetClock().now()


async def test_a_journal_that_is_believed_is_seen(arena: Arena) -> None:
    world, journal = arena.world, arena.world.journal
    parts = (world.writer, journal._reader, world.vault_thread, world.clock, world.approvers)
    journal.questions = Believing(*parts, world.keys.entry)
    await campaign(arena, 400)
    tampered = ("changed_answer", "changed_request", "doubled_answer", "forged_answer")
    assert sum(arena.ran[how] for how in tampered) > 0, report(arena)


async def test_a_digest_that_leaves_out_the_arguments_is_seen(arena: Arena) -> None:
    arena.sealer = Negligent(CommitmentKey(KEY), os.urandom)
    try:
        await campaign(arena, 400)
    except AssertionError:  # the control finds its approval used up by another call
        pass
    assert arena.ran["arguments"] > 0, report(arena)


async def test_a_clock_that_stands_still_is_seen(tmp_path: Path) -> None:
    world = SqliteWorld(tmp_path, clock=Forgetful())
    arena = Arena(world, SEED)
    await campaign(arena, 200)
    assert arena.ran["expiry"] > 0, report(arena)
    world.close()
