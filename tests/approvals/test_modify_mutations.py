"""Approved changed calls, and what stands behind them tampered with: the tool gets what was signed, or nothing.

Each case is one call that waits, an approver's change of it, and the yeses to the changed one. Then somebody with the file
changes what is kept, or the caller something of the call, and the call is made again, several times at once. Nothing is
simulated but the tool, the policy's answer and the time.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gateway.adapters.store.sqlite.questions import Questions
from gateway.adapters.vault import SubjectKey, VaultThread
from gateway.core import verify
from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalRequest, ApprovalRow, Grant, NotGranted
from gateway.core.call import SealedCall, Sealer
from gateway.core.capability import ApprovalMode, ToolDefinition
from gateway.core.catalog import Catalog
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.conversation import Conversation
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.offer import Offer, Waits, make_offer
from gateway.core.outcome import AwaitingApproval, Denied, Reason
from gateway.core.reply import ToolReply, UpstreamReply
from gateway.core.schema import ArgumentSchema
from gateway.pipeline import Gateway
from tests.core.calls import KEY, Call, capability, decide, person, request_of, run_of
from tests.store.test_native_cancel import OneTool, Sent, gateway_of
from tests.store.world import SqliteWorld, text

pytestmark = pytest.mark.anyio

SEED = int(os.environ.get("MUTATIONS_SEED", "20261130"))
MANY = int(os.environ.get("MODIFIED_MUTATIONS", "1500"))
MODES = (ApprovalMode.LOCAL_WRITE, ApprovalMode.NETWORK, ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE)
BOB, CAROL, DORA = person("user:bob"), person("user:carol"), person("user:dora")
STRANGER = person("user:bob")


@dataclass(frozen=True)
class Asking:
    """A policy that asks about every call, with this decision."""

    decision: PolicyDecision

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        return self.decision


class Noting(Sent):
    """A tool that notes what it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[dict[str, Any]] = []

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        self.sent.append(orjson.loads(grant.call.arguments))
        return ToolReply(text("done"), "2026-07-28")


@dataclass(frozen=True)
class Case:
    """A call, what it was changed into, and the two requests about it."""

    call: Call
    decision: PolicyDecision
    changed: dict[str, Any]
    was: ApprovalRequest
    now: ApprovalRequest


