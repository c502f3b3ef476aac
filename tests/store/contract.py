"""What every Journal promises (`core.ports.Journal`, and what approvers and the daemon need beside it).

A test class of an implementation inherits these and gives the fixture `world`.
"""

import asyncio
import os
from collections import Counter
from dataclasses import replace

import pytest

from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalRequest, ApprovalState, Grant
from gateway.core.call import SealedCall
from gateway.core.capability import ApprovalMode, IdempotencyRule, TrustLevel
from gateway.core.decision import Effect
from gateway.core.entry import Kind
from gateway.core.envelope import Answered, NotDone, Refusal, Replay, Unknown
from gateway.core.errors import ApprovalSpent
from gateway.core.evidence import EvidenceRef
from gateway.core.offer import Offer
from gateway.core.outcome import Reason, Receipt
from gateway.core.reservation import Held, Instead, Lost, Mismatch, NotApproved, Prior, Resumed, Running, Waiting
from tests.core.calls import ALLOW, ASK, Call, Person, ask_for, decide, envelope_id, person, request_of, run_of, seal
from tests.store.world import World, answered, result_of, run, text

READ = Call(mode=ApprovalMode.READ_ONLY, rule=IdempotencyRule.NONE, key=None)
WRITE = Call()
DERIVED = Call(key=None)
FAILED = Reason("upstream.down", "It is down.")
BOB = person("user:bob")


def sealed(call: Call) -> SealedCall:
    return seal(call, random=os.urandom)


def kinds(world: World, call_id: str | None = None) -> list[str]:
    """The kinds of the log's entries, or of one call's."""
    return [entry.kind.value for entry in world.entries() if call_id in (None, entry.id)]


async def ask(world: World, call: Call, *, expires_in: float = 600) -> ApprovalRequest:
    """Make a call that needs a person; the request it waits for."""
    one = sealed(call)
    request = ask_for(one, approval_id=world.clock.new_id(), expires_at=world.clock.later(expires_in))
    met = await world.journal.reserve(one, ASK, request)
    assert met == Waiting(request)
    return request


async def retry(world: World, call: Call) -> object:
    """Make it again: what it meets."""
    one = sealed(call)
    request = ask_for(one, approval_id=world.clock.new_id(), expires_at=world.clock.later(600))
    return await world.journal.reserve(one, ASK, request)


async def answer(world: World, request: ApprovalRequest, how: Answer, by: Person = BOB) -> SignedAnswer | Reason:
    """Their answer; `modify` is into a call whose text is `changed`."""
    world.approvers.update({BOB.signer.keyid: BOB.approver, by.signer.keyid: by.approver})
    into: ApprovalRequest | None = None
    if how is Answer.MODIFY:
        changed = {"call_digest": "hmac-sha256:00", "modified_from": request.approval_id}
        into = replace(request, approval_id=world.clock.new_id(), **changed)  # type: ignore[arg-type]
        world.journal.questions.keep_offer(Offer(request, into, b'{"text":"changed"}'), "desk")
    return await world.journal.questions.answer(request.approval_id, by.sign(request, how, into=into))


async def approve(world: World, request: ApprovalRequest) -> None:
    assert isinstance(await answer(world, request, Answer.APPROVE), SignedAnswer)


