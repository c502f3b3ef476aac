"""Approved calls, changed in every way we know, against the real pipeline and journal: none of them may run.

    python -m tests.approvals.campaign [COUNT] [SEED]

A case is one call that approvers said yes to. It is then made in changed forms, each of which must not run. After that the
call itself is made, which must run exactly once, however often it is made again; or what stands behind it is changed, and it
must not run either. Nothing is simulated but the tool, the policy's answer and the time.
"""

import asyncio
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw
import orjson

from gateway.core.answer import Answer, SignedAnswer, answer_payload
from gateway.core.approval import ApprovalRequest, Grant, NotGranted
from gateway.core.call import SealedCall, Sealer
from gateway.core.capability import ApprovalMode, Capability
from gateway.core.catalog import Catalog
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.obligations import ApproveFor, Quorum, Route
from gateway.core.outcome import AwaitingApproval, Completed, InDoubt, Outcome
from gateway.core.reply import ToolReply, UpstreamReply
from gateway.core.run_context import Principal, PrincipalKind
from gateway.pipeline import Gateway
from tests.core.calls import (
    ALICE,
    ASSISTANT,
    KEY,
    Call,
    Person,
    capability,
    decide,
    person,
    request_of,
    run_of,
    signed_answer,
)
from tests.store.test_native_cancel import Sent, gateway_of
from tests.store.world import SqliteWorld, text

HASTE_SECONDS = 5.0
CHANGED_FORMS = 4
AT_ONCE = 16
BOB, CAROL, DORA = person("user:bob"), person("user:carol"), person("user:dora")
STRANGER = person("user:bob")
ACTOR = person(str(ASSISTANT))
MODES = (ApprovalMode.LOCAL_WRITE, ApprovalMode.NETWORK, ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE)


@dataclass
class Shelf:
    """A catalogue with one tool."""

    call: Call
    made: dict[tuple[Any, ...], Capability] = field(default_factory=dict)

    def current(self) -> Catalog:
        which = (self.call.tool, self.call.description, self.call.mode, self.call.rule)
        if which not in self.made:
            self.made[which] = capability(self.call)
        one = self.made[which]
        return Catalog({one.id: one}, (), "revision")


@dataclass(frozen=True)
class Asking:
    """A policy that asks about every call, with this decision."""

    decision: PolicyDecision

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        return self.decision


class Counting(Sent):
    """A tool that counts its calls."""

    async def run(self, grant: Grant) -> UpstreamReply:
        self.calls += 1
        return ToolReply(text("done"), "2026-07-28")


@dataclass(frozen=True)
class Case:
    """An approved call, and how it is decided."""

    call: Call
    decision: PolicyDecision
    approvers: tuple[Person, ...]
    approval_id: str = ""
    hasty: bool = False


@dataclass
class Arena:
    """The gateway under test."""

    world: SqliteWorld
    rng: random.Random
    sealer: Sealer = field(default_factory=lambda: Sealer(CommitmentKey(KEY), os.urandom))
    tool: Counting = field(default_factory=Counting)
    ran: Counter[str] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    controls: int = 0
    number: int = 0
    made: dict[tuple[Any, ...], Capability] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in (BOB, CAROL, DORA, ACTOR):
            self.world.approvers[one.signer.keyid] = one.approver
        self._base = gateway_of(self.world, Call(), self.tool)

    def gateway(self, case: Case) -> Gateway:
        return replace(
            self._base,
            catalog=Shelf(case.call, self.made),
            sealer=self.sealer,
            policy=Asking(case.decision),
            journal=self.world.journal,
            approval_ttl_seconds=HASTE_SECONDS if case.hasty else 1e7,
        )

    async def make(self, case: Case) -> Outcome:
        """Make the call once more."""
        self.number += 1
        call = case.call.but(envelope=self.number)
        return await self.gateway(case).call(run_of(call), request_of(call))

    async def must_not_run(self, how: str, case: Case) -> None:
        """Make a changed call; told in `ran` where it runs."""
        self.tried[how] += 1
        try:
            told = await self.make(case)
        except NotGranted:  # no grant without enough answers, whatever the journal believed
            return
        if isinstance(told, Completed | InDoubt):
            self.ran[how] += 1

    async def asked(self, *, hasty: bool = False) -> Case:
        """A new call that waits for its approvers."""
        rng, number = self.rng, self.number
        several = rng.random() < 0.3
        obligations: dict[str, Any] = {"quorum": {"count": 2}} if several else {}
        if rng.random() < 0.2:
            obligations["routes"] = ["cli"]
        call = Call(
            arguments={"text": f"text {number}", "a": rng.randrange(1000), "b": {"to": ["x@example.com", True, None]}},
            key=None if rng.random() < 0.3 else f"key-{number}-{rng.randrange(10**9)}",
            mode=rng.choice(MODES),
            run_id=rng.choice([None, f"run-{number}"]),
        )
        decision = decide(Effect.ASK, revision=f"policy-{rng.randrange(3)}", obligations=obligations)
        case = Case(call, decision, tuple(rng.sample((BOB, CAROL, DORA), 2 if several else 1)), hasty=hasty)
        told = await self.make(case)
        assert isinstance(told, AwaitingApproval), told
        return replace(case, approval_id=told.approval_id)

    async def request(self, case: Case) -> ApprovalRequest:
        found = await self.world.journal.questions.row(case.approval_id)
        assert found is not None
        return found[0].request

    async def approved(self, *, hasty: bool = False) -> Case:
        """A new call that its approvers said yes to."""
        case = await self.asked(hasty=hasty)
        request = await self.request(case)
        for one in case.approvers:
            told = await self.world.journal.questions.answer(case.approval_id, one.sign(request))
            assert isinstance(told, SignedAnswer), told
        return case

    def kept(self, statement: str, *values: Any) -> Any:
        """What somebody with the journal's file reads or changes in it."""
        db = apsw.Connection(str(self.world.path))
        try:
            db.set_busy_timeout(10_000)
            return db.execute(statement, values).get
        finally:
            db.close()