@dataclass
class Till:
    """The gateway under test, and what its tool got."""

    world: SqliteWorld
    rng: random.Random
    tool: Noting = field(default_factory=Noting)
    sealer: Sealer = field(default_factory=lambda: Sealer(CommitmentKey(KEY), os.urandom))
    tried: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    number: int = 0

    def __post_init__(self) -> None:
        for one in (BOB, CAROL, DORA):
            self.world.approvers[one.signer.keyid] = one.approver
        self._base = gateway_of(self.world, Call(), self.tool)

    def gateway(self, call: Call, decision: PolicyDecision) -> Gateway:
        return replace(
            self._base,
            catalog=OneTool(call),
            sealer=self.sealer,
            policy=Asking(decision),
            journal=self.world.journal,
            approval_ttl_seconds=1e7,
        )

    async def make(self, call: Call, decision: PolicyDecision) -> Any:
        self.number += 1
        call = call.but(envelope=self.number)
        try:
            return await self.gateway(call, decision).call(run_of(call), request_of(call))
        except NotGranted:  # no grant without enough answers, whatever the journal believed
            return None

    async def offer(self, approval_id: str, call: Call, changes: dict[str, Any]) -> Offer:
        waits = await self.world.journal.questions.waits(approval_id)
        assert isinstance(waits, Waits)
        clock = self.world.clock
        told = make_offer(waits, changes, capability(call), self.sealer, approval_id=clock.new_id(), now=clock.now())
        assert isinstance(told, Offer), told
        return told

    async def modified(self) -> Case:
        """A new call that an approver changed, and that its approvers said yes to, as it is now."""
        rng, number = self.rng, self.number
        two = rng.random() < 0.3
        call = Call(
            arguments={"text": f"text {number}", "a": rng.randrange(100), "b": ["x", None]},
            key=None if rng.random() < 0.3 else f"key-{number}",
            mode=rng.choice(MODES),
            run_id=rng.choice([None, f"run-{number}"]),
        )
        decision = decide(Effect.ASK, obligations={"quorum": {"count": 2}} if two else {})
        waiting = await self.make(call, decision)
        assert isinstance(waiting, AwaitingApproval), waiting
        changes = {"/a": rng.randrange(100, 200), "/b/0": "y"}
        made = await self.offer(waiting.approval_id, call, changes)
        questions = self.world.journal.questions
        questions.keep_offer(made, "desk")
        by = rng.sample((BOB, CAROL, DORA), 2 if two else 1)
        answer = by[0].sign(made.asked, Answer.MODIFY, into=made.request)
        assert isinstance(await questions.answer(waiting.approval_id, answer), SignedAnswer)
        for one in by:
            assert isinstance(await questions.answer(made.request.approval_id, one.sign(made.request)), SignedAnswer)
        return Case(call, decision, {**call.arguments, "a": changes["/a"], "b": ["y", None]}, made.asked, made.request)

    def kept(self, statement: str, *values: Any) -> Any:
        """What somebody with the journal's file reads or changes in it."""
        with closing(apsw.Connection(str(self.world.path))) as db:
            db.set_busy_timeout(10_000)
            return db.execute(statement, values).get

    def document(self, approval_id: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.kept("SELECT request FROM approvals WHERE approval_id = ?", approval_id))
        return found

    def put(self, approval_id: str, column: str, value: Any) -> None:
        told = orjson.dumps(value).decode() if not isinstance(value, str) else value
        self.kept(f"UPDATE approvals SET {column} = ? WHERE approval_id = ?", told, approval_id)  # noqa: S608 our own words


# --- what is changed. Each leaves the case's call to be made again, or another one ---


def nothing(till: Till, case: Case) -> Call:
    """The control: this one runs."""
    return case.call


def waits_for_the_old_request(till: Till, case: Case) -> Call:
    till.kept("UPDATE calls SET approval_id = ? WHERE approval_id = ?", case.was.approval_id, case.now.approval_id)
    return case.call


def old_request_approved_by_the_yeses_to_the_new(till: Till, case: Case) -> Call:
    answers = till.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.now.approval_id)
    till.put(case.was.approval_id, "answer", answers)
    till.put(case.was.approval_id, "state", "approved")
    return waits_for_the_old_request(till, case)


def change_taken_for_a_yes(till: Till, case: Case) -> Call:
    """The signed `modify` is written down as an approval of the call as it was made."""
    answers = orjson.loads(till.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.was.approval_id))
    for one in answers:
        one["answer"] = "approve"
        one.pop("modified_into", None)
    till.put(case.was.approval_id, "answer", answers * case.was.needed)
    till.put(case.was.approval_id, "state", "approved")
    return waits_for_the_old_request(till, case)


def forged_yes_to_the_old_call(till: Till, case: Case) -> Call:
    signer = till.rng.choice([STRANGER, BOB])
    request = case.was if signer is STRANGER else case.now
    forged = {
        "approval_id": case.was.approval_id,
        "answer": "approve",
        "approver": signer.principal,
        "keyid": signer.signer.keyid,
        "comment": "",
        "envelope": signer.sign(request),
    }
    till.put(case.was.approval_id, "answer", [forged] * case.was.needed)
    till.put(case.was.approval_id, "state", "approved")
    return waits_for_the_old_request(till, case)


def new_request_about_the_old_call(till: Till, case: Case) -> Call:
    document = till.document(case.now.approval_id)
    document["call_digest"] = case.was.call_digest
    if till.rng.random() < 0.5:
        del document["modified_from"]
    till.put(case.now.approval_id, "request", document)
    return case.call


