"""Other calls than the approved one: what is asked for, by whom, for whom, in which run. The approved one stays as it is."""

import random
from collections.abc import Callable
from dataclasses import replace

from gateway.core.run_context import Principal, PrincipalKind
from tests.approvals.arena import MODES, Case
from tests.core.calls import ALICE, ASSISTANT


def arguments(case: Case, rng: random.Random) -> Case:
    """Other arguments, from another type to one more space."""
    given = case.call.arguments
    said: str = given["text"]
    other = rng.choice(
        [
            {**given, "text": said + " "},
            {**given, "text": said.replace("t", "т", 1)},  # a Cyrillic one
            {**given, "text": said + "\u200b"},
            {**given, "text": said.upper()},
            {**given, "a": given["a"] + 1},
            {**given, "a": str(given["a"])},
            {**given, "a": given["a"] + 0.5},
            {**given, "b": {"to": ["y@example.com", True, None]}},
            {**given, "b": {"to": ["x@example.com", 1, None]}},
            {**given, "b": {"to": ["x@example.com", True]}},
            {**given, "c": None},
            {name: value for name, value in given.items() if name != "b"},
            {},
        ]
    )
    return replace(case, call=case.call.but(arguments=other))


def tool(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(tool=rng.choice(["Send", "send2", "sen", "delete"])))


def mode(case: Case, rng: random.Random) -> Case:
    other = [one for one in MODES if one is not case.call.mode]
    return replace(case, call=case.call.but(mode=rng.choice(other)))


def principal(case: Case, rng: random.Random) -> Case:
    other = [
        Principal(PrincipalKind.USER, "alic"),
        Principal(PrincipalKind.USER, "Alice"),
        Principal(PrincipalKind.SERVICE, "alice"),
    ]
    return replace(case, call=case.call.but(principal=rng.choice(other)))


def actors(case: Case, rng: random.Random) -> Case:
    helper = Principal(PrincipalKind.AGENT, "helper")
    other = [(), (helper,), (ASSISTANT, helper), (helper, ASSISTANT), (ASSISTANT, ASSISTANT), (ALICE,)]
    return replace(case, call=case.call.but(actors=rng.choice(other)))


def tenant(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(tenant=rng.choice(["Acme", "acme2", "other"])))


def key(case: Case, rng: random.Random) -> Case:
    other = f"other-{rng.randrange(10**12)}"
    if case.call.key is None or rng.random() < 0.5:
        return replace(case, call=case.call.but(key=other))
    return replace(case, call=case.call.but(key=None))


def run(case: Case, rng: random.Random) -> Case:
    """Another run; where the client gave a key, that alone counts, so there it is another key as well."""
    other = case.call.but(run_id=f"other-{rng.randrange(10**12)}")
    return replace(case, call=other if other.key is None else other.but(key=None))


def undoing(case: Case, rng: random.Random) -> Case:
    return replace(case, call=case.call.but(compensates=f"01a201b3-0000-7000-8000-{rng.randrange(16**12):012x}"))


HARMLESS: list[Callable[[Case, random.Random], Case]] = [
    arguments,
    arguments,
    arguments,
    tool,
    principal,
    actors,
    tenant,
    key,
    run,
    undoing,
]
