"""How many handshake sessions a caller holds: counted while they are used, forgotten when the SDK forgets them."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from gateway.edge.sessions import IDLE_SECONDS, MAX_SESSIONS_PER_CALLER, Key, SessionBudget


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def served(budget: SessionBudget, key: Key, *, method: str = "POST", status: int = 200, opens: str | None = None) -> None:
    """One request, answered so by the app behind."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [] if opens is None else [(b"mcp-session-id", opens.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    asyncio.run(budget.serve(app, {"type": "http", "method": method}, nothing, ignore, "alice", key))


async def nothing() -> Message:
    return {}


async def ignore(message: Any) -> None:
    pass


def full(clock: Clock) -> SessionBudget:
    budget = SessionBudget(clock)
    for number in range(MAX_SESSIONS_PER_CALLER):
        key = budget.open("alice")
        assert key is not None
        served(budget, key, opens=f"s{number}")
    assert budget.open("alice") is None
    return budget


def test_the_sessions_of_one_are_not_those_of_another() -> None:
    assert full(Clock()).open("bob") is not None


def test_a_place_is_taken_while_a_session_is_being_opened() -> None:
    budget = SessionBudget(Clock())
    assert None not in [budget.open("alice") for _ in range(MAX_SESSIONS_PER_CALLER)]
    assert budget.open("alice") is None


def test_an_end_and_a_404_free_a_place_and_other_answers_do_not() -> None:
    budget = full(Clock())
    served(budget, "s0")
    served(budget, "s0", method="DELETE", status=400)
    served(budget, "unknown", status=404)
    assert budget.open("alice") is None
    for key, method, status in (("s0", "DELETE", 200), ("s1", "POST", 404)):
        served(budget, key, method=method, status=status)
        assert budget.open("alice") is not None
        assert budget.open("alice") is None


def test_a_refused_opening_takes_no_place() -> None:
    budget = SessionBudget(Clock())
    for _ in range(2 * MAX_SESSIONS_PER_CALLER):
        key = budget.open("alice")
        assert key is not None
        served(budget, key, status=400, opens="s")


def test_idle_sessions_are_forgotten_and_used_ones_are_not() -> None:
    clock = Clock()
    budget = full(clock)
    clock.now += IDLE_SECONDS
    served(budget, "s0")
    clock.now += 1
    assert (
        len([1 for _ in range(MAX_SESSIONS_PER_CALLER) if budget.open("alice") is not None]) == MAX_SESSIONS_PER_CALLER - 1
    )


def test_a_session_with_a_request_being_served_is_not_idle() -> None:
    clock = Clock()
    budget = full(clock)

    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        clock.now += 10 * IDLE_SECONDS
        places = [budget.open("alice") for _ in range(MAX_SESSIONS_PER_CALLER)]
        assert places.count(None) == 1

    asyncio.run(budget.serve(long, {"type": "http", "method": "GET"}, nothing, ignore, "alice", "s0"))
