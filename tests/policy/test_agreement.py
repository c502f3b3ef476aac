"""Over the whole library and rich settings, the embedded engine and a real OPA give the same answer documents."""

import asyncio
import dataclasses
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.opa import QUERY
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.capability import ApprovalMode
from gateway.core.decision import ENTRY_POINT, read_verdict
from gateway.core.fields import FieldRole
from gateway.core.obligations import HONOURED, Obligations
from tests.policy.conftest import OpaServer
from tests.policy.situations import Situation, an_input, situations

pytestmark = [pytest.mark.anyio, pytest.mark.opa]

SEED = 20261130
BATCH = 16
SECONDS = 20.0
FAILED = {"effect": "deny"}
"""What an error or undefined is to a caller."""

CODES = {
    code
    for module in load_bundle(default_policies()).modules.values()
    for code in re.findall(r'"code": "([a-z_.]+)"', module)
} | {f"arguments.{role}_{what}" for role in set(FieldRole) - {FieldRole.CONTENT} for what in ("missing", "not_allowed")}


class Seen:
    """What was compared, so that the comparison can be known to be worth something."""

    def __init__(self) -> None:
        self.effects: Counter[str] = Counter()
        self.tiers: set[tuple[Any, str]] = set()
        self.codes: set[str] = set()
        self.obligations: set[str] = set()
        self.failed = 0

    def add(self, mode: Any, answer: dict[str, Any]) -> None:
        effect = answer["effect"]
        self.effects[effect] += 1
        self.tiers.add((mode, effect))
        self.codes |= {reason["code"] for reason in answer.get("reasons", [])}
        self.obligations |= set(answer.get("obligations", {}))
        self.failed += answer is FAILED


async def compare(server: OpaServer, inputs: int) -> Seen:
    """Let both engines decide `inputs` generated documents; the answers are equal, or both are a deny."""
    chance, seen = Random(SEED), Seen()
    bundle = load_bundle(default_policies())
    async with aiohttp.ClientSession(server.url, timeout=aiohttp.ClientTimeout(total=SECONDS)) as session:
        for situation in situations(chance, inputs):
            async with _embedded(bundle, situation) as process:
                await _give_opa(session, situation.settings)
                for start in range(0, situation.inputs, BATCH):
                    batch = [an_input(chance) for _ in range(start, min(start + BATCH, situation.inputs))]
                    ours = await asyncio.gather(*(_ask_embedded(process, document) for _, document in batch))
                    theirs = await asyncio.gather(*(_ask_opa(session, document) for _, document in batch))
                    for (mode, document), one, other in zip(batch, ours, theirs, strict=True):
                        assert alike(one, other), (situation.settings, document, one, other)
                        if (
                            situation.proper
                            and mode is not None
                            and one is not FAILED
                            and one.get("obligations", {}).keys() <= HONOURED
                        ):
                            assert read_verdict(one, str).cause is None, one
                        seen.add(mode, one)
    return seen


def alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """The same to a caller: the same answer, or a deny by an engine that failed and by one that did not."""
    return one == other or (FAILED in (one, other) and one["effect"] == other["effect"])


@asynccontextmanager
async def _embedded(bundle: PolicyBundle, situation: Situation) -> AsyncIterator[PolicyProcess]:
    """The embedded engine's process, with the library and these settings."""
    process = await PolicyProcess.start(lambda ended: None)
    try:
        data = {"sealgate": {} if situation.settings is None else {"settings": situation.settings}}
        await process.load(PolicyBundle(bundle.modules, {}, orjson.dumps(data), bundle.revision), SECONDS)
        process.patience = SECONDS
        yield process
    finally:
        await process.stop()


async def _give_opa(session: aiohttp.ClientSession, settings: dict[str, Any] | None) -> None:
    async with session.request(
        "DELETE" if settings is None else "PUT", "/v1/data/sealgate/settings", json=settings
    ) as response:
        assert response.status == 204


async def _ask_embedded(process: PolicyProcess, document: bytes) -> dict[str, Any]:
    answer = await process.ask(b"D", document, asyncio.get_running_loop().time() + SECONDS)
    return FAILED if isinstance(answer, Fault) else dict(orjson.loads(answer))


async def _ask_opa(session: aiohttp.ClientSession, document: bytes) -> dict[str, Any]:
    path = "/v1/data/" + ENTRY_POINT.removeprefix("data.").replace(".", "/")
    async with session.post(path, params=QUERY, data=b'{"input": ' + document + b"}") as response:
        answer = orjson.loads(await response.read())
        return dict(answer["result"]) if response.status == 200 and "result" in answer else FAILED


async def test_both_engines_give_the_same_answers(opa_server: OpaServer) -> None:
    seen = await compare(opa_server, 1_500)
    assert seen.effects["allow"] + seen.effects["ask"] >= 750, seen.effects


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_both_engines_give_the_same_answers_to_ten_thousand_calls(opa_server: OpaServer) -> None:
    seen = await compare(opa_server, 10_500)
    assert seen.effects.total() == 10_500
    assert seen.effects["allow"] + seen.effects["ask"] >= 5_250, seen.effects
    # The comparison is worth something only if every rule spoke, every obligation was there and few answers were errors.
    assert CODES - seen.codes == set()
    assert seen.obligations == {one.name for one in dataclasses.fields(Obligations)}
    assert seen.failed < 500, seen.failed
    assert seen.tiers >= {
        *((mode, "deny") for mode in ApprovalMode),
        *((mode, "ask") for mode in ApprovalMode),
        *((mode, "allow") for mode in (ApprovalMode.READ_ONLY, ApprovalMode.LOCAL_WRITE, ApprovalMode.NETWORK)),
    }
    assert not any((mode, "allow") in seen.tiers for mode in (ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE))
