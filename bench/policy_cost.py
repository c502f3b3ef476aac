"""`make bench-policy`: what one decision of the embedded engine costs with few registered tools and with many.

Both sides are the worker process with the whole library. They differ in how many tools have constraints, windows, results
and downgrades of their own in the settings. Calls of each tier are decided by one side and then by the other, round after
round. The figure is the CPU time of the worker's process. It measures and judges nothing; it ends with 1 only where an
answer is not the one the call must get.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import orjson

from bench.processes import REPOSITORY, Cores, cpu_seconds
from bench.surroundings import surroundings
from bench.tables import spread_of, table
from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.circumstances import Circumstances, IntentTold, Leaf, Origin, Provenance
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import policy_input
from gateway.core.fields import FieldRole
from gateway.core.run_context import Delegation, Principal, PrincipalKind, RunContext
from gateway.core.schema import ArgumentSchema

SEED = 4
TOOLS_PER_UPSTREAM = 20
DOCUMENTS = 100
"""Different calls of a tier, each of a tool of its own where there are so many."""
WARM_DECISIONS = 50
SECONDS = 10.0
NOW = "2026-11-23T10:00:00.000Z"
ARGUMENTS = {"path": "/srv/a/b", "host": "api.example.com", "amount": 12.5, "to": ["bob@example.com"], "text": "x" * 100}
FIELDS = {
    FieldRole.PATH: ("/path",),
    FieldRole.HOST: ("/host",),
    FieldRole.AMOUNT: ("/amount",),
    FieldRole.RECIPIENT: ("/to/*",),
    FieldRole.CONTENT: ("/text",),
}
EFFECTS = {
    ApprovalMode.READ_ONLY: "allow",
    ApprovalMode.LOCAL_WRITE: "allow",
    ApprovalMode.NETWORK: "allow",
    ApprovalMode.DELEGATED: "ask",
    ApprovalMode.DESTRUCTIVE: "ask",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU µs of one decision, in one round, of one tier, with so many registered tools."""

    round: int
    tier: str
    tools: int
    us: float


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bench.policy_cost", description="Measure what a decision costs.")
    parser.add_argument("--tools", type=int, nargs=2, default=[10, 10_000], help="registered tools (default 10 10000)")
    parser.add_argument("--rounds", type=int, default=15, help="how often everything is measured (default 15)")
    parser.add_argument("--decisions", type=int, default=300, help="decisions of each tier, side and round (default 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds to FILE")
    return parser.parse_args(given)


async def main(options: argparse.Namespace) -> int:
    """Measure and print; the exit code."""
    cores = Cores.usable()
    where = {**surroundings(REPOSITORY, cores), "cores": f"the worker processes on core {cores.tested}, one at a time"}
    sides = [await _side(tools, cores.tested) for tools in options.tools]
    costs: list[Cost] = []
    try:
        for number in range(1, options.rounds + 1):
            print(f"round {number} of {options.rounds}", file=sys.stderr)
            for mode in ApprovalMode:
                order = sides if number % 2 else list(reversed(sides))
                costs += [await _measure(side, mode, number, options.decisions) for side in order]
    except WrongAnswer as wrong:
        print(wrong, file=sys.stderr)
        return 1
    finally:
        for side in sides:
            await side.process.stop()
    where["load average"] += f", {os.getloadavg()[0]:.1f} at the end"
    _print(where, options, costs)
    if options.json is not None:
        options.json.write_text(
            json.dumps({"surroundings": where, "costs": [asdict(one) for one in costs]}, indent=1) + "\n"
        )
    return 0