# --- the call, changed ---


def arguments(case: Case, rng: random.Random) -> Case:
    """Other arguments, from another type to one more space."""
    given = case.call.arguments
    said: str = given["text"]
    other = rng.choice(
        [
            {**given, "text": said + " "},
            {**given, "text": said.replace("t", "т", 1)},  # a Cyrillic one
            {**given, "text": said + "\u200b"},
            {**given, "text": said.upper()},
            {**given, "a": given["a"] + 1},
            {**given, "a": str(given["a"])},
            {**given, "a": given["a"] + 0.5},
            {**given, "b": {"to": ["y@example.com", True, None]}},
            {**given, "b": {"to": ["x@example.com", 1, None]}},
            {**given, "b": {"to": ["x@example.com", True]}},
            {**given, "c": None},
            {name: value for name, value in given.items() if name != "b"},
            {},
        ]
    )
    return replace(case, call=case.call.but(arguments=other))


def tool(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(tool=rng.choice(["Send", "send2", "sen", "delete"])))


def mode(case: Case, rng: random.Random) -> Case:
    other = [one for one in MODES if one is not case.call.mode]
    return replace(case, call=case.call.but(mode=rng.choice(other)))


def principal(case: Case, rng: random.Random) -> Case:
    other = [
        Principal(PrincipalKind.USER, "alic"),
        Principal(PrincipalKind.USER, "Alice"),
        Principal(PrincipalKind.SERVICE, "alice"),
    ]
    return replace(case, call=case.call.but(principal=rng.choice(other)))


def actors(case: Case, rng: random.Random) -> Case:
    helper = Principal(PrincipalKind.AGENT, "helper")
    other = [(), (helper,), (ASSISTANT, helper), (helper, ASSISTANT), (ASSISTANT, ASSISTANT), (ALICE,)]
    return replace(case, call=case.call.but(actors=rng.choice(other)))


def tenant(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(tenant=rng.choice(["Acme", "acme2", "other"])))


def key(case: Case, rng: random.Random) -> Case:
    other = f"other-{rng.randrange(10**12)}"
    if case.call.key is None or rng.random() < 0.5:
        return replace(case, call=case.call.but(key=other))
    return replace(case, call=case.call.but(key=None))


def run(case: Case, rng: random.Random) -> Case:
    """Another run; where the client gave a key, that alone counts, so there it is another key as well."""
    other = case.call.but(run_id=f"other-{rng.randrange(10**12)}")
    return replace(case, call=other if other.key is None else other.but(key=None))


def undoing(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(compensates=f"01a201b3-0000-7000-8000-{rng.randrange(16**12):012x}"))


HARMLESS: list[Callable[[Case, random.Random], Case]] = [
    arguments,
    arguments,
    arguments,
    tool,
    principal,
    actors,
    tenant,
    key,
    run,
    undoing,
]
"""Other calls than the approved one, which stays as it is meanwhile."""


# --- what stands behind the call, changed ---


