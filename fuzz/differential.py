"""What policy saw, what is forwarded and what each reader makes of it: one document, whatever the client sent.

The real parser, sealer, policy process and encoder of upstream requests, in this process, without the wire between them.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import orjson
import rfc8785

from fuzz.mutate import arguments as spelled
from fuzz.oracle import plainly
from fuzz.readers import NodeReader, disagreement
from fuzz.tally import Finding, Tally
from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.manifest import Manifest
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.adapters.upstream import requests, rpc
from gateway.adapters.upstream.hearing import DEAF
from gateway.core import wire
from gateway.core.call import SealedCall, Sealer
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import policy_input
from gateway.core.method import Method
from tests.core.calls import KEY, NOW, Call, capability, request_of, run_of
from tests.edge.frames import call

BATCH = 200
SECONDS = 20.0
POLICY = """package sealgate.authz

decision := {"seen": json.marshal(input.context.arguments)}
"""
ERAS = (requests.Era("2026-07-28"), requests.Era("2025-11-25"))


@dataclass(frozen=True, slots=True)
class Way:
    """How a gateway takes a frame and what it forwards of it: the gateway's own way, or a broken one for the teeth."""

    parse: Callable[[bytes], dict[str, Any]] = wire.message
    forwarded: Callable[[SealedCall, bytes], bytes] = lambda call, sent: call.arguments


def run(tally: Tally, folder: Path, count: int, way: Way | None = None) -> None:
    """`count` documents that are taken; as many more as are refused on the way."""
    asyncio.run(_run(tally, count, way or Way()))


async def _run(tally: Tally, count: int, way: Way) -> None:
    rng = Random(f"{tally.seed}:differential")
    engine = await PolicyProcess.start(lambda process: None)
    try:
        await engine.load(PolicyBundle({"fuzz.rego": POLICY}, {}, b"{}", "fuzz", Manifest("fuzz", ("sealgate",))), SECONDS)
        with NodeReader() as node:
            while tally.did["documents forwarded"] < count:
                await _batch(tally, rng, engine, node, way)
                tally.progress(tally.did["documents forwarded"], count)
    finally:
        await engine.stop()


async def _batch(tally: Tally, rng: Random, engine: PolicyProcess, node: NodeReader, way: Way) -> None:
    sealer = Sealer(CommitmentKey(KEY), bytes)
    taken: list[tuple[bytes, SealedCall]] = []
    for _ in range(BATCH):
        sent = spelled(rng)
        sealed = _sealed(tally, sent, sealer, way)
        if sealed is not None:
            taken.append((sent, sealed))
    requests = [_request(rng, sealed, sent, way) for sent, sealed in taken]
    deadline = asyncio.get_running_loop().time() + SECONDS
    seen = await asyncio.gather(*(_seen(engine, sealed, deadline) for _, sealed in taken))
    for (sent, _), request, saw, node_read in zip(taken, requests, seen, node.arguments(requests), strict=True):
        tally.did["documents forwarded"] += 1
        if isinstance(saw, Fault):
            tally.find(Finding.DISAGREEMENT, f"policy cannot read {request!r}: {saw.cause}")
            continue
        problem = disagreement(request, saw, node_read) or _other_than_sent(sent, request)
        if problem is not None:
            tally.find(Finding.DISAGREEMENT, f"{problem}; sent was {sent!r}")


def _sealed(tally: Tally, sent: bytes, sealer: Sealer, way: Way) -> SealedCall | None:
    """The call in a frame with these arguments, where the gateway takes it; what it must not take is a finding."""
    frame = call().replace(b'{"text":"x"}', sent)
    _, problem = plainly(frame)
    try:
        arguments = way.parse(frame)["params"].get("arguments")
    except wire.Malformed:
        tally.did["documents refused"] += 1
        return None
    if problem is not None:
        tally.find(Finding.TAKEN, f"taken, though {problem}: {sent!r}")
    if not isinstance(arguments, dict):
        return None
    asked = Call(arguments=arguments)
    try:
        sealed = sealer.seal(run_of(asked), capability(asked), request_of(asked))
    except Exception as error:  # noqa: BLE001 - whatever it is, nobody documented it
        tally.find(Finding.CRASH, f"{error!r} for {sent!r}")
        return None
    if isinstance(sealed, tuple):
        tally.did["documents refused"] += 1
        return None
    return sealed


def _request(rng: Random, sealed: SealedCall, sent: bytes, way: Way) -> bytes:
    era = rng.choice(ERAS)
    told = replace(sealed, arguments=way.forwarded(sealed, sent))
    outgoing = requests.call(era, Method.TOOL, "send", told.arguments, requests.NOTHING_SAID, DEAF, {})
    return rpc.encode(outgoing)


async def _seen(engine: PolicyProcess, sealed: SealedCall, deadline: float) -> Any:
    """The arguments as Rego has them: written again by the policy itself."""
    answer = await engine.ask(b"D", policy_input(sealed, Circumstances(), dev=False, now=NOW), deadline)
    return answer if isinstance(answer, Fault) else json.loads(orjson.loads(answer)["seen"])


def _other_than_sent(sent: bytes, request: bytes) -> str | None:
    """What was forwarded has the same value as what the client sent, number for number."""
    try:
        asked = rfc8785.dumps(json.loads(sent))
    except (ValueError, rfc8785.CanonicalizationError, UnicodeError):
        return "what was sent has no canonical form, and was taken"
    forwarded = rfc8785.dumps(json.loads(request)["params"]["arguments"])
    return None if asked == forwarded else f"sent {asked!r}, forwarded {forwarded!r}"