def new_request_changed(till: Till, case: Case) -> Call:
    other: dict[str, Any] = till.rng.choice(
        [
            {"modified_from": "another"},
            {"expires_at": "2999-01-01T00:00:00.000Z"},
            {"required_approver": "user:bob"},
            {"policy_revision": "policy-8"},
            {"approve_for": "run", "run_id": "r"},
            {"envelope_id": "other"},
        ]
    )
    till.put(case.now.approval_id, "request", {**till.document(case.now.approval_id), **other})
    return case.call


def a_bit_of_a_signature(till: Till, case: Case) -> Call:
    answers = orjson.loads(till.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.now.approval_id))
    signature = till.rng.choice(answers)["envelope"]["signatures"][0]
    place = till.rng.randrange(len(signature["sig"]) - 4)
    other = "A" if signature["sig"][place] != "A" else "B"
    signature["sig"] = signature["sig"][:place] + other + signature["sig"][place + 1 :]
    till.put(case.now.approval_id, "answer", answers)
    return case.call


def one_yes_fewer(till: Till, case: Case) -> Call:
    answers = orjson.loads(till.kept("SELECT answer FROM approvals WHERE approval_id = ?", case.now.approval_id))
    till.put(case.now.approval_id, "answer", answers[1:])
    return case.call


def caller_sends_the_changed_arguments(till: Till, case: Case) -> Call:
    """By itself, under the same key or without one: that is another call than the one that was changed."""
    return case.call.but(arguments=case.changed, key=till.rng.choice([case.call.key, None, "another"]))


def caller_sends_other_arguments(till: Till, case: Case) -> Call:
    return case.call.but(arguments={**case.call.arguments, "a": till.rng.randrange(300, 400)})


def tool_changed(till: Till, case: Case) -> Call:
    return case.call.but(description="Send it, now.")


HARMLESS: list[Callable[[Till, Case], Call]] = [nothing, nothing]
"""After these the changed call runs."""

ENDING: list[Callable[[Till, Case], Call]] = [
    waits_for_the_old_request,
    old_request_approved_by_the_yeses_to_the_new,
    change_taken_for_a_yes,
    forged_yes_to_the_old_call,
    new_request_about_the_old_call,
    new_request_changed,
    a_bit_of_a_signature,
    one_yes_fewer,
    caller_sends_the_changed_arguments,
    caller_sends_other_arguments,
    tool_changed,
]
"""After these nothing runs."""


async def one_case(till: Till) -> None:
    case = await till.modified()
    how = till.rng.choice([*HARMLESS, *ENDING])
    till.tried[how.__name__] += 1
    call, before = how(till, case), len(till.tool.sent)
    await asyncio.gather(*(till.make(call, case.decision) for _ in range(3)))
    sent = till.tool.sent[before:]
    if sent != ([case.changed] if how in HARMLESS else []):
        till.wrong.append(f"{how.__name__}: {sent}")


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Till]:
    world = SqliteWorld(tmp_path)
    yield Till(world, random.Random(SEED))
    world.close()


OF_THE_FILE = {"an approval request that was modified is void", "an approval request is not as it was asked"}
"""What the log tells of requests that somebody changed in the file: they end once more, or as others than were asked."""