class JournalContract:
    """See the module."""

    # --- one call ---

    async def test_a_call_leaves_its_intent_and_its_outcome(self, world: World) -> None:
        receipt = await run(world, WRITE)
        assert isinstance(receipt, Receipt)
        intent, outcome = world.entries()
        assert (intent.kind, outcome.kind) == (Kind.INTENT, Kind.OUTCOME)
        assert intent.id == outcome.id == receipt.envelope_id == envelope_id(1)
        assert outcome.predicate["result"]["status"] == "completed"
        assert (receipt.leaf_index, receipt.kind, receipt.keyid) == (1, "outcome", outcome.keyid)
        assert world.verify().ok

    async def test_a_read_leaves_its_outcome_only(self, world: World) -> None:
        await run(world, READ)
        await run(world, READ.but(envelope=2))
        assert kinds(world) == ["outcome", "outcome"]
        assert world.verify().ok

    async def test_an_intent_is_there_before_the_effect(self, world: World) -> None:
        seen: list[list[str]] = []
        await run(world, WRITE, effect=lambda: seen.append(kinds(world)))
        assert seen == [["intent"]]

    async def test_a_refusal_and_a_replay_leave_their_entries(self, world: World) -> None:
        await run(world, WRITE)
        refusal = Refusal(run_of(WRITE), request_of(WRITE.but(envelope=2)), (Reason("tool.unknown", "No."),))
        refused = await world.journal.refuse(refusal)
        again = sealed(WRITE.but(envelope=3))
        evidence = EvidenceRef.of_result(again.capability, envelope_id(1), None)
        replayed = await world.journal.replay(Replay(again, ALLOW, envelope_id(1), evidence))
        assert (refused.kind, replayed.kind) == ("denied", "outcome")
        assert kinds(world) == ["intent", "outcome", "denied", "outcome"]
        assert world.entries()[3].predicate["result"] == {"status": "replayed", "replay_of": envelope_id(1)}
        assert world.verify().ok

    # --- one effect per key ---

    async def test_concurrent_duplicates_have_one_effect_and_one_result(self, world: World) -> None:
        effects: Counter[str] = Counter()
        results: dict[str, list[object]] = {}

        async def caller(key: str, number: int) -> None:
            call = WRITE.but(key=key, envelope=number)
            met = await run(
                world, call, lambda one: answered(one, text(f"by {number}")), effect=lambda: effects.update([key])
            )
            if isinstance(met, Receipt):
                again = await run(world, call.but(envelope=number + 100_000))
                results.setdefault(key, []).append(result_of(again))
            else:
                results.setdefault(key, []).append(result_of(met))

        keys = [f"key-{number}" for number in range(100)]
        await asyncio.gather(*(caller(key, 16 * place + copy) for place, key in enumerate(keys) for copy in range(16)))
        assert effects == dict.fromkeys(keys, 1)
        for key in keys:
            assert len(results[key]) == 16
            assert all(result == results[key][0] for result in results[key])
        report = world.verify()
        assert report.ok
        assert report.kinds == {"intent": 100, "outcome": 100}

    async def test_a_retry_gets_the_stored_result_and_whose_it_was(self, world: World) -> None:
        document = text("stored ✓ \U0001f600")
        await run(world, WRITE, lambda one: answered(one, document))
        met = await run(world, WRITE.but(envelope=2))
        assert met == Prior(envelope_id(1), document, None, is_trusted=False)

    async def test_a_stored_result_is_believed_as_far_as_it_was_when_it_came(self, world: World) -> None:
        def trusted(one: SealedCall) -> Answered:
            ending = answered(one, text("ours"))
            return replace(ending, evidence=replace(ending.evidence, trust_level=TrustLevel.TRUSTED))

        await run(world, WRITE, trusted)
        assert await run(world, WRITE.but(envelope=2)) == Prior(envelope_id(1), text("ours"), None, is_trusted=True)

    async def test_a_stored_result_survives_a_restart(self, world: World) -> None:
        await run(world, WRITE, lambda one: answered(one, text("kept")))
        world.reopen()
        assert result_of(await run(world, WRITE.but(envelope=2))) == text("kept")

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_other_arguments_under_the_same_key_are_a_mismatch(self, world: World, restarted: bool) -> None:
        await run(world, WRITE)
        if restarted:
            world.reopen()
        assert await run(world, WRITE.but(envelope=2, arguments={"text": "else"})) == Mismatch()

    async def test_other_arguments_under_a_key_that_is_running_are_a_mismatch(self, world: World) -> None:
        assert await world.journal.reserve(sealed(WRITE), ALLOW, None) == Held()
        assert await run(world, WRITE.but(envelope=2, arguments={"text": "else"})) == Mismatch()

    async def test_a_key_of_another_principal_or_tool_is_another_key(self, world: World) -> None:
        await run(world, WRITE)
        for other in (WRITE.but(tenant="other"), WRITE.but(tool="other"), WRITE.but(key="key-2")):
            assert isinstance(await run(world, other.but(envelope=hash(other.tool + other.tenant) % 1000 + 5)), Receipt)

    async def test_a_duplicate_waits_for_the_running_call(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        await world.journal.begin(Grant(first, ALLOW))
        waiting = asyncio.ensure_future(run(world, WRITE.but(envelope=2)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await world.journal.finish(Grant(first, ALLOW), answered(first, text("first")), 1)
        world.journal.release(first)
        assert result_of(await waiting) == text("first")

    async def test_a_duplicate_is_told_that_it_runs_when_it_waited_long_enough(self, impatient: World) -> None:
        assert await impatient.journal.reserve(sealed(WRITE), ALLOW, None) == Held()
        assert await run(impatient, WRITE.but(envelope=2)) == Running()

    # --- derived keys ---

    @pytest.mark.parametrize(("call", "window"), [(DERIVED, 120), (DERIVED.but(run_id="run-1"), 86_400)])
    async def test_a_derived_key_stands_for_the_same_call_for_a_while(self, world: World, call: Call, window: float) -> None:
        await run(world, call, lambda one: answered(one, text("first")))
        world.clock.advance(window)
        met = await run(world, call.but(envelope=2))
        assert isinstance(met, Prior)
        assert met.result == text("first")
        assert met.note is not None
        world.clock.advance(0.001)
        assert isinstance(await run(world, call.but(envelope=3), lambda one: answered(one, text("second"))), Receipt)
        assert result_of(await run(world, call.but(envelope=4))) == text("second")

    async def test_a_clients_key_stands_for_ever(self, world: World) -> None:
        await run(world, WRITE)
        world.clock.advance(10 * 365 * 86_400)
        assert isinstance(await run(world, WRITE.but(envelope=2)), Prior)

    async def test_a_tools_own_error_frees_a_derived_key_and_is_kept_under_a_clients(self, world: World) -> None:
        def failing(one: SealedCall) -> object:
            return answered(one, text("no", is_error=True))

        await run(world, DERIVED, failing)  # type: ignore[arg-type]
        assert isinstance(await run(world, DERIVED.but(envelope=2)), Receipt)
        await run(world, WRITE.but(envelope=3), failing)  # type: ignore[arg-type]
        assert result_of(await run(world, WRITE.but(envelope=4))) == text("no", is_error=True)

    # --- ends ---

    @pytest.mark.parametrize("call", [WRITE, DERIVED])
    async def test_what_certainly_did_not_happen_frees_its_key(self, world: World, call: Call) -> None:
        await run(world, call, lambda _: NotDone(FAILED))
        assert isinstance(await run(world, call.but(envelope=2)), Receipt)
        assert isinstance(await run(world, call.but(envelope=3)), Prior)
        assert world.verify().ok

    async def test_a_key_that_failed_may_come_with_other_arguments(self, world: World) -> None:
        await run(world, WRITE, lambda _: NotDone(FAILED))
        assert isinstance(await run(world, WRITE.but(envelope=2, arguments={"text": "else"})), Receipt)

    @pytest.mark.parametrize("call", [WRITE, DERIVED])
    async def test_what_is_in_doubt_stays_in_doubt(self, world: World, call: Call) -> None:
        await run(world, call, lambda _: Unknown(Reason("upstream.timeout", "Late.")))
        assert await run(world, call.but(envelope=2)) == Lost(envelope_id(1))
        world.clock.advance(1e6)
        world.reopen()
        assert await world.journal.recover() == 0
        assert await run(world, call.but(envelope=3)) == Lost(envelope_id(1))
        assert kinds(world) == ["intent", "in_doubt"]
        assert world.verify().ok

    async def test_a_call_released_before_it_began_leaves_its_key_free(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        world.journal.release(first)
        assert isinstance(await run(world, WRITE.but(envelope=2)), Receipt)

    async def test_a_released_key_is_free_after_a_refusal(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        await world.journal.refuse(Refusal(first.run, request_of(WRITE), (FAILED,), first.capability, first, ALLOW))
        world.journal.release(first)
        assert isinstance(await run(world, WRITE.but(envelope=2)), Receipt)

    async def test_a_release_by_another_call_frees_nothing(self, impatient: World) -> None:
        assert await impatient.journal.reserve(sealed(WRITE), ALLOW, None) == Held()
        impatient.journal.release(sealed(WRITE.but(envelope=2)))
        assert await run(impatient, WRITE.but(envelope=3)) == Running()

    async def test_a_waiting_duplicate_that_goes_away_takes_nothing_with_it(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        waiting = [asyncio.ensure_future(run(world, WRITE.but(envelope=number))) for number in range(2, 12)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        world.journal.release(first)
        met = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(one, asyncio.CancelledError) for one in met] == [True, False] * 5
        assert sum(isinstance(one, Receipt) for one in met) == 1
        assert sum(isinstance(one, Prior) for one in met) == 4

    @pytest.mark.parametrize("changed", ["mode", "approver"])
    async def test_a_yes_to_something_else_counts_for_nothing(self, world: World, changed: str) -> None:
        request = await ask(world, WRITE)
        assert isinstance(await answer(world, request, Answer.APPROVE), SignedAnswer)
        mode = ApprovalMode.DESTRUCTIVE if changed == "mode" else WRITE.mode
        decision = decide(Effect.ASK, obligations={"approver": "user:boss"} if changed == "approver" else {})
        again = sealed(WRITE.but(mode=mode, envelope=2))
        assert again.call_digest == request.call_digest
        anew = ask_for(again, decision, approval_id=world.clock.new_id(), expires_at=world.clock.later(600))
        assert await world.journal.reserve(again, decision, anew) == Waiting(anew)

    # --- restart ---

    async def test_what_was_started_and_not_finished_is_in_doubt_after_a_restart(self, world: World) -> None:
        lost, reserved = sealed(WRITE), sealed(WRITE.but(key="key-2", envelope=2))
        for one in (lost, reserved):
            assert await world.journal.reserve(one, ALLOW, None) == Held()
        await world.journal.begin(Grant(lost, ALLOW))
        await run(world, WRITE.but(key="key-3", envelope=3))
        world.reopen()
        assert await world.journal.recover() == 1
        assert kinds(world, envelope_id(1)) == ["intent", "in_doubt"]
        assert await run(world, WRITE.but(envelope=4)) == Lost(envelope_id(1))
        assert isinstance(await run(world, WRITE.but(key="key-2", envelope=5)), Receipt)
        assert isinstance(await run(world, WRITE.but(key="key-3", envelope=6)), Prior)
        world.reopen()
        assert await world.journal.recover() == 0
        assert world.verify().ok

    # --- approvals ---

    async def test_a_call_waits_until_a_person_answers(self, world: World) -> None:
        request = await ask(world, WRITE)
        assert await retry(world, WRITE.but(envelope=2)) == Waiting(request)
        world.reopen()
        assert await retry(world, WRITE.but(envelope=3)) == Waiting(request)
        (row,) = await world.journal.questions.rows(pending_only=True)
        assert (row.request, row.state) == (request, ApprovalState.PENDING)
        found = await world.journal.questions.row(request.approval_id)
        assert found is not None
        assert found[1] == b'{"text":"hello"}'

    async def test_an_approved_call_runs_once_under_a_new_request_id(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        receipt = await run(world, WRITE.but(envelope=2), decision=ASK, ask=request)
        assert isinstance(receipt, Receipt)
        assert isinstance(await retry(world, WRITE.but(envelope=3)), Prior)
        (row,) = await world.journal.questions.rows(pending_only=False)
        assert row.state is ApprovalState.CONSUMED
        assert kinds(world) == ["approval", "approval", "intent", "outcome"]
        assert world.entries()[3].predicate["approval"]["approver"] == "user:bob"
        assert world.verify().ok

    async def test_an_approval_survives_a_restart(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        world.reopen()
        assert isinstance(await run(world, WRITE.but(envelope=2), decision=ASK, ask=request), Receipt)

    async def test_an_approval_is_for_its_arguments_and_its_principal_only(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        assert await retry(world, WRITE.but(envelope=2, arguments={"text": "more"})) == Mismatch()
        assert isinstance(await retry(world, WRITE.but(envelope=3, key="key-2")), Waiting)
        assert isinstance(await retry(world, WRITE.but(envelope=4, tenant="other")), Waiting)
        assert isinstance(await retry(world, DERIVED.but(envelope=5, arguments={"text": "more"})), Waiting)

    async def test_of_fifty_at_once_one_consumes_the_approval(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        effects: list[int] = []
        retries = (
            run(world, WRITE.but(envelope=number), decision=ASK, ask=request, effect=lambda: effects.append(1))
            for number in range(2, 52)
        )
        met = await asyncio.gather(*retries)
        assert len(effects) == 1
        assert sum(isinstance(one, Receipt) for one in met) == 1
        assert sum(isinstance(one, Prior) for one in met) == 49

    async def test_of_fifty_that_hold_the_same_approval_one_may_begin(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        resumed = await retry(world, WRITE.but(envelope=2))
        assert isinstance(resumed, Resumed)
        grants = [Grant(sealed(WRITE.but(envelope=number)), ASK, resumed.approved) for number in range(2, 52)]
        begun = await asyncio.gather(*(world.journal.begin(grant) for grant in grants), return_exceptions=True)
        assert begun.count(None) == 1
        assert sum(isinstance(one, ApprovalSpent) for one in begun) == 49
        assert kinds(world).count("intent") == 1

    async def test_an_approval_is_spent_by_a_call_that_failed(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        await run(world, WRITE.but(envelope=2), lambda _: NotDone(FAILED), decision=ASK, ask=request)
        again = await retry(world, WRITE.but(envelope=3))
        assert isinstance(again, Waiting)
        assert again.request.approval_id != request.approval_id

    async def test_a_released_call_leaves_its_approval_to_the_next(self, world: World) -> None:
        request = await ask(world, WRITE)
        await approve(world, request)
        resumed = await retry(world, WRITE.but(envelope=2))
        assert isinstance(resumed, Resumed)
        world.journal.release(sealed(WRITE.but(envelope=2)))
        assert isinstance(await run(world, WRITE.but(envelope=3), decision=ASK, ask=request), Receipt)

    @pytest.mark.parametrize("rule", [IdempotencyRule.DERIVED, IdempotencyRule.NONE])
    async def test_a_read_that_needed_approval_runs_once_too(self, world: World, rule: IdempotencyRule) -> None:
        read = READ.but(key="key-1", rule=rule)
        request = await ask(world, read)
        await approve(world, request)
        assert isinstance(await run(world, read.but(envelope=2), decision=ASK, ask=request), Receipt)
        assert isinstance(await retry(world, read.but(envelope=3)), Prior)
        (row,) = await world.journal.questions.rows(pending_only=False)
        assert row.state is ApprovalState.CONSUMED
        assert world.verify().ok

    async def test_a_rejected_call_is_not_approved_and_may_ask_again(self, world: World) -> None:
        request = await ask(world, WRITE)
        assert isinstance(await answer(world, request, Answer.REJECT), SignedAnswer)
        met = await retry(world, WRITE.but(envelope=2))
        assert isinstance(met, NotApproved)
        assert met.reason.code == "approval.rejected"
        again = await retry(world, WRITE.but(envelope=3))
        assert isinstance(again, Waiting)
        assert again.request.approval_id != request.approval_id

    @pytest.mark.parametrize("first", list(Answer))
    async def test_an_answer_counts_once(self, world: World, first: Answer) -> None:
        request = await ask(world, WRITE)
        assert isinstance(await answer(world, request, first), SignedAnswer)
        for second in Answer:
            told = await answer(world, request, second)
            assert isinstance(told, Reason)
            assert told.code == "approval.already_answered"

    async def test_after_a_change_the_changed_call_is_what_waits(self, world: World) -> None:
        request = await ask(world, WRITE)
        told = await answer(world, request, Answer.MODIFY)
        assert isinstance(told, SignedAnswer)
        world.reopen()
        met = await retry(world, WRITE.but(envelope=2))
        assert met == Instead(told.modified_into or "", {"text": "changed"})
        states = {row.request.approval_id: row.state for row in await world.journal.questions.rows(pending_only=False)}
        assert states == {request.approval_id: ApprovalState.MODIFIED, told.modified_into: ApprovalState.PENDING}
        assert await world.journal.questions.revoke(told.modified_into or "", "operator") is None
        assert isinstance(await retry(world, WRITE.but(envelope=3)), Waiting)

    async def test_of_two_answers_at_once_one_counts(self, world: World) -> None:
        request = await ask(world, WRITE)
        carol = person("user:carol")
        told = await asyncio.gather(answer(world, request, Answer.APPROVE), answer(world, request, Answer.REJECT, carol))
        assert sum(isinstance(one, SignedAnswer) for one in told) == 1
        assert kinds(world) == ["approval", "approval"]

    async def test_an_answer_to_no_request_does_not_count(self, world: World) -> None:
        request = replace(await ask(world, WRITE), approval_id="other")
        told = await answer(world, request, Answer.APPROVE)
        assert isinstance(told, Reason)
        assert told.code == "approval.unknown"

    @pytest.mark.parametrize("swept", [True, False])
    async def test_a_request_expires(self, world: World, swept: bool) -> None:
        request = await ask(world, WRITE, expires_in=60)
        world.clock.advance(59.999)
        assert await world.journal.questions.expire_due() == 0
        assert await retry(world, WRITE.but(envelope=2)) == Waiting(request)
        world.clock.advance(0.001)
        if swept:
            assert await world.journal.questions.expire_due() == 1
        assert isinstance(await answer(world, request, Answer.APPROVE), Reason)
        assert await world.journal.questions.expire_due() == 0  # a late answer ends it as well
        met = await retry(world, WRITE.but(envelope=3))
        assert isinstance(met, NotApproved)
        assert met.reason.code == "approval.expired"
        (row,) = await world.journal.questions.rows(pending_only=False)
        assert row.state is ApprovalState.EXPIRED
        assert [entry.predicate["event"] for entry in world.entries()] == ["requested", "expired"]
        assert isinstance(await retry(world, WRITE.but(envelope=4)), Waiting)

    async def test_an_approval_that_was_not_used_in_time_is_not_used(self, world: World) -> None:
        request = await ask(world, WRITE, expires_in=60)
        await approve(world, request)
        world.clock.advance(60)
        assert isinstance(await retry(world, WRITE.but(envelope=2)), NotApproved)
        assert isinstance(await retry(world, WRITE.but(envelope=3)), Waiting)

    @pytest.mark.parametrize("answered_before", [True, False])
    async def test_a_request_is_void_under_another_policy(self, world: World, answered_before: bool) -> None:
        request = await ask(world, WRITE)
        if answered_before:
            await approve(world, request)
        newer, again = decide(Effect.ASK, revision="policy-2"), sealed(WRITE.but(envelope=2))
        asked = ask_for(again, newer, approval_id=world.clock.new_id())
        assert await world.journal.reserve(again, newer, asked) == Waiting(asked)
        states = {row.request.approval_id: row.state for row in await world.journal.questions.rows(pending_only=False)}
        assert states == {request.approval_id: ApprovalState.VOID, asked.approval_id: ApprovalState.PENDING}
        assert isinstance(await answer(world, request, Answer.APPROVE), Reason)

    async def test_a_request_is_void_when_policy_asks_no_more(self, world: World) -> None:
        request = await ask(world, WRITE)
        assert isinstance(await run(world, WRITE.but(envelope=2)), Receipt)
        (row,) = await world.journal.questions.rows(pending_only=False)
        assert (row.request, row.state) == (request, ApprovalState.VOID)

    async def test_an_answer_that_comes_while_policy_changes_does_not_confuse_the_call(self, world: World) -> None:
        request = await ask(world, WRITE)
        newer, again = decide(Effect.ASK, revision="policy-2"), sealed(WRITE.but(envelope=2))
        asked = ask_for(again, newer, approval_id=world.clock.new_id())
        told, met = await asyncio.gather(answer(world, request, Answer.APPROVE), world.journal.reserve(again, newer, asked))
        assert isinstance(told, SignedAnswer)
        assert met == Waiting(asked)
        assert {row.state for row in await world.journal.questions.rows(pending_only=True)} == {ApprovalState.PENDING}

    async def test_every_change_of_an_approval_has_its_entry(self, world: World) -> None:
        await approve(world, await ask(world, WRITE))
        await answer(world, await ask(world, WRITE.but(key="key-2", envelope=2)), Answer.REJECT)
        await ask(world, WRITE.but(key="key-3", envelope=3), expires_in=1)
        world.clock.advance(1)
        await world.journal.questions.expire_due()
        events = [entry.predicate["event"] for entry in world.entries()]
        assert events == ["requested", "approved", "requested", "rejected", "requested", "expired"]
        signed = world.entries()[1].predicate["signed_answer"]
        assert signed["signatures"][0]["keyid"] == BOB.signer.keyid
