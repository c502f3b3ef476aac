"""16,000 calls over 1,000 keys, 16 at a time on one key: one effect per key, one result, byte for byte.

Some of the calls of a key bring other arguments. Whose arguments came first have the key; the others are refused.
"""

import asyncio
import json
import time
from pathlib import Path
from random import Random
from typing import Any

from bench.calls import Reply
from bench.load import Connection
from bench.processes import children, cpu_seconds
from faults.outside import EFFECT, Answers, audit_state, content, counting_upstream, new_gateway, what
from faults.tally import Finding, Tally
from tests.running import RunningGateway

AT_ONCE = 16
OTHERS_SHARE = 0.1
OTHER = "-other"
SECONDS_PER_KEY = 5
MISMATCH = "idempotency.mismatch"


async def run(tally: Tally, keys: int, folder: Path) -> None:
    """`keys` keys, 16 calls each."""
    with counting_upstream(folder) as upstream:
        gateway = new_gateway(folder, upstream.url)
        try:
            assert gateway.process is not None  # noqa: S101 it was started above
            processes = [gateway.process.pid, *children(gateway.process.pid)]
            started, cpu = time.monotonic(), sum(map(cpu_seconds, processes))
            answers = Answers()
            async with asyncio.timeout(60 + SECONDS_PER_KEY * keys):
                await _all(tally, gateway, answers, keys)
            seconds, cpu = time.monotonic() - started, sum(map(cpu_seconds, processes)) - cpu
            calls = tally.did["calls"]
            tally.notes.append(f"{calls / seconds:.0f} calls/s, {cpu / calls * 1e6:.0f} µs CPU per call in the gateway")
            effects = upstream.effects()
            for key in (f"key-{number}" for number in range(keys)):
                times = effects[key] + effects[key + OTHER]
                if times != 1:
                    tally.find(Finding.DUPLICATE if times else Finding.LOST, f"{key} happened {times} times")
            audit_state(tally, f"seed {tally.seed}", gateway, answers, upstream)
        finally:
            gateway.stop()


async def _all(tally: Tally, gateway: RunningGateway, answers: Answers, keys: int) -> None:
    dice = Random(tally.seed)
    connections = [await Connection.open(gateway.port) for _ in range(AT_ONCE)]
    try:
        for number in range(keys):
            key = f"key-{number}"
            argued = [key + OTHER if dice.random() < OTHERS_SHARE else key for _ in connections]
            replies = await asyncio.gather(
                *(
                    connection.ask(_request(gateway, key, argument, AT_ONCE * number + place))
                    for place, (connection, argument) in enumerate(zip(connections, argued, strict=True))
                )
            )
            tally.did["keys"] += 1
            tally.progress(number + 1, keys)
            tally.did["calls"] += len(replies)
            _judge(tally, answers, key, argued, [_read(reply) for reply in replies])
    finally:
        for connection in connections:
            connection.close()


def _judge(tally: Tally, answers: Answers, key: str, argued: list[str], told: list[dict[str, Any]]) -> None:
    done = {place for place, answer in enumerate(told) if what(answer) in ("completed", "replayed")}
    winners = {argued[place] for place in done}
    tally.check(len(winners) == 1, f"{key}: answered for the arguments {winners}")
    tally.check(sum(what(told[place]) == "completed" for place in done) == 1, f"{key}: not one call ran")
    tally.check(len({content(told[place]) for place in done}) == 1, f"{key}: results differ")
    for place, answer in enumerate(told):
        tally.did[f"answers {what(answer)}"] += 1
        if place in done:
            answers.told[argued[place]] = answer
        elif argued[place] in winners:
            tally.check(False, f"{key}: {argued[place]} is answered {answer}")
        else:
            reasons = answer.get("result", {}).get("_meta", {}).get("dev.sealgate/outcome", {}).get("reasons")
            tally.check(reasons == [MISMATCH], f"{key}: other arguments are answered {answer}")


def _read(reply: Reply) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(reply.body)
    return document


def _request(gateway: RunningGateway, key: str, argument: str, number: int) -> bytes:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "dev.sealgate/idempotency-key": key,
    }
    params = {"name": EFFECT, "arguments": {"key": argument}, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n"
        f"Mcp-Name: {EFFECT}\r\nAuthorization: Bearer {gateway.token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