def log_tells(till: Till, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the log holds but for requests that were changed in the file. No call began on one."""
    monkeypatch.setattr(verify, "MAX_PROBLEMS", 10**6)
    return {problem.partition(": ")[2] for problem in till.world.verify().problems} <= OF_THE_FILE


async def test_a_changed_call_runs_as_it_was_signed_or_not_at_all(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(150):
        await one_case(till)
    assert till.wrong == []
    assert till.tool.sent
    assert log_tells(till, monkeypatch)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_so_do_fifteen_hundred(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    """MODIFIED_MUTATIONS and MUTATIONS_SEED in the environment change how many, and which."""
    for _ in range(MANY):
        await one_case(till)
    assert till.wrong == []
    assert min(till.tried[how.__name__] for how in [*HARMLESS, *ENDING]) >= 20, till.tried
    assert log_tells(till, monkeypatch)


class Believing(Questions):
    """Takes the journal's word for an answer."""

    def signed(self, approval: ApprovalRow) -> tuple[SignedAnswer, ...]:
        return approval.answers


async def test_a_journal_that_is_believed_is_seen(till: Till) -> None:
    world, journal = till.world, till.world.journal
    parts = (world.writer, journal._reader, world.vault_thread, world.clock, world.approvers)
    journal.questions = Believing(*parts, world.keys.entry)
    for _ in range(150):
        await one_case(till)
    assert {found.partition(":")[0] for found in till.wrong} & {"change_taken_for_a_yes", "forged_yes_to_the_old_call"}


@dataclass(frozen=True)
class Marked:
    """A catalogue of one tool, whose definition says by now that an argument is sensitive."""

    call: Call

    def current(self) -> Catalog:
        tool = capability(self.call)
        schema = {"type": "object", "properties": {"text": {}, "a": {"x-sealgate-sensitive": True}, "b": {}}}
        document = {**tool.definition.document, "inputSchema": schema}
        marked = replace(tool, definition=ToolDefinition.from_document("mail", document), schema=ArgumentSchema(schema))
        return Catalog({marked.id: marked}, (), "revision")


async def test_a_change_that_has_become_secret_is_asked_about_no_more(till: Till) -> None:
    case = await till.modified()
    gateway = replace(till.gateway(case.call, case.decision), catalog=Marked(case.call))
    before = await till.world.journal.questions.rows(pending_only=False)
    told = await gateway.call(run_of(case.call), request_of(case.call.but(envelope=1000)))
    assert isinstance(told, Denied)
    assert [reason.code for reason in told.reasons] == ["approval.modified_wrong"]
    assert await till.world.journal.questions.rows(pending_only=False) == before
    assert till.tool.sent == []


class ErasedMeanwhile(VaultThread):
    """Somebody's keys are destroyed right before a new one is asked for."""

    async def sealing_key(self, subject: str) -> SubjectKey:
        await self.destroy(subject, await self.numbers(subject))
        return await super().sealing_key(subject)


async def test_what_is_erased_while_a_change_is_signed_is_not_kept_anew(till: Till) -> None:
    world, call, decision = till.world, Call(), decide(Effect.ASK)
    waiting = await till.make(call, decision)
    made = await till.offer(waiting.approval_id, call, {"/text": "changed"})
    vault = ErasedMeanwhile(world.vault)
    questions = Questions(world.writer, world.journal._reader, vault, world.clock, world.approvers, None)
    questions.keep_offer(made, "desk")
    told = await questions.answer(waiting.approval_id, BOB.sign(made.asked, Answer.MODIFY, into=made.request))
    vault.close()
    assert isinstance(told, Reason)
    assert told.code == "approval.not_offered"
    assert [row.request.approval_id for row in await questions.rows(pending_only=False)] == [waiting.approval_id]


async def test_to_be_asked_anew_under_other_policies_is_no_change_by_a_person(till: Till) -> None:
    call, decision, questions = Call(), decide(Effect.ASK), till.world.journal.questions
    waiting = await till.make(call, decision)
    made = await till.offer(waiting.approval_id, call, {"/text": "changed"})
    questions.keep_offer(made, "desk")
    told = await questions.answer(waiting.approval_id, BOB.sign(made.asked, Answer.MODIFY, into=made.request))
    assert isinstance(told, SignedAnswer)
    before = made.request.approval_id
    for revision in ("sha256:other", "sha256:yet-another"):
        anew = await till.make(call, replace(decision, bundle_revision=revision))
        assert isinstance(anew, AwaitingApproval)
        assert till.document(anew.approval_id)["modified_from"] == before
        waits = await questions.waits(anew.approval_id)
        assert isinstance(waits, Waits)
        assert waits.modified == 1
        before = anew.approval_id
    circle = {**till.document(made.request.approval_id), "modified_from": before}  # by somebody with the file
    till.put(made.request.approval_id, "request", circle)
    waits = await questions.waits(before)
    assert isinstance(waits, Waits)
    assert waits.modified == 0
