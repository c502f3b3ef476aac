"""An approval request's life, read from the log: what may follow what, and what a yes lets begin."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.approval import ApprovalState
from gateway.core.entry import Entry, Kind
from gateway.core.requests import STEPS, Requests, Stage, Step, after, is_over, step_in
from tests.core.calls import LATER, MUCH_LATER, NOW, envelope_id
from tests.core.test_verify import Said, intent, outcome, verify

COMMON: dict[str, Any] = {
    "tenant_id": "acme",
    "principal_chain": ["user:alice", "agent:a"],
    "capability_id": "mail__send",
    "definition_digest": "sha256:1",
    "mode": "network",
    "policy_revision": "policy-1",
    "expires_at": LATER,
}
ASKED: dict[str, Any] = {
    **COMMON,
    "approval_id": "approval-1",
    "envelope_id": envelope_id(1),
    "call_digest": "digest-1",
    "required_approver": None,
    "requested_at": NOW,
    "advisory": False,
    "reasons": ["egress.unknown"],
    "approve_for": "run",
    "run_id": "r-1",
}
"""A request that offers a yes for its whole run."""


ANSWERED_BY = ("answered", "approved", "rejected", "modified")


def told(event: str, at: str = NOW, asked: dict[str, Any] = ASKED, **more: Any) -> Said:
    """An `approval` entry; with the answer of Bob, where it is one."""
    answered = {"approver": "user:bob", "keyid": "key-bob", "route": "cli"} if event in ANSWERED_BY else {}
    return Kind.APPROVAL, 9, {"event": event, "approval": asked, "recorded_at": at, **answered, **more}


def wide(at: str = NOW, asked: dict[str, Any] = ASKED) -> Said:
    """A yes for the whole run."""
    return told("approved", at, asked, approve_for="run")


def begun(
    call: int = 1, at: str = NOW, *, reaches: bool = False, approvers: tuple[str, ...] = ("bob",), **changed: Any
) -> Said:
    """The intent of a call on that request's yes; `reaches`: of another call of the run."""
    is_now = {**ASKED, "call_digest": f"digest-{call}", **changed}
    answers = [{"approver": f"user:{one}", "keyid": f"key-{one}"} for one in approvers]
    body = {
        "recorded_at": at,
        "policy": {"effect": "ask", "bundle_revision": is_now["policy_revision"], "reasons": is_now["reasons"]},
        "approval": {
            "approval_id": is_now["approval_id"],
            "expires_at": is_now["expires_at"],
            **(answers[-1] if answers else {}),
            "answers": answers,
            **({"approve_for": "run"} if reaches else {}),
        },
        "approval_mode_effective": is_now["mode"],
        "run": {name: is_now[name] for name in ("tenant_id", "principal_chain", "run_id")},
        "capability": {name: is_now[name] for name in ("capability_id", "definition_digest")},
        "call": {"call_digest": is_now["call_digest"]},
        **({"compensates": is_now["compensates"]} if "compensates" in is_now else {}),
    }
    return intent(call, body)


def ended(said: Said) -> Said:
    """The outcome of what began so."""
    _, call, body = said
    return outcome(call, body)


REQUESTED, ANSWERED, APPROVED = told("requested"), told("answered"), told("approved")
REJECTED, EXPIRED, VOID = told("rejected"), told("expired"), told("void")
QUORUM = {**ASKED, "quorum": {"count": 2, "of": []}}
BY_CAROL = {"approver": "user:carol", "keyid": "key-carol"}