class WrongAnswer(Exception):
    """A call did not get the answer it must get: the figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class _Side:
    tools: int
    process: PolicyProcess
    documents: dict[ApprovalMode, list[bytes]]


async def _side(tools: int, core: int) -> _Side:
    library = load_bundle(default_policies())
    bundle = PolicyBundle(library.modules, {}, orjson.dumps({"sealgate": {"settings": _settings(tools)}}), library.revision)
    process = await PolicyProcess.start(lambda ended: None)
    os.sched_setaffinity(process.pid, {core})
    await process.load(bundle, SECONDS)
    process.patience = SECONDS
    chance = Random(SEED)
    chosen = [chance.randrange(tools) for _ in range(DOCUMENTS)]
    return _Side(tools, process, {mode: [_document(mode, number) for number in chosen] for mode in ApprovalMode})


async def _measure(side: _Side, mode: ApprovalMode, number: int, decisions: int) -> Cost:
    documents = side.documents[mode]
    await _decide(side, mode, (documents[index % DOCUMENTS] for index in range(WARM_DECISIONS)))
    before = cpu_seconds(side.process.pid)
    await _decide(side, mode, (documents[index % DOCUMENTS] for index in range(decisions)))
    return Cost(number, mode, side.tools, (cpu_seconds(side.process.pid) - before) * 1e6 / decisions)


async def _decide(side: _Side, mode: ApprovalMode, documents: Iterator[bytes]) -> None:
    loop = asyncio.get_running_loop()
    for document in documents:
        answer = await side.process.ask(b"D", document, loop.time() + SECONDS)
        if isinstance(answer, Fault) or orjson.loads(answer)["effect"] != EFFECTS[mode]:
            raise WrongAnswer(f"a {mode} call with {side.tools} tools was not decided {EFFECTS[mode]}: {answer!r}")


def _settings(tools: int) -> dict[str, Any]:
    """Everything switched on, and entries of its own for every tool."""
    constraint = {
        "paths": ["/srv/a", "/home/bob"],
        "hosts": ["api.example.com", "cdn.example.com"],
        "recipients": ["alice@example.com", "bob@example.com"],
        "max_amount": 500,
        "ask_above": 100,
    }
    days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
    names = [_tool(number) for number in range(tools)]
    return {
        "egress_allow": ["api.example.com", "cdn.example.com"],
        "network_calls_per_minute": 60,
        "pin_egress": True,
        "delegated_evidence": 1,
        "tenants": {"default": {"roles": {"agent": {"max_mode": "destructive"}}}},
        "budgets": {"run_calls": 1000, "run_effects": 100, "calls_per_minute": 120},
        "flow": {"tainted": "ask"},
        "approvals": {"quorum": {"destructive": {"count": 2}}, "routes": {"destructive": ["cli"]}, "run": True},
        "constraints": dict.fromkeys(names, constraint),
        "windows": {name: [{"days": days, "from": "08:00", "to": "18:00"}] for name in names},
        "results": {name: {"redact": ["/secret"], "max_bytes": 65_536} for name in names},
        "downgrades": {name: {"/dry_run": True} for name in names},
    }


def _tool(number: int) -> str:
    return f"upstream{number // TOOLS_PER_UPSTREAM}__tool{number}"


def _document(mode: ApprovalMode, number: int) -> bytes:
    """A call in a tainted run whose intent covers it: all concerns have something to do."""
    leaves = tuple(
        Leaf(f"/{name}", role, frozenset({Origin.UNTRUSTED if role is FieldRole.CONTENT else Origin.INTENT}))
        for name, role in (("path", FieldRole.PATH), ("host", FieldRole.HOST), ("text", FieldRole.CONTENT))
    )
    around = Circumstances(
        recent_calls=3,
        run_calls=10,
        run_effects=2,
        provenance=Provenance(tainted=True, leaves=leaves if mode.has_effect else ()),
        intent=IntentTold((_tool(number),), fulfilled=True),
    )
    return policy_input(_call(mode, number), around, dev=False, now=NOW)


def _call(mode: ApprovalMode, number: int) -> SealedCall:
    upstream, _, tool = _tool(number).partition("__")
    schema = {"type": "object", "additionalProperties": True}
    definition = ToolDefinition.from_document(upstream, {"name": tool, "inputSchema": schema})
    classification = Classification(
        mode, TrustLevel.UNTRUSTED, "owner", IdempotencyRule.DERIVED, ("api.example.com",), fields=FIELDS
    )
    run = RunContext(
        tenant_id="default",
        principal=Principal(PrincipalKind.USER, "alice"),
        actors=(Principal(PrincipalKind.AGENT, "assistant"),),
        roles=frozenset({"agent"}),
        trace_id="0" * 32,
        run_id="run-1",
        delegation=Delegation("alice", (_tool(number),), "2099-01-01T00:00:00.000Z"),
    )
    call = Sealer(CommitmentKey(bytes(32)), bytes).seal(
        run,
        Capability(definition, classification, ArgumentSchema(schema)),
        ToolRequest("envelope", _tool(number), ARGUMENTS, None, NOW),
    )
    if not isinstance(call, SealedCall):
        raise WrongAnswer(f"the call cannot be sealed: {call}")
    return call


def _print(where: dict[str, str], options: argparse.Namespace, costs: Sequence[Cost]) -> None:
    few, many = options.tools
    print("# What a decision costs\n")
    for name, value in where.items():
        if name != "state folder":
            print(f"- {name}: {value}")
    print(f"- decisions: {options.decisions} of each tier, side and round")
    print(f"- each figure: median of {options.rounds} rounds (least–greatest); ratios are made within a round\n")
    head = ("tier", f"CPU µs, {few:,} tools", f"CPU µs, {many:,} tools", "ratio")
    print(table(head, [_row(str(mode), costs, few, many) for mode in ApprovalMode]))
    ratios = [ratio for mode in ApprovalMode for ratio in _ratios(str(mode), costs, few, many)]
    print(f"\nAll tiers and rounds: {median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}).")


def _row(tier: str, costs: Sequence[Cost], few: int, many: int) -> list[str]:
    def of(tools: int) -> list[float]:
        return [one.us for one in costs if (one.tier, one.tools) == (tier, tools)]

    return [tier, spread_of(of(few), 0), spread_of(of(many), 0), spread_of(_ratios(tier, costs, few, many), 2)]


def _ratios(tier: str, costs: Sequence[Cost], few: int, many: int) -> list[float]:
    by = {(one.tools, one.round): one.us for one in costs if one.tier == tier}
    return [us / by[few, number] for (tools, number), us in by.items() if tools == many]


if __name__ == "__main__":
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("make bench-policy needs Linux: it reads the CPU time of another process.")
    sys.exit(asyncio.run(main(arguments())))
