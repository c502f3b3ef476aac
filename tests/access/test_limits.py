"""How much a principal may ask: told at the wire, and counted so that memory and other principals do not suffer."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.limits import MAX_PARTIES, Budgets, CallLimits, Exceeded, Limited
from tests.access.house import House
from tests.edge.clients import Answer, HandshakeClient
from tests.running import until

DAY = 86_400
WALL = 1_000 * DAY + 80_000.0


def begin(
    budgets: Budgets, limits: CallLimits, party: str = "a", *, now: float = 0.0, wall: float = WALL, calls: int = 1
) -> Limited | None:
    return budgets.begin(party, limits, calls=calls, now=now, wall=wall)


def refused(answer: Answer, which: str) -> int:
    """The seconds to wait that a refusal tells."""
    error = answer.json()["error"]
    assert (answer.status, answer.json()["id"], error["code"]) == (429, "c", -32000)
    assert which in error["message"]
    return int(answer.headers["retry-after"])


def test_who_makes_too_many_requests_in_a_minute_is_told_when_to_come_again(house: House) -> None:
    size = house.box.size()
    answers = [house.call("few-token") for _ in range(6)]
    assert [answer.status for answer in answers[:3]] == [200] * 3
    assert all(0 < refused(answer, "too many requests in a minute") <= 20 for answer in answers[3:])
    assert house.call("bob-token").status == 200
    lines = [json.loads(line) for line in house.gateway.output.splitlines() if '"caller_limited"' in line]
    assert [(line["principal"], line["limit"]) for line in lines if "user:few" in line["principal"]] == [
        ("example/user:few", "requests_per_minute")
    ], "one line, however many are refused"
    assert sum(house.chain(answer) == ["user:few"] for answer in answers[:3]) == 3
    assert house.box.size() - size == 4, "what was refused left no entry"


def test_who_has_enough_requests_running_waits_for_one_to_end(house: House) -> None:
    first: list[int] = []
    running = threading.Thread(target=lambda: first.append(house.call("one-token", "box__slow_read", text="one").status))
    running.start()
    until(lambda: any("slow_read" in line and "one" in line for line in house.box.lines("calls")), what="the call")
    refused(house.call("one-token"), "too many requests running")
    (house.box.folder / "go-one").touch()
    running.join(20)
    assert first == [200]
    assert house.call("one-token").status == 200


def test_a_day_has_so_many_calls_and_looking_around_is_no_call(house: House) -> None:
    assert [house.call("today-token").status for _ in range(2)] == [200, 200]
    assert 0 < refused(house.call("today-token"), "all the calls that you may make today") <= DAY
    with HandshakeClient(house.gateway, token="today-token") as client:
        assert "result" in client.request("tools/list", {})
        params = {"name": "box__echo", "arguments": {"text": "x"}}
        body = json.dumps({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}).encode()
        answer = client.post(body)
        assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (429, 9, -32000)
        assert int(answer.headers["retry-after"]) > 0


def test_a_bucket_fills_again_while_time_passes() -> None:
    budgets, limits = Budgets(), CallLimits(requests_per_minute=60)
    assert [begin(budgets, limits) for _ in range(60)] == [None] * 60
    found = begin(budgets, limits)
    assert found is not None
    assert (found.which, found.retry_after) == (Exceeded.RATE, 1)
    assert begin(budgets, limits, now=1.0) is None
    assert begin(budgets, limits, now=1.5) is not None
    assert [begin(budgets, limits, now=1000.0) for _ in range(61)].count(None) == 60


def test_a_new_day_begins_anew_and_a_clock_that_is_set_back_forgives_nothing() -> None:
    budgets, limits = Budgets(), CallLimits(calls_per_day=1)
    assert begin(budgets, limits) is None
    found = begin(budgets, limits)
    assert found is not None
    assert (found.which, found.retry_after) == (Exceeded.BUDGET, DAY - 80_000)
    assert begin(budgets, limits, calls=0) is None
    assert begin(budgets, limits, wall=WALL - 2 * DAY) is not None
    assert begin(budgets, limits, wall=WALL + DAY) is None
    assert begin(budgets, limits, wall=WALL + DAY) is not None


def test_a_request_that_makes_many_calls_counts_as_many() -> None:
    budgets, limits = Budgets(), CallLimits(calls_per_day=5)
    assert begin(budgets, limits, calls=6) is not None
    assert begin(budgets, limits, calls=4) is None
    assert begin(budgets, limits, calls=2) is not None
    assert begin(budgets, limits) is None


def test_a_credential_without_a_rate_does_not_use_up_that_of_another_one_of_the_same_principal() -> None:
    budgets, rate, none = Budgets(), CallLimits(requests_per_minute=2), CallLimits(concurrent=9)
    assert begin(budgets, none) is None
    assert [begin(budgets, rate), begin(budgets, rate)] == [None, None]
    assert begin(budgets, none) is None
    assert begin(budgets, rate, now=29.0) is not None
    assert begin(budgets, rate, now=31.0) is None


def test_what_stands_open_is_counted_when_it_begins_and_takes_no_place() -> None:
    budgets, limits = Budgets(), CallLimits(requests_per_minute=3, concurrent=1)
    told = [budgets.begin("a", limits, calls=0, stands=True, now=0.0, wall=WALL) for _ in range(2)]
    assert told == [None, None]
    assert begin(budgets, limits) is None
    found = budgets.begin("a", limits, calls=0, stands=True, now=0.0, wall=WALL)
    assert found is not None
    assert found.which is Exceeded.RATE


def test_what_is_refused_counts_for_nothing_and_is_told_once_a_minute() -> None:
    budgets, limits = Budgets(), CallLimits(concurrent=1, calls_per_day=2)
    assert begin(budgets, limits) is None
    told = [begin(budgets, limits, now=float(second)) for second in range(121)]
    assert [(found.refused, found.tell) for found in told if found is not None and found.tell] == [
        (1, True),
        (61, True),
        (121, True),
    ]
    budgets.end("a", limits)
    assert begin(budgets, limits) is None, "a second call of the day is left"


def test_principals_without_limits_are_not_even_remembered() -> None:
    budgets = Budgets()
    assert begin(budgets, CallLimits()) is None
    assert budgets._parties == {}


def test_memory_is_bounded_and_those_that_run_something_are_kept() -> None:
    budgets, limits = Budgets(), CallLimits(concurrent=1)
    assert begin(budgets, limits, "busy") is None
    for number in range(MAX_PARTIES + 100):
        assert begin(budgets, limits, f"p{number}") is None
        budgets.end(f"p{number}", limits)
    assert len(budgets._parties) <= MAX_PARTIES
    assert begin(budgets, limits, "busy") is not None
    for number in range(MAX_PARTIES + 10):
        assert begin(budgets, limits, f"q{number}") is None
    assert begin(budgets, limits, "busy") is not None, "those that run something are never forgotten"


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["begin", "end"]), st.floats(0, 30)), max_size=60),
    st.integers(1, 4),
    st.integers(1, 20),
)
def test_no_order_of_things_lets_more_through_than_the_limits(
    steps: list[tuple[str, str, float]], concurrent: int, rate: int
) -> None:
    budgets, limits = Budgets(), CallLimits(requests_per_minute=rate, concurrent=concurrent)
    now, running, began = 0.0, {"a": 0, "b": 0}, {"a": [0.0] * 0, "b": [0.0] * 0}
    for party, what, seconds in steps:
        now += seconds
        if what == "end" and running[party]:
            budgets.end(party, limits)
            running[party] -= 1
        elif what == "begin" and begin(budgets, limits, party, now=now) is None:
            running[party] += 1
            began[party].append(now)
            assert running[party] <= concurrent
            assert sum(moment > now - 60 for moment in began[party]) <= 2 * rate


@pytest.mark.parametrize(
    "limits", [CallLimits(requests_per_minute=1), CallLimits(concurrent=1), CallLimits(calls_per_day=1)]
)
def test_a_refusal_says_at_least_a_second(limits: CallLimits) -> None:
    budgets = Budgets()
    assert begin(budgets, limits) is None
    found = begin(budgets, limits, wall=1_001 * DAY - 0.001)
    assert found is not None
    assert found.retry_after >= 1