@pytest.mark.parametrize(
    "said",
    [
        [REQUESTED],
        [REQUESTED, REJECTED],
        [REQUESTED, EXPIRED],
        [REQUESTED, VOID],
        [REQUESTED, told("expired", MUCH_LATER)],
        [REQUESTED, APPROVED, told("expired", MUCH_LATER)],
        [REQUESTED, APPROVED, told("void", MUCH_LATER)],
        [REQUESTED, APPROVED, begun(), ended(begun())],
        [REQUESTED, APPROVED, begun(reasons=[]), ended(begun(reasons=[]))],
        [REQUESTED, told("requested", asked={**ASKED, "approval_id": "other"}), APPROVED, begun()],
        [
            told("requested", asked=QUORUM),
            told("answered", asked=QUORUM),
            told("approved", asked=QUORUM, **BY_CAROL),
            begun(approvers=("bob", "carol")),
        ],
        [told("requested", asked=QUORUM), told("answered", asked=QUORUM), told("rejected", asked=QUORUM, **BY_CAROL)],
        [REQUESTED, wide(), begun(2, reaches=True), begun(3, reaches=True), begun(1), begun(4, reaches=True)],
        [REQUESTED, wide(), begun(1), told("void", MUCH_LATER)],
        [REQUESTED, wide(), begun(2, reaches=True), told("expired", MUCH_LATER)],
    ],
)
def test_what_the_gateway_writes_of_a_request_is_in_order(said: list[Said]) -> None:
    assert verify(*said) == []


def test_an_intent_of_before_there_were_quorums_names_one_approver() -> None:
    kind, call, body = begun()
    before = {name: value for name, value in body["approval"].items() if name != "answers"}
    assert verify(REQUESTED, APPROVED, (kind, call, {**body, "approval": before})) == []
    (problem,) = verify(REQUESTED, APPROVED, (kind, call, {**body, "approval": {**before, "approver": "user:mallory"}}))
    assert "other approvers than those who said yes" in problem


ONCE = {name: value for name, value in ASKED.items() if name not in ("approve_for", "run_id")}
DESTRUCTIVE = {**ONCE, "mode": "destructive"}
BY_CLIENT = {"approver": "user:alice", "keyid": "entry-key", "route": "elicitation"}
WANTS_CAROL: dict[str, Any] = {**ONCE, "required_approver": "user:carol"}
OF_CIRCLE: dict[str, Any] = {**ONCE, "quorum": {"count": 1, "of": ["user:carol", "user:dave"]}}


@pytest.mark.parametrize("event", ["approved", "rejected"])
@pytest.mark.parametrize(
    ("asked", "by"),
    [
        (ONCE, BY_CLIENT),
        (DESTRUCTIVE, {}),
        (WANTS_CAROL, BY_CAROL),
        (OF_CIRCLE, BY_CAROL),
        ({**ONCE, "routes": ["webhook"]}, {"route": "webhook"}),
        ({**WANTS_CAROL, "required_approver": "user:alice", "routes": ["elicitation"]}, BY_CLIENT),
    ],
)
def test_an_answer_of_whom_it_was_asked_of_is_in_order(event: str, asked: dict[str, Any], by: dict[str, str]) -> None:
    assert verify(told("requested", asked=asked), told(event, asked=asked, **by)) == []


@pytest.mark.parametrize("event", ["approved", "rejected", "modified"])
@pytest.mark.parametrize(
    ("asked", "by"),
    [
        (DESTRUCTIVE, BY_CLIENT),
        ({**ONCE, "mode": "delegated"}, BY_CLIENT),
        ({**ONCE, "principal_chain": ["user:alice"]}, BY_CLIENT),
        (ONCE, {**BY_CLIENT, "approver": "user:bob"}),
        (WANTS_CAROL, {}),
        ({**WANTS_CAROL, "required_approver": "user:alice"}, BY_CLIENT),
        (QUORUM, BY_CLIENT),
        (OF_CIRCLE, {}),
        (ONCE, {"approver": "agent:a"}),
        (DESTRUCTIVE, {"approver": "user:alice"}),
        ({**ONCE, "routes": ["webhook"]}, {}),
        (ONCE, {"route": "pigeon"}),
        (ONCE, {"route": None}),
        ({**ONCE, "mode": "harmless"}, {}),
        ({**ONCE, "principal_chain": []}, BY_CLIENT),
        ({**ONCE, "principal_chain": [{}]}, {}),
        ({**ONCE, "quorum": []}, {}),
        ({name: value for name, value in ONCE.items() if name != "required_approver"}, {}),
    ],
)
def test_an_answer_that_cannot_count_is_named(event: str, asked: dict[str, Any], by: dict[str, str]) -> None:
    found = verify(told("requested", asked=asked), told(event, asked=asked, **by))
    assert any(
        problem.startswith(("entry 1: an answer that does not count: ", "entry 1: an answer of which nobody can say"))
        for problem in found
    ), found


