"""What a handshake client gets that comes back for what it missed: its own session's, no more than is kept."""

import asyncio

from mcp.server.streamable_http import EventMessage
from mcp_types import JSONRPCNotification

from gateway.edge.events import MAX_EVENTS_PER_SESSION, Kept, SessionEvents


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
    primed, first, *_ = kept_by(store, ("1", None), ("1", "a"), ("2", "b"), ("1", "c"))
    assert texts(store, primed) == ["a", "c"]
    assert texts(store, first) == ["c"]


def test_a_session_has_nothing_of_another_with_the_same_request_ids() -> None:
    kept = Kept()
    one, two = SessionEvents(kept), SessionEvents(kept)
    kept_by(two, ("1", None), ("1", "secret"))
    (primed,) = kept_by(one, ("1", None))
    assert texts(one, primed) == []


def test_an_unknown_id_gets_nothing() -> None:
    store = SessionEvents(Kept())
    kept_by(store, ("1", "a"))
    assert [texts(store, last) for last in ("", "0", "2", "x")] == [None] * 4


def test_the_oldest_go_first_within_a_session_and_among_all() -> None:
    kept = Kept(max_bytes=100_000)
    store, other = SessionEvents(kept), SessionEvents(kept)
    ids = kept_by(store, *(("1", str(n)) for n in range(MAX_EVENTS_PER_SESSION + 10)))
    assert texts(store, ids[9]) is None
    assert texts(store, ids[-2]) == [str(MAX_EVENTS_PER_SESSION + 9)]
    kept_by(other, *(("1", "x" * 30_000) for _ in range(3)))
    assert texts(store, ids[12]) is None