async def policy_revision(arena: Arena, case: Case) -> Case:
    decision = decide(Effect.ASK, revision="policy-9")
    return replace(case, decision=replace(decision, obligations=case.decision.obligations))


async def another_mode(arena: Arena, case: Case) -> Case:
    return mode(case, arena.rng)


async def definition(arena: Arena, case: Case) -> Case:
    description = arena.rng.choice(["Send it. ", "send it.", "", "Send it.\u200b"])
    return replace(case, call=case.call.but(description=description))


async def other_obligations(arena: Arena, case: Case) -> Case:
    """Policy wants more of the approvers now, under the same revision."""
    now = case.decision.obligations
    other = arena.rng.choice(
        [
            replace(now, approver="user:erin"),
            replace(now, quorum=Quorum(3)),
            replace(now, quorum=Quorum(1, ("user:erin",))),
            replace(now, routes=frozenset({Route.WEBHOOK})),
        ]
    )
    return replace(case, decision=replace(case.decision, obligations=other))


async def policy_allows_no_longer_asks(arena: Arena, case: Case) -> Case:
    return replace(case, decision=decide(Effect.DENY))


async def changed_answer(arena: Arena, case: Case) -> Case:
    """Somebody with the file changes one bit, or one field, of what an approver signed."""
    answers = orjson.loads(arena.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.approval_id))
    one, rng = arena.rng.choice(answers), arena.rng
    envelope = one["envelope"]
    signature = envelope["signatures"][0]
    match rng.randrange(7):
        case 0:
            envelope["payload"] = _other_character(envelope["payload"], rng)
        case 1:
            signature["sig"] = _other_character(signature["sig"], rng)
        case 2:
            signature["keyid"] = rng.choice([DORA.signer.keyid, STRANGER.signer.keyid, "00"])
            if signature["keyid"] == one["keyid"]:
                signature["keyid"] = BOB.signer.keyid
        case 3:
            envelope["payloadType"] += "x"
        case 4:
            one["route"] = rng.choice(["webhook", "elicitation"])
        case 5:
            envelope.clear()
        case _:
            del answers[-1]
    if not answers or rng.random() < 0.2:
        arena.kept("UPDATE approvals SET answer = NULL WHERE approval_id = ?", case.approval_id)
    else:
        told = orjson.dumps(answers).decode()
        arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def forged_answer(arena: Arena, case: Case) -> Case:
    """Somebody with the file puts an answer of their own there: by another key, by an actor, as a yes to something else."""
    request, rng = await arena.request(case), arena.rng
    by = rng.choice([STRANGER, ACTOR, BOB])
    asked = request.document()
    if by is BOB:
        asked |= {"call_digest": "hmac-sha256:00"} if rng.random() < 0.5 else {"expires_at": "2999-01-01T00:00:00.000Z"}
    payload = answer_payload(asked, Answer.APPROVE, by.principal, "")
    kept = {
        "approval_id": request.approval_id,
        "answer": "approve",
        "approver": by.principal,
        "keyid": by.signer.keyid,
        "comment": "",
        "envelope": signed_answer(by.signer, payload),
    }
    told = orjson.dumps([kept] * request.needed).decode()
    arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def doubled_answer(arena: Arena, case: Case) -> Case:
    """One yes is written twice, where two are wanted."""
    answers = orjson.loads(arena.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.approval_id))
    if len(answers) < 2:
        return await forged_answer(arena, case)
    told = orjson.dumps([answers[0]] * 2).decode()
    arena.kept("UPDATE approvals SET answer = ? WHERE approval_id = ?", told, case.approval_id)
    return case


async def changed_request(arena: Arena, case: Case) -> Case:
    """Somebody with the file changes what was asked, and so what the answers are to."""
    document = (await arena.request(case)).document()
    document["reasons"] = [{"code": reason["code"], "message": ""} for reason in document["reasons"]]
    other: dict[str, Any] = arena.rng.choice(
        [
            {"expires_at": "2999-01-01T00:00:00.000Z"},
            {"call_digest": "hmac-sha256:00"},
            {"mode": "read_only"},
            {"policy_revision": "policy-8"},
            {"required_approver": "user:bob"},
            {"principal_chain": [str(ALICE)]},
            {"advisory": True},
            {"tenant_id": "other"},
            {"capability_id": "mail__other"},
            {"definition_digest": "sha256:00"},
            {"envelope_id": "other"},
        ]
    )
    told = orjson.dumps({**document, **other}).decode()
    arena.kept("UPDATE approvals SET request = ? WHERE approval_id = ?", told, case.approval_id)
    return case