@pytest.mark.parametrize("said", [wide(), told("modified")])
def test_a_client_changes_no_call_and_says_yes_for_no_run(said: Said) -> None:
    kind, call, body = said
    found = verify(told("requested"), (kind, call, {**body, **BY_CLIENT}))
    assert "entry 1: an answer that does not count: no client can have given it" in found


NONE_GIVEN = "an intent without an approval that was given and not used before"
NOT_FOR_RUN = "an intent with an approval that is not for such a call of its run"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([begun()], NONE_GIVEN),
        ([REQUESTED, begun()], NONE_GIVEN),
        ([REQUESTED, REJECTED, begun()], NONE_GIVEN),
        ([REQUESTED, EXPIRED, begun()], NONE_GIVEN),
        ([REQUESTED, VOID, begun()], NONE_GIVEN),
        ([REQUESTED, APPROVED, VOID, begun()], NONE_GIVEN),
        ([REQUESTED, APPROVED, EXPIRED, begun()], NONE_GIVEN),
        ([REQUESTED, APPROVED, begun(), ended(begun()), begun()], NONE_GIVEN),
        ([REQUESTED, wide(), begun(), ended(begun()), begun()], NONE_GIVEN),
        ([told("requested", asked=QUORUM), told("answered", asked=QUORUM), begun()], NONE_GIVEN),
        ([REQUESTED, APPROVED, begun(approval_id="other")], NONE_GIVEN),
        ([begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, APPROVED, begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, APPROVED, begun(1), begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, wide(), VOID, begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, wide(), EXPIRED, begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, wide(), begun(1), VOID, begun(2, reaches=True)], NOT_FOR_RUN),
        ([REQUESTED, APPROVED, begun(at=LATER)], "an intent with an approval whose time was over"),
        ([REQUESTED, wide(), begun(2, LATER, reaches=True)], "an intent with an approval whose time was over"),
        ([REQUESTED, APPROVED, begun(reasons=["egress.unknown", "flow.no_intent"])], "not asked about all its doubts"),
        ([REQUESTED, APPROVED, begun(reasons="flow.no_intent")], "not asked about all its doubts"),
        ([REQUESTED, APPROVED, begun(approvers=("mallory",))], "other approvers than those who said yes"),
        ([REQUESTED, APPROVED, begun(approvers=())], "other approvers than those who said yes"),
        ([REQUESTED, told("approved", LATER)], "an answer to an approval request whose time was over"),
        ([REQUESTED, told("rejected", LATER)], "an answer to an approval request whose time was over"),
        ([REQUESTED, told("approved", asked={**ASKED, "expires_at": MUCH_LATER})], "not as it was asked"),
        ([REQUESTED, told("void", asked={**ASKED, "reasons": []})], "not as it was asked"),
        ([REQUESTED, told("answered")], "answered with 1 yeses, and it takes 1"),
        ([told("requested", asked=QUORUM), told("approved", asked=QUORUM)], "approved with 1 yeses, and it takes 2"),
        ([told("consumed")], "no step of a request"),
        ([REQUESTED, told("consumed")], "no step of a request"),
        ([REQUESTED, told("approved for its run")], "no step of a request"),
        ([(Kind.APPROVAL, 9, {"event": "requested"})], "no step of a request"),
    ],
)
def test_what_a_request_cannot_have_come_to_is_named(said: list[Said], problem: str) -> None:
    (found,) = verify(*said)
    assert (found.startswith(f"entry {len(said) - 1}: "), problem in found) == (True, True), found


@pytest.mark.parametrize("second", [{}, {"keyid": "key-carol"}, {"approver": "user:carol"}])
def test_a_second_yes_of_the_same_approver_or_key_is_named(second: dict[str, str]) -> None:
    yes = told("approved", asked=QUORUM, **second)
    (problem,) = verify(told("requested", asked=QUORUM), told("answered", asked=QUORUM), yes)
    assert problem == "entry 2: a second yes of the same approver or key"


