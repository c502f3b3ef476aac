"""The journal against a model of it: random calls, mismatches, approvals, endings, kills, verdicts, undoing, forgetting.

The model (`journal_model.py`) is written from the design alone. The journal is the real one, on real files, closed and
opened anew in between. What a call meets, how often an effect ran, what is in doubt and what the log's verification finds
must be what the model says.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from gateway.adapters.store.sqlite.check import check_file
from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalRequest, Grant
from gateway.core.call import Sealer
from gateway.core.commitment import CommitmentKey
from gateway.core.envelope import Ending, NotDone, Unknown
from gateway.core.idempotency import State
from gateway.core.outcome import Reason, Receipt
from gateway.core.reservation import Gone, Held, Lost, Mismatch, NotApproved, NotCompensable, Prior, Resumed, Undone, Waiting
from gateway.core.resolution import Method, Resolution
from tests.core.calls import ALLOW, ASK, KEY, Call, ask_for, capability, envelope_id, person
from tests.store.contract import sealed
from tests.store.journal_model import Model, Question
from tests.store.world import SqliteWorld, answered, run, text

BOB = person("user:bob")
SUBJECT = "acme/user:alice"
DOWN = Reason("upstream.down", "Down.")
NAMES = (None, "key-1")
ARGUMENTS = ("one", "two")
ENDS = ("done", "done", "done", "done", "error", "not done", "unknown", "killed")
TTL_SECONDS = 300


class JournalMachine(RuleBasedStateMachine):
    """One journal and its model. `undos` are undoing calls that were made: (key, link), to be made again."""

    undos = Bundle("undos")

    @initialize()
    def opened(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.Runner()
        self.world = SqliteWorld(Path(self.folder.name), approvers={BOB.signer.keyid: BOB.approver})
        self.model = Model(self.world.clock)
        self.effects: Counter[str] = Counter()
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "world"):
            report = self.world.verify()
            assert report.ok, report.problems
            state = check_file(self.world.path, self.world.keys.trusted(), vault=self.world.vault)
            assert state.ok, state.problems
            assert not self.world.deaths
            self.world.close()
            self.loop.close()
            self.folder.cleanup()

    # --- what a client does ---

    @rule(name=st.sampled_from(NAMES), said=st.sampled_from(ARGUMENTS), asks=st.booleans(), end=st.sampled_from(ENDS))
    def a_call(self, name: str | None, said: str, asks: bool, end: str) -> None:
        self.make(Call(key=name, arguments={"text": said}), said, end, asks=asks)

    @rule(name=st.sampled_from(NAMES), said=st.sampled_from(ARGUMENTS))
    def the_same_call_five_times_at_once(self, name: str | None, said: str) -> None:
        calls = [Call(key=name, arguments={"text": said}, envelope=self.next()) for _ in range(5)]
        expected = self.model.expected(calls[0], said, asks=False)
        if expected == "not approved":  # the first of them is told so and frees the key
            self.make(calls.pop(), said, "done", asks=False)
            expected = self.model.expected(calls[0], said, asks=False)
        before = self.effects[said]
        met = self.loop.run(self.all_of(calls, said))
        receipts = [one for one in met if isinstance(one, Receipt)]
        ran = expected == "runs"
        assert len(receipts) == self.effects[said] - before == (1 if ran else 0)
        if ran:
            number = next(call.envelope for call in calls if envelope_id(call.envelope) == receipts[0].envelope_id)
            self.model.took(calls[0].but(envelope=number), said)
            self.model.ended(calls[0].but(envelope=number), said, "done", text(f"done {number}"))
            expected = self.model.expected(calls[0], said, asks=False)
        for one in met:
            if not isinstance(one, Receipt):
                self.check(one, expected, calls[0])

    @rule(target=undos, place=st.integers(0, 30), end=st.sampled_from(ENDS), asks=st.booleans())
    def an_undoing_call(self, place: int, end: str, asks: bool) -> tuple[str, int]:
        link = self.model.calls[place % len(self.model.calls)].number if self.model.calls else 999_999
        key = f"undo-{self.next()}"
        self.make(undoing(key, link), "undo", end, asks=asks)
        return key, link

    @rule(made=undos, end=st.sampled_from(ENDS), asks=st.booleans())
    def the_same_undoing_call_again(self, made: tuple[str, int], end: str, asks: bool) -> None:
        key, link = made
        self.make(undoing(key, link), "undo", end, asks=asks)

    @rule(made=consumes(undos), other=st.integers(0, 30))
    def an_undoing_call_with_another_link(self, made: tuple[str, int], other: int) -> None:
        key, link = made
        if self.model.calls and (number := self.model.calls[other % len(self.model.calls)].number) != link:
            self.make(undoing(key, number), f"undo {number}", "done", asks=False)

    # --- what people and time do ---

    @precondition(lambda self: self.model.questions("pending"))
    @rule(place=st.integers(0, 30), yes=st.booleans())
    def a_person_answers(self, place: int, yes: bool) -> None:
        pending = self.model.questions("pending")
        question = pending[place % len(pending)]
        signed = BOB.sign(question.request, Answer.APPROVE if yes else Answer.REJECT)
        told = self.loop.run(self.world.journal.questions.answer(question.request.approval_id, signed))
        if self.model.is_over(question):
            assert isinstance(told, Reason)
        else:
            assert isinstance(told, SignedAnswer)
            question.state = "approved" if yes else "rejected"

    @rule(seconds=st.sampled_from([1, 100, 121, 400]), swept=st.booleans())
    def time_passes(self, seconds: int, swept: bool) -> None:
        self.world.clock.advance(seconds)
        due = [question for question in self.model.questions("pending") if self.model.is_over(question)]
        if swept:
            assert self.loop.run(self.world.journal.questions.expire_due()) == len(due)
            for question in due:
                question.state = "expired"

    @precondition(lambda self: self.model.doubts())
    @rule(place=st.integers(0, 30), done=st.booleans(), brings=st.sampled_from(["nothing", "result", "error"]))
    def somebody_finds_out(self, place: int, done: bool, brings: str) -> None:
        call = self.model.doubts()[place % len(self.model.doubts())]
        is_error = brings == "error"
        result = text(f"told {call.number}", is_error=is_error) if done and brings != "nothing" else None
        told = None
        if result is not None:
            sealer = Sealer(CommitmentKey(KEY), lambda length: bytes(length))
            told = sealer.disclose_told_result(capability(Call()).definition.document, result)
            self.model.stored = True
        verdict = State.COMPLETED if done else State.FAILED
        resolution = Resolution(envelope_id(call.number), verdict, Method.OPERATOR, "carol", "looked", told)
        assert isinstance(self.loop.run(self.world.journal.doubts.resolve(resolution)), Receipt)
        again = self.loop.run(self.world.journal.doubts.resolve(resolution))
        assert isinstance(again, Reason)
        call.state, call.at = ("done" if done else "failed"), self.world.clock.now()
        call.resolved_by = "operator"
        if result is not None and call.values != "erased":
            call.result, call.values = result, "kept"
        self.model.settle(call, done=done and not is_error)

    # --- what the gateway does ---

    @rule()
    def a_restart(self) -> None:
        self.world.reopen()
        assert self.loop.run(self.world.journal.recover()) == 0

    @rule(place=st.integers(0, 30))
    def old_values_are_dropped(self, place: int) -> None:
        before = place % (self.number + 2)
        dropped = self.loop.run(self.world.journal.drop_before(envelope_id(before)))
        assert dropped == self.model.drop(before)

    @precondition(lambda self: self.model.stored)
    @rule()
    def the_subject_is_erased(self) -> None:
        self.loop.run(self.world.journal.erasures.erase(SUBJECT, reason="asked for", by="carol"))
        self.model.erase()

    @invariant()
    def the_same_is_in_doubt_and_every_effect_was_allowed(self) -> None:
        if hasattr(self, "world"):
            found = {row.envelope_id for row in self.world.journal.doubts.rows()}
            assert found == {envelope_id(call.number) for call in self.model.doubts()}
            assert self.effects == self.model.effects

    # --- a call, and what the model says of it ---

    def make(self, call: Call, said: str, end: str, *, asks: bool) -> None:
        call = call.but(envelope=self.next())
        expected = self.model.expected(call, said, asks=asks)
        one = sealed(call)
        request = ask_for(one, approval_id=self.world.clock.new_id(), expires_at=self.world.clock.later(TTL_SECONDS))
        decision, ask = (ASK, request) if asks else (ALLOW, None)
        result = text(f"{end} {call.envelope}", is_error=end == "error")
        if expected == "runs":
            self.model.took(call, said)
        if expected == "runs" and end == "killed":
            self.loop.run(self.killed(call, said, ask))
        else:
            endings: dict[str, Ending] = {"not done": NotDone(DOWN), "unknown": Unknown(DOWN)}
            ending = endings.get(end) or answered(one, result)
            made = run(self.world, one, lambda _: ending, decision=decision, ask=ask, effect=self.effect(said))
            met = self.loop.run(made)
            if expected == "asks":
                assert met == Waiting(request)
                self.model.slot(call).question = Question(request, said)
                self.model.stored = True
            else:
                self.check(met, expected, call)
        if expected == "not approved":
            self.model.slot(call).question = None
        if expected == "runs":
            self.model.ended(call, said, end, result)

    async def killed(self, call: Call, said: str, ask: ApprovalRequest | None) -> None:
        """It began and had its effect, and then the process was gone."""
        one = sealed(call)
        met = await self.world.journal.reserve(one, ALLOW if ask is None else ASK, ask)
        assert isinstance(met, Held | Resumed), met
        approved = met.approved if isinstance(met, Resumed) else None
        await self.world.journal.begin(Grant(one, ALLOW if ask is None else ASK, approved))
        self.effect(said)()
        self.world.reopen()
        assert await self.world.journal.recover() == 1

    async def all_of(self, calls: list[Call], said: str) -> list[Any]:
        def one(call: Call) -> Any:
            result = text(f"done {call.envelope}")
            return run(self.world, call, lambda made: answered(made, result), effect=self.effect(said))

        return await asyncio.gather(*map(one, calls))

    def check(self, met: object, expected: str, call: Call) -> None:
        """The answer is of the expected kind, and says what the model says."""
        slot = self.model.slot(call)
        kinds = {
            "mismatch": Mismatch,
            "not approved": NotApproved,
            "waiting": Waiting,
            "lost": Lost,
            "undone": Undone,
            "gone": Gone,
            "prior": Prior,
            "not compensable": NotCompensable,
            "runs": Receipt,
        }
        assert isinstance(met, kinds[expected]), (expected, met)
        if isinstance(met, Waiting):
            assert slot.question is not None
            assert met.request == slot.question.request
        elif isinstance(met, Lost | Undone | Gone | Prior):
            assert slot.call is not None
            assert met.envelope_id == envelope_id(slot.call.number)
            if isinstance(met, Prior):
                assert (met.result, met.resolved_by) == (slot.call.result, slot.call.resolved_by)

    def effect(self, said: str) -> Callable[[], None]:
        """What the upstream does."""
        return lambda: self.effects.update([said])

    def next(self) -> int:
        self.number += 1
        return self.number


def undoing(key: str, number: int) -> Call:
    """A call that undoes the call of that number."""
    return Call(tool="undo", key=key, arguments={"text": "undo"}, compensates=envelope_id(number))


JournalMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,  # the blob replays a failure
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
TestJournalMachine = JournalMachine.TestCase
