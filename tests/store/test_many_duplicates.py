"""16,000 calls over 1,000 keys, 16 at a time: one effect for each key, equal results, other arguments refused."""

import asyncio
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from gateway.core.outcome import Receipt
from gateway.core.reservation import Mismatch, Prior
from tests.core.calls import Call
from tests.store.world import SqliteWorld, answered, run, text

pytestmark = [pytest.mark.long, pytest.mark.anyio]

KEYS, COPIES, AT_ONCE = 1_000, 16, 16
SEED = 20261122


async def test_of_sixteen_thousand_calls_over_a_thousand_keys_each_key_has_one_effect(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    calls = [(key, copy) for key in range(KEYS) for copy in range(COPIES)]
    random.Random(SEED).shuffle(calls)
    world = SqliteWorld(tmp_path)
    waiting, effects = iter(calls), Counter[str]()
    results: dict[str, list[Any]] = defaultdict(list)
    refused: Counter[str] = Counter()

    async def one(key: int, copy: int) -> None:
        name, number = f"key-{key}", COPIES * key + copy + 1
        said = "odd" if copy == 0 else "usual"  # one of sixteen comes with other arguments; it may be the first
        call, document = Call(key=name, envelope=number, arguments={"text": said}), text(f"{said} {number}")
        met = await run(world, call, lambda made: answered(made, document), effect=lambda: effects.update([name]))
        if isinstance(met, Receipt):
            results[name].append(document)
        elif isinstance(met, Prior):
            results[name].append(met.result)
        else:
            assert met == Mismatch()
            refused[name] += 1

    async def caller() -> None:
        for key, copy in waiting:
            await one(key, copy)

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    world.close()
    assert set(effects.values()) == {1}
    assert len(effects) == KEYS
    for name, found in results.items():
        assert all(result == found[0] for result in found)
        assert len(found) + refused[name] == COPIES
        assert len(found) in (1, COPIES - 1)  # whose arguments came first counts
