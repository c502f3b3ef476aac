"""The circuit breaker: what it lets through, and when."""

import asyncio

import pytest

from gateway.adapters.upstream.breaker import WINDOW_SECONDS, Breaker
from gateway.adapters.upstream.spec import Limits
from gateway.core.reply import NoAnswer, NotSent
from tests.upstream.client import Client, never
from tests.upstream.world import at, eventually, raw_stdio, running


def fail(breaker: Breaker, now: float) -> None:
    entered = breaker.enter(now)
    assert entered is not None
    breaker.failed(entered, now)


def test_it_opens_after_so_many_faults_in_a_row_and_not_before() -> None:
    breaker = Breaker(3, 5.0)
    fail(breaker, 0)
    fail(breaker, 1)
    assert breaker.refused_for(1) is None
    breaker.answered()
    for now in (2, 3, 4):
        fail(breaker, now)
    assert breaker.enter(4) is None
    assert breaker.refused_for(5) == 4.0


def test_faults_that_lie_far_apart_do_not_count_together() -> None:
    breaker = Breaker(2, 5.0)
    for number in range(5):
        fail(breaker, number * (WINDOW_SECONDS + 1))
    assert breaker.refused_for(5 * WINDOW_SECONDS) is None


def test_half_open_one_call_tries_and_its_fault_doubles_the_pause_up_to_a_bound() -> None:
    breaker = Breaker(1, 5.0, longest_seconds=15.0)
    fail(breaker, 0)
    now = 0.0
    for pause in (5.0, 10.0, 15.0, 15.0):
        assert breaker.refused_for(now) == pause
        now += pause
        trial = breaker.enter(now)
        assert trial is not None
        assert breaker.enter(now) is None  # the others wait for what it finds
        breaker.failed(trial, now)


def test_an_answer_closes_it_and_a_trial_that_tells_nothing_leaves_the_next_one_to_try() -> None:
    breaker = Breaker(1, 5.0)
    fail(breaker, 0)
    cancelled = breaker.enter(5)
    assert cancelled is not None
    breaker.left(cancelled)
    assert breaker.enter(5) is not None
    breaker.answered()
    assert breaker.refused_for(5) is None
    fail(breaker, 6)
    assert breaker.refused_for(6) == 5.0  # the pause is the first again


def test_a_call_of_before_does_not_decide_for_the_one_that_tries() -> None:
    breaker = Breaker(1, 5.0)
    slow = breaker.enter(0)
    fail(breaker, 0)
    trial = breaker.enter(5)
    assert slow is not None
    assert trial is not None
    breaker.failed(slow, 5)
    breaker.left(slow)
    assert breaker.enter(5) is None
    breaker.answered()
    assert breaker.enter(5) is not None


def test_without_a_number_of_faults_it_never_opens() -> None:
    breaker = Breaker(0, 5.0)
    for now in range(50):
        fail(breaker, now)
    assert breaker.refused_for(50) is None


@pytest.mark.anyio
async def test_an_upstream_that_does_not_answer_is_left_alone_for_a_while_then_tried() -> None:
    limits = Limits(deadline_seconds=0.2, breaker_failures=2, breaker_pause_seconds=0.5)
    async with running(raw_stdio(limits=limits)) as world:
        await world.text("raw", "echo")
        for _ in range(2):
            assert isinstance(await world.run("raw", "hang"), NoAnswer)
        reason = await world.ready(world.capability("raw", "echo"))
        assert reason is not None
        assert reason.code == "upstream.circuit_open"
        assert reason.message == (
            "Upstream raw gave no answer several times in a row, so nothing was sent. Try again in 1 s."
        )
        assert await world.run("raw", "echo") == NotSent(reason)
        assert world.status("raw").reason == "Its last calls had no answer, so nothing is sent for 1 s."
        await eventually(lambda: world.status("raw").paused_seconds is None)
        await world.text("raw", "echo")
        for _ in range(5):
            await world.run("raw", "error")  # an error is an answer
        assert await world.ready(world.capability("raw", "echo")) is None


@pytest.mark.anyio
async def test_a_trial_that_waits_for_a_person_keeps_nobody_else_out(talking: dict[str, int]) -> None:
    limits = Limits(deadline_seconds=0.5, breaker_failures=1, breaker_pause_seconds=0.2)
    async with running(at(talking["http-handshake"], limits=limits)) as world:
        await world.text("web", "echo")
        hanging = world.call("web", "ask", {"kinds": [], "then_hang": True})
        assert isinstance(await world.run_sealed(hanging, Client({})), NoAnswer)
        await eventually(lambda: world.status("web").paused_seconds is None)
        asked = Client(answering=never)
        trial = asyncio.create_task(world.run_sealed(world.call("web", "ask", {"kinds": ["elicit"]}), asked))
        await eventually(lambda: bool(asked.asked))
        try:
            await world.text("web", "echo")
        finally:
            trial.cancel()
            await asyncio.gather(trial, return_exceptions=True)
