"""One coverage-guided target, as a program: `python -m fuzz.guided_target NAME [libFuzzer options]`.

It runs in the environment of `locks/fuzz.lock`. Atheris instruments the gateway's parser and canonical form, and the rules
that are held against them, so that libFuzzer keeps each input that goes a new way through one of the three.
"""

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["gateway.core", "fuzz.oracle", "rfc8785"]):
    import rfc8785

    from fuzz.oracle import floats_become_integers, message_problem, no_jcs, plainly, same
    from gateway.core import wire
    from gateway.core.canonical import NotCanonical, canonical


class Disagreement(Exception):
    """What libFuzzer looks for, besides any error that nobody documented."""


def parse(data: bytes) -> None:
    """The strict parser takes what the rules take, and reads the same."""
    expected, problem = plainly(data)
    try:
        found = wire.parse(data)
    except wire.Malformed as refused:
        if problem is None:
            raise Disagreement(f"refused: {refused.message}") from refused
        return
    if problem is not None:
        raise Disagreement(f"taken, though {problem}")
    if not same(found, expected):
        raise Disagreement(f"read {found!r}, not {expected!r}")


def message(data: bytes) -> None:
    """So does the parser of messages; the id of what it refuses can be sent back as it came."""
    document, problem = plainly(data)
    problem = problem or message_problem(document)
    try:
        wire.message(data)
    except wire.Malformed as refused:
        if problem is None:
            raise Disagreement(f"refused: {refused.message}") from refused
        told = refused.request_id
        if told is not None and str(told).encode() not in data and b"\\" not in data:
            raise Disagreement(f"the id {told!r} was not sent") from refused
        return
    if problem is not None:
        raise Disagreement(f"taken, though {problem}")


def canonical_form(data: bytes) -> None:
    """Canonical bytes are those of RFC 8785, by its reference implementation, and are read as the same document."""
    try:
        found = wire.parse(data)
    except wire.Malformed:
        return
    try:
        made = canonical(found)
    except NotCanonical as error:
        if not no_jcs(found):
            raise Disagreement(f"no canonical form: {error}") from error
        return
    if made != rfc8785.dumps(found):
        raise Disagreement(f"{made!r} is not RFC 8785's form")
    if not floats_become_integers(found) and canonical(wire.parse(made)) != made:
        raise Disagreement(f"{made!r} reads as another document")


TARGETS: dict[str, Callable[[bytes], None]] = {"parse": parse, "message": message, "canonical_form": canonical_form}


def main() -> None:
    """Fuzz until libFuzzer's options end it."""
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