ENDING: list[Callable[[Arena, Case], Awaitable[Case]]] = [
    policy_revision,
    another_mode,
    definition,
    other_obligations,
    policy_allows_no_longer_asks,
    changed_answer,
    changed_answer,
    forged_answer,
    doubled_answer,
    changed_request,
]
"""Each of these takes the yes of the approved call away, for good."""


def _other_character(encoded: str, rng: random.Random) -> str:
    place = rng.randrange(len(encoded) - 4)
    other = rng.choice([char for char in "ABCDEFGHabcdefgh0123+/" if char != encoded[place]])
    return encoded[:place] + other + encoded[place + 1 :]


# --- answers that are none ---


async def false_answers(arena: Arena) -> None:
    """A call that nobody approved, for which something comes that looks like a yes."""
    case, rng = await arena.asked(), arena.rng
    request = await arena.request(case)
    other = await arena.request(await arena.asked())
    real = BOB.sign(request)
    spoiled = orjson.loads(orjson.dumps(real))
    spoiled["signatures"][0]["sig"] = _other_character(spoiled["signatures"][0]["sig"], rng)
    said_no = BOB.sign(request, Answer.REJECT)
    webhook = answer_payload(request.document(), Answer.APPROVE, BOB.principal, "", Route.WEBHOOK)
    elicited = answer_payload(request.document(), Answer.APPROVE, str(ALICE), "", Route.ELICITATION)
    for_run = answer_payload(request.document(), Answer.APPROVE, BOB.principal, "", reach=ApproveFor.RUN)
    in_the_name = answer_payload(request.document(), Answer.APPROVE, CAROL.principal, "")
    attempts: list[tuple[str, dict[str, Any], Route]] = [
        ("answer signature", spoiled, Route.CLI),
        ("answer turned", {**said_no, "payload": real["payload"]}, Route.CLI),
        ("answer to another", BOB.sign(other), Route.CLI),
        ("answer key", STRANGER.sign(request), Route.CLI),
        ("answer of an actor", ACTOR.sign(request), Route.CLI),
        ("answer route", real, Route.WEBHOOK),
        ("answer route", real, Route.ELICITATION),
        ("answer route", signed_answer(BOB.signer, webhook), Route.CLI),
        ("answer route", signed_answer(BOB.signer, elicited), Route.ELICITATION),
        ("answer reach", signed_answer(BOB.signer, for_run), Route.CLI),
        ("answer approver", signed_answer(BOB.signer, in_the_name), Route.CLI),
    ]
    if request.needed > 1:
        attempts.append(("answer of too few", real, Route.CLI))
    how, envelope, route = rng.choice(attempts)
    await arena.world.journal.questions.answer(case.approval_id, envelope, route)
    await arena.must_not_run(how, case)
    if case.call.mode in (ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE):
        await arena.world.journal.questions.attest(case.approval_id, Answer.APPROVE)
        await arena.must_not_run("answer elicited", case)


# --- the campaign ---


async def one_case(arena: Arena) -> None:
    """See the module."""
    rng, case = arena.rng, await arena.approved()
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
        await arena.must_not_run(ending.__name__, await ending(arena, case))
    await false_answers(arena)


async def campaign(arena: Arena, count: int) -> None:
    """Cases until `count` changed calls were made."""
    while arena.tried.total() < count:
        await asyncio.gather(*(one_case(arena) for _ in range(AT_ONCE)))
        late = [await arena.approved(hasty=True) for _ in range(3)]
        arena.world.clock.advance(HASTE_SECONDS)
        for case in late:
            await arena.must_not_run("expiry", case)


def report(arena: Arena) -> str:
    lines = [f"{how:34} {tried:7} tried {arena.ran[how]:5} ran" for how, tried in sorted(arena.tried.items())]
    effects = arena.tool.calls
    return "\n".join(
        [
            *lines,
            f"{arena.tried.total()} changed calls, {arena.ran.total()} ran; {arena.controls} controls, {effects} effects",
        ]
    )


def main() -> None:
    given = [int(text) for text in sys.argv[1:]]
    count, seed = (*given, *(10_000, 1)[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        world = SqliteWorld(Path(folder))
        arena = Arena(world, random.Random(seed))
        asyncio.run(campaign(arena, count))
        sys.stdout.write(report(arena) + "\n")
        world.close()
        sys.exit(arena.ran.total() != 0 or arena.tool.calls != arena.controls)


if __name__ == "__main__":
    main()
