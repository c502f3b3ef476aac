"""Frames for the wire: what is sent, and what must come back. Everything comes from the Random it is given."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from fuzz.mutate import damaged, replanted, value
from fuzz.oracle import message_problem, plainly
from gateway.core import wire
from gateway.core.canonical import NotCanonical, canonical
from tests.edge.frames import ERRORS, MALFORMED, call

SMALL = [frame.data for frame in (*MALFORMED, *ERRORS) if len(frame.data) < 5_000]
METHODS = (
    *(
        "tools/call",
        "tools/list",
        "server/discover",
        "ping",
        "initialize",
        "resources/list",
        "prompts/get",
        "logging/setLevel",
    ),
    *("notifications/initialized", "notifications/progress", "completion/complete", "tasks/get", "\u202e", ""),
)
ACCEPTED_SHARE = 0.08
"""Of the frames that are well-formed: a call costs fifty times what a refusal does, and the campaign is about refusals."""

Id = str | int


class Disagreement(Exception):
    """The parser and the rules written apart from it take a frame differently."""


class Kind(Enum):
    """What the strict rules make of a frame."""

    REFUSED = "refused"
    REQUEST = "request"
    SILENT = "silent"  # a notification
    RESPONSE = "response"  # to something that nobody asked


@dataclass(frozen=True, slots=True)
class Frame:
    """`id` is what an answer must carry: None where it cannot be recovered, or where no answer comes."""

    data: bytes
    kind: Kind
    id: Id | None = None
    call: tuple[str, bytes] | None = None
    """Tool and canonical arguments, where the upstream may see the call."""
    method: str = ""
    name: str = ""


def frame(rng: Random, number: int, fitting: Sequence[dict[str, Any]] = ()) -> Frame:
    """One frame, damaged or not. `fitting`: calls whose arguments were made from the listed schemas."""
    while True:
        made = read(_bytes(rng, number, fitting))
        if made.kind is Kind.REFUSED or rng.random() < ACCEPTED_SHARE:
            return made


def read(data: bytes) -> Frame:
    """What must be made of `data`, by rules written apart from the parser's. Raises `Disagreement` where they differ."""
    document, problem = plainly(data)
    if problem is None:
        problem = message_problem(document)
    try:
        wire.message(data)
    except wire.Malformed as refused:
        if problem is None:
            raise Disagreement(f"refused: {refused.message}, but nothing is wrong with {data!r}") from refused
        return Frame(data, Kind.REFUSED, refused.request_id)
    if problem is not None:
        raise Disagreement(f"taken, though {problem}: {data!r}")
    if "method" not in document:
        return Frame(data, Kind.RESPONSE)
    if "id" not in document:
        return Frame(data, Kind.SILENT, call=_call(document), method=document["method"])
    name = document.get("params", {}).get("name")
    return Frame(
        data, Kind.REQUEST, document["id"], _call(document), document["method"], name if isinstance(name, str) else ""
    )


def _bytes(rng: Random, number: int, fitting: Sequence[dict[str, Any]]) -> bytes:
    request_id = rng.choice((f'"f{number}"', str(number + 1_000)))
    text = json.dumps({"text": rng.choice(("x", "é", "\u2028", ""))})
    good = call(text, request_id=request_id)
    match rng.randrange(7):
        case 0:
            made = rng.choice(SMALL)
            return damaged(rng, made.replace(b'"id":7', b'"id":' + request_id.encode()))
        case 1:
            return json.dumps(replanted(rng, json.loads(good))).encode()
        case 2:
            document = json.loads(good)
            document["method"] = rng.choice(METHODS)
            return json.dumps(replanted(rng, document)).encode()
        case 3:
            return call(json.dumps({"any": value(rng)}), name='"box__open"', request_id=request_id)
        case 4 if fitting:
            made_call = rng.choice(fitting)
            arguments = made_call["arguments"] if rng.random() < 0.3 else replanted(rng, made_call["arguments"] or {"a": 0})
            return call(json.dumps(arguments), name=json.dumps(made_call["name"]), request_id=request_id)
        case 5:
            return damaged(rng, damaged(rng, good))
        case _:
            return damaged(rng, good)


def _call(document: dict[str, Any]) -> tuple[str, bytes] | None:
    params = document.get("params", {})
    name, arguments = params.get("name"), params.get("arguments")
    if document["method"] != "tools/call" or not isinstance(name, str):
        return None
    try:
        return name, canonical({} if arguments is None else arguments)
    except NotCanonical:
        return None
