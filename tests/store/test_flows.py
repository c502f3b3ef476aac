"""What the journal keeps of a run: whose it is, and how long a taint lasts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.call import SealedCall
from gateway.core.envelope import Replay
from gateway.core.evidence import EvidenceRef
from gateway.core.run_context import Principal, PrincipalKind
from tests.core.calls import ALLOW, ASSISTANT, Call, envelope_id, seal
from tests.store.world import SqliteWorld

pytestmark = pytest.mark.anyio

HOUR = 3600
OTHER = Principal(PrincipalKind.AGENT, "other")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    world = SqliteWorld(tmp_path)
    yield world
    world.close()


def sealed(run_id: str | None, actor: Principal = ASSISTANT) -> SealedCall:
    return seal(Call(run_id=run_id, actors=(actor,)), random=os.urandom)


async def read_untrusted(world: SqliteWorld, run_id: str | None) -> None:
    call = sealed(run_id)
    evidence = EvidenceRef.of_result(call.capability, envelope_id(1), None)
    await world.journal.replay(Replay(call, ALLOW, envelope_id(1), evidence))


async def test_a_caller_without_a_run_is_clean_again_a_day_after_its_last_untrusted_result(world: SqliteWorld) -> None:
    call = sealed(None)
    await read_untrusted(world, None)
    for _ in range(50):
        world.clock.advance(HOUR / 2)
        await read_untrusted(world, None)
    world.clock.advance(24 * HOUR)
    assert world.journal.flow(call).tainted
    world.clock.advance(HOUR + 1)
    assert not world.journal.flow(call).tainted
    await read_untrusted(world, None)
    assert world.journal.flow(call).tainted


async def test_a_declared_run_stays_tainted_for_good(world: SqliteWorld) -> None:
    await read_untrusted(world, "job")
    world.clock.advance(1000 * 24 * HOUR)
    world.reopen()
    assert world.journal.flow(sealed("job")).tainted


async def test_what_one_actor_read_is_no_other_actors(world: SqliteWorld) -> None:
    for run_id in ("job", None):
        await read_untrusted(world, run_id)
        assert world.journal.flow(sealed(run_id)).tainted
        assert not world.journal.flow(sealed(run_id, OTHER)).tainted
    assert sealed("job").scope != sealed("job", OTHER).scope
