"""Identifiers and the count of recent calls."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.ids import trace_id_of, uuid7
from gateway.core.rate import MAX_COUNTED, WINDOW_SECONDS, RecentCalls

moments = st.integers(0, 2**48 - 1)
randoms = st.binary(min_size=10, max_size=10)


@given(moments, randoms)
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(unix_ms: int, random: bytes) -> None:
    made = uuid.UUID(uuid7(unix_ms, random))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == unix_ms
    assert str(made) == uuid7(unix_ms, random)


@given(st.lists(st.tuples(moments, randoms), min_size=2, max_size=10))
def test_ids_sort_by_time(made: list[tuple[int, bytes]]) -> None:
    by_text = sorted((uuid7(*one), one[0]) for one in made)
    assert [moment for _, moment in by_text] == sorted(moment for moment, _ in made)


@given(moments, randoms, randoms)
def test_other_randomness_gives_another_id(unix_ms: int, one: bytes, other: bytes) -> None:
    meant = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    kept = meant & ~(0xF << 76) & ~(0x3 << 62)
    assert (uuid7(unix_ms, one) == uuid7(unix_ms, other)) is (kept == 0)


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_the_trace_id_of_a_traceparent() -> None:
    assert trace_id_of(f"00-{TRACE}-{SPAN}-01") == TRACE


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        TRACE,
        f"00-{TRACE}-{SPAN}",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
    ],
)
def test_a_malformed_traceparent_has_none(traceparent: str) -> None:
    assert trace_id_of(traceparent) is None


def test_calls_of_the_last_minute_are_counted_per_principal() -> None:
    recent = RecentCalls()
    assert [recent.add("a", float(moment)) for moment in range(3)] == [0, 1, 2]
    assert recent.add("b", 3.0) == 0
    assert recent.add("a", 3.0) == 3


def test_a_call_is_forgotten_after_a_minute() -> None:
    recent = RecentCalls()
    recent.add("a", 0.0)
    recent.add("a", 1.0)
    assert recent.add("a", WINDOW_SECONDS - 0.001) == 2
    assert recent.add("a", WINDOW_SECONDS) == 2
    assert recent.add("a", 10 * WINDOW_SECONDS) == 0


@given(st.lists(st.floats(0, 300), max_size=50).map(sorted))
def test_the_count_is_that_of_the_calls_within_the_window(moments: list[float]) -> None:
    recent = RecentCalls()
    for place, moment in enumerate(moments):
        assert recent.add("a", moment) == sum(earlier > moment - WINDOW_SECONDS for earlier in moments[:place])


def test_a_flood_is_counted_up_to_a_bound() -> None:
    recent = RecentCalls()
    for _ in range(MAX_COUNTED + 10):
        count = recent.add("a", 0.0)
    assert count == MAX_COUNTED
