"""What a handshake client gets that comes back for what it missed: its own session's, no more than is kept."""

import asyncio

import pytest
from mcp.server.streamable_http import GET_STREAM_KEY, EventMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCResponse
from mcp_types.jsonrpc import ErrorData

from gateway.edge import events
from gateway.edge.events import MAX_EVENTS_PER_SESSION, Kept, SessionEvents

OWN = GET_STREAM_KEY
"""The stream of what belongs to no call: what is kept of it is sent again, and it goes on."""


def message(text: str) -> JSONRPCNotification:
    return JSONRPCNotification(jsonrpc="2.0", method="notifications/message", params={"data": text})


def texts(store: SessionEvents, last: str) -> list[str] | None:
    """What is replayed after `last`; None where nothing is known of it."""
    got: list[str] = []

    async def take(event: EventMessage) -> None:
        assert isinstance(event.message, JSONRPCNotification)
        got.append(str((event.message.params or {})["data"]))

    return got if asyncio.run(store.replay_events_after(last, take)) is not None else None


def kept_by(store: SessionEvents, *sent: tuple[str, str | None]) -> list[str]:
    """The ids of these (stream, text), in order."""
    return [asyncio.run(store.store_event(stream, None if text is None else message(text))) for stream, text in sent]


def test_what_came_after_on_the_same_stream_is_sent_again() -> None:
    store = SessionEvents(Kept())
    primed, first, *_ = kept_by(store, (OWN, None), (OWN, "a"), ("2", "b"), (OWN, "c"))
    assert texts(store, primed) == ["a", "c"]
    assert texts(store, first) == ["c"]


def test_a_session_has_nothing_of_another_with_the_same_request_ids() -> None:
    kept = Kept()
    one, two = SessionEvents(kept), SessionEvents(kept)
    kept_by(two, (OWN, None), (OWN, "secret"))
    (primed,) = kept_by(one, (OWN, None))
    assert texts(one, primed) == []


def test_an_unknown_id_gets_nothing() -> None:
    store = SessionEvents(Kept())
    kept_by(store, (OWN, "a"))
    assert [texts(store, last) for last in ("", "0", "2", "x")] == [None] * 4


def test_the_oldest_go_first_within_a_session_and_among_all() -> None:
    kept = Kept(max_bytes=100_000)
    store, other = SessionEvents(kept), SessionEvents(kept)
    ids = kept_by(store, *((OWN, str(n)) for n in range(MAX_EVENTS_PER_SESSION + 10)))
    assert texts(store, ids[9]) is None
    assert texts(store, ids[-2]) == [str(MAX_EVENTS_PER_SESSION + 9)]
    kept_by(other, *((OWN, "x" * 30_000) for _ in range(3)))
    assert texts(store, ids[12]) is None


ANSWERS: list[JSONRPCMessage] = [
    JSONRPCResponse(jsonrpc="2.0", id=7, result={}),
    JSONRPCError(jsonrpc="2.0", id=7, error=ErrorData(code=-32603, message="no")),
]


async def resumed(store: SessionEvents, last: str, got: list[JSONRPCMessage]) -> None:
    """A call's stream from `last` on, to its end. It is the store's to send, so that the SDK is told of none."""

    async def take(event: EventMessage) -> None:
        await asyncio.sleep(0)  # as a slow client does, so that something may come in between
        got.append(event.message)

    assert await store.replay_events_after(last, take) is None


@pytest.mark.parametrize("answer", ANSWERS, ids=["result", "error"])
@pytest.mark.anyio
async def test_the_stream_of_a_call_goes_on_with_what_comes_later_and_ends_with_the_answer(answer: JSONRPCMessage) -> None:
    store = SessionEvents(Kept())
    primed = await store.store_event("7", None)
    kept = [message("kept"), message("more")]
    for each in kept:
        await store.store_event("7", each)
    got: list[JSONRPCMessage] = []
    coming_back = asyncio.ensure_future(resumed(store, primed, got))
    later = [message("at once"), message("later")]
    for each in later:
        await asyncio.sleep(0)
        await store.store_event("7", each)
        await store.store_event("8", message("of another call"))
    assert not coming_back.done()
    await store.store_event("7", answer)
    await asyncio.wait_for(coming_back, 10)
    assert got == [*kept, *later, answer]


@pytest.mark.anyio
async def test_a_client_that_comes_back_after_the_answer_gets_it_and_no_later_call_of_the_same_id() -> None:
    store = SessionEvents(Kept())
    primed = await store.store_event("7", None)
    for each in (ANSWERS[0], message("of the next call with this id"), ANSWERS[1]):
        await store.store_event("7", each)
    got: list[JSONRPCMessage] = []
    await asyncio.wait_for(resumed(store, primed, got), 10)
    assert got == [ANSWERS[0]]


@pytest.mark.anyio
async def test_a_resumed_stream_whose_answer_does_not_come_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RESUMED_SECONDS", 0.05)
    store = SessionEvents(Kept())
    got: list[JSONRPCMessage] = []
    await asyncio.wait_for(resumed(store, await store.store_event("7", None), got), 10)
    assert got == []