@pytest.mark.parametrize("missing", ["approve_for", "run_id"])
def test_a_yes_for_a_run_that_was_not_offered_is_named(missing: str) -> None:
    asked = {name: value for name, value in ASKED.items() if name != missing}
    (problem,) = verify(told("requested", asked=asked), wide(asked=asked))
    assert problem == "entry 1: a yes for a whole run to a request that did not offer it"


@pytest.mark.parametrize("name", [*COMMON, "call_digest", "compensates"])
def test_a_yes_to_one_call_lets_no_other_begin(name: str) -> None:
    """Its id, its time and whatever else says which call it was."""
    changed: dict[str, Any] = {name: "other"}
    (problem,) = verify(REQUESTED, APPROVED, begun(**changed))
    assert problem == "entry 2: an intent with the approval of another call, mode or policy"


@pytest.mark.parametrize("name", [*COMMON, "run_id", "compensates"])
def test_a_yes_for_a_run_lets_no_other_call_begin(name: str) -> None:
    changed: dict[str, Any] = {name: "other"}
    (problem,) = verify(REQUESTED, wide(), begun(2, reaches=True, **changed))
    assert problem.startswith(f"entry 2: {NOT_FOR_RUN}: it is another call")


@pytest.mark.parametrize("doubts", [[], ["flow.no_intent"], ["egress.unknown", "flow.no_intent"]])
def test_a_yes_for_a_run_is_for_exactly_the_doubts_that_were_asked_about(doubts: list[str]) -> None:
    (problem,) = verify(REQUESTED, wide(), begun(2, reaches=True, reasons=doubts))
    assert problem.startswith(f"entry 2: {NOT_FOR_RUN}: it is another call")


@pytest.mark.parametrize("effect", ["allow", "deny", None])
def test_an_approval_belongs_to_a_call_that_policy_asked_about(effect: str | None) -> None:
    kind, call, body = begun()
    other = {**body, "policy": {**body["policy"], "effect": effect}}
    (problem,) = verify(REQUESTED, APPROVED, (kind, call, other))
    assert problem == "entry 2: an intent with an approval that policy did not ask for"


def test_a_read_that_was_asked_about_needs_its_intent_and_its_approval() -> None:
    asked, begins = {**ASKED, "mode": "read_only"}, begun(mode="read_only")
    yes = [told("requested", asked=asked), told("approved", asked=asked)]
    assert verify(*yes, begins, ended(begins)) == []
    assert verify(*yes, ended(begins)) == ["entry 2: outcome without its intent"]
    assert any(NONE_GIVEN in problem for problem in verify(begins, ended(begins)))


def test_a_yes_that_is_used_once_more_after_its_time_is_seen() -> None:
    """What ended is forgotten after its time; nothing counts on it then."""
    again = [told("requested", MUCH_LATER), told("approved", MUCH_LATER), begun(2, MUCH_LATER)]
    problems = verify(REQUESTED, APPROVED, begun(), ended(begun()), *again)
    assert any("an answer to an approval request whose time was over" in problem for problem in problems)
    assert any("an intent with an approval whose time was over" in problem for problem in problems)


def test_asked_answered_and_used_a_second_time_each_is_a_problem() -> None:
    used = [APPROVED, begun(), ended(begun())]
    assert [problem.split(": ")[0] for problem in verify(REQUESTED, *used, REQUESTED, APPROVED, begun(2))] == [
        "entry 4",
        "entry 5",
        "entry 6",
    ]


# --- the table ---

WALK: dict[Step, Said] = {
    Step.REQUESTED: told("requested", asked=QUORUM),
    Step.ANSWERED: told("answered", asked=QUORUM),
    Step.APPROVED: told("approved", asked=QUORUM, **BY_CAROL),
    Step.APPROVED_FOR_RUN: told("approved", asked=QUORUM, approve_for="run", **BY_CAROL),
    Step.REJECTED: told("rejected", asked=QUORUM, **BY_CAROL),
    Step.MODIFIED: told("modified", asked=QUORUM, **BY_CAROL),
    Step.EXPIRED: told("expired", asked=QUORUM),
    Step.VOID: told("void", asked=QUORUM),
    Step.CONSUMED: begun(1, approvers=("bob", "carol")),
    Step.REACHED: begun(2, reaches=True, approvers=("bob", "carol")),
}
"""An entry for each step of a request that two must approve."""
ENDS = (Step.REJECTED, Step.MODIFIED, Step.EXPIRED, Step.VOID)


