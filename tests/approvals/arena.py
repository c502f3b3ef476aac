"""The real pipeline and journal under changed calls. Only the tool, the policy's answer and the time are the campaign's."""

import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import apsw

from gateway.core.answer import SignedAnswer
from gateway.core.approval import ApprovalRequest, Grant, NotGranted
from gateway.core.call import SealedCall, Sealer
from gateway.core.capability import ApprovalMode, Capability
from gateway.core.catalog import Catalog
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.conversation import Conversation
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.outcome import AwaitingApproval, Completed, InDoubt, Outcome
from gateway.core.reply import ToolReply, UpstreamReply
from gateway.pipeline import Gateway
from tests.core.calls import ASSISTANT, KEY, Call, Person, capability, decide, person, request_of, run_of
from tests.store.test_native_cancel import Sent, gateway_of
from tests.store.world import SqliteWorld, text

HASTE_SECONDS = 5.0
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

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        self.calls += 1
        return ToolReply(text("done"), "2026-07-28")


@dataclass(frozen=True)
class Case:
    """An approved call, and how it is decided. `place`: which case of the campaign it belongs to."""

    place: str
    call: Call
    decision: PolicyDecision
    approvers: tuple[Person, ...]
    approval_id: str = ""
    hasty: bool = False


@dataclass
class Arena:
    """The gateway under test, and what was tried on it: `tried` and `ran` count the kinds, `ran_in` tells the cases.

    Everything random is drawn from `seed` and a case's place, whatever other cases do meanwhile.
    """

    world: SqliteWorld
    seed: int
    sealer: Sealer = field(default_factory=lambda: Sealer(CommitmentKey(KEY), os.urandom))
    tool: Counting = field(default_factory=Counting)
    ran: Counter[str] = field(default_factory=Counter)
    ran_in: list[str] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    controls: int = 0
    number: int = 0
    made: dict[tuple[Any, ...], Capability] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in (BOB, CAROL, DORA, ACTOR):
            self.world.approvers[one.signer.keyid] = one.approver
        self._base = gateway_of(self.world, Call(), self.tool)

    def dice(self, place: str) -> random.Random:
        """The generator of one case."""
        return random.Random(f"{self.seed}: {place}")

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
            self.ran_in.append(f"case {case.place}: {how}")

    async def asked(self, place: str, rng: random.Random, *, hasty: bool = False) -> Case:
        """A new call that waits for its approvers."""
        several = rng.random() < 0.3
        obligations: dict[str, Any] = {"quorum": {"count": 2}} if several else {}
        if rng.random() < 0.2:
            obligations["routes"] = ["cli"]
        call = Call(
            arguments={"text": f"text {place}", "a": rng.randrange(1000), "b": {"to": ["x@example.com", True, None]}},
            key=None if rng.random() < 0.3 else f"key-{place}-{rng.randrange(10**9)}",
            mode=rng.choice(MODES),
            run_id=rng.choice([None, f"run-{place}"]),
        )
        decision = decide(Effect.ASK, revision=f"policy-{rng.randrange(3)}", obligations=obligations)
        case = Case(place, call, decision, tuple(rng.sample((BOB, CAROL, DORA), 2 if several else 1)), hasty=hasty)
        told = await self.make(case)
        assert isinstance(told, AwaitingApproval), told
        return replace(case, approval_id=told.approval_id)

    async def request(self, case: Case) -> ApprovalRequest:
        found = await self.world.journal.questions.row(case.approval_id)
        assert found is not None
        return found[0].request

    async def approved(self, place: str, rng: random.Random, *, hasty: bool = False) -> Case:
        """A new call that its approvers said yes to."""
        case = await self.asked(place, rng, hasty=hasty)
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
