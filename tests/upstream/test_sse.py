"""Server-sent events, however they are cut into chunks."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.upstream.sse import EventSplitter, EventTooLong

STREAM = (
    b": comment\n\ndata: one\r\n\nevent: message\r\ndata:two\r\ndata: three\r\n\r\nid: 7\rdata: four\r\r"
    b"event: ping\ndata: hidden\n\nretry: 5\n\ndata: never finished"
)
EVENTS = [b"one", b"two\nthree", b"four"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_chunks_make_no_difference(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    splitter = EventSplitter(100)
    chunks = [STREAM[start:end] for start, end in itertools.pairwise(edges)]
    assert [event for chunk in chunks for event in splitter.feed(chunk)] == EVENTS


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 30, b"data: xxxxxxxxx\n", b"x" * 50])
def test_an_event_or_line_beyond_the_cap_is_refused(chunk: bytes) -> None:
    splitter = EventSplitter(20)
    with pytest.raises(EventTooLong):
        list(itertools.chain.from_iterable(splitter.feed(chunk) for _ in range(3)))
