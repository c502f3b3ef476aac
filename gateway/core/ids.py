"""Identifiers. Time and randomness are handed in, so that this stays pure."""

import re

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def uuid7(unix_ms: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) from a time in milliseconds and 10 random bytes."""
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(random[:10], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def oldest_uuid7(unix_ms: int) -> str:
    """The smallest UUIDv7 of that time: ids of earlier moments sort before it, as text too."""
    return uuid7(unix_ms, bytes(10))


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical, lower-case form."""
    return _UUID.fullmatch(text) is not None


def trace_id_of(traceparent: str) -> str | None:
    """The trace id in a W3C `traceparent`, or None where it is malformed or all zeros (Trace Context section 3.2)."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or set(match[1]) == {"0"} or set(match[2]) == {"0"}:
        return None
    return match[1]