def entry(step: Step) -> Entry:
    kind, call, body = WALK[step]
    return Entry(0, kind, envelope_id(call), body, ("key",))


def walked(steps: list[Step]) -> Iterator[tuple[Step, list[str]]]:
    requests = Requests()
    for step in steps:
        yield step, list(requests.problems(entry(step)))


@pytest.mark.parametrize("step", Step)
def test_each_step_is_told_by_an_entry_and_read_from_it(step: Step) -> None:
    assert step_in(entry(step)) == ("approval-1", step)
    assert set(STEPS) == set(Step)


def test_every_stage_is_a_state_of_the_journal_and_can_be_come_to() -> None:
    assert {stage.state for stage in Stage} == set(ApprovalState)
    assert {stage for moves in STEPS.values() for stage in moves.values()} == set(Stage)


def test_what_is_over_stays_over() -> None:
    over = {stage for stage in Stage if is_over(stage)}
    assert over == {Stage.REJECTED, Stage.MODIFIED, Stage.EXPIRED, Stage.CONSUMED, Stage.VOID}
    assert all(after(stage, step) is None for stage in over for step in Step)


@given(st.lists(st.sampled_from([*Step, Step.ANSWERED, Step.APPROVED, Step.CONSUMED]), max_size=12), st.booleans())
def test_a_yes_is_used_once_and_only_while_it_holds_whatever_an_entry_says(steps: list[Step], asked_first: bool) -> None:
    """Said without the table: what took place without a problem is a life that a request may have."""
    taken = [step for step, found in walked([Step.REQUESTED, Step.ANSWERED] * asked_first + steps) if not found]
    assert Step.REQUESTED not in taken[1:]
    assert taken.count(Step.CONSUMED) <= 1
    yeses = [place for place, step in enumerate(taken) if step in (Step.APPROVED, Step.APPROVED_FOR_RUN)]
    ends = [place for place, step in enumerate(taken) if step in ENDS]
    uses = [place for place, step in enumerate(taken) if step in (Step.CONSUMED, Step.REACHED)]
    assert len(yeses) <= 1
    assert all(yeses and yeses[0] < place for place in uses)
    assert all(place > use for place in ends for use in uses)
    assert Step.REACHED not in taken or Step.APPROVED_FOR_RUN in taken
    assert not ends or ends[0] == len(taken) - 1


@given(st.lists(st.sampled_from(Step), max_size=12))
def test_a_step_that_the_table_does_not_have_is_one_problem_and_changes_nothing(steps: list[Step]) -> None:
    steps = [Step.REQUESTED, Step.ANSWERED, *steps]
    legal: list[Step] = []
    stage: Stage | None = None
    others: list[tuple[Step, list[str]]] = []
    for step, found in walked(steps):
        then = after(stage, step)
        if then is None:
            assert len(found) == 1
        else:
            stage = then
            legal.append(step)
            others.append((step, found))
    assert others == list(walked(legal))


def test_what_ended_is_forgotten_after_its_time_and_what_may_still_be_used_is_not() -> None:
    requests = Requests()

    def read(said: Said) -> None:
        kind, call, body = said
        assert list(requests.problems(Entry(0, kind, envelope_id(call), body, ("key",)))) == []

    for number in range(300):
        asked = {**ASKED, "approval_id": f"approval-{number}"}
        read(told("requested", asked=asked))
        if number % 3:
            read(told("void" if number % 3 == 1 else "approved", asked=asked))
    assert len(requests) == 300
    read(told("requested", MUCH_LATER, {**ASKED, "approval_id": "later"}))
    assert len(requests) == 201  # those that ended are gone
    for number in range(0, 300, 3):
        read(told("expired", MUCH_LATER, {**ASKED, "approval_id": f"approval-{number}"}))
    assert len(requests) == 101  # yeses that were not used, and the new one
