"""Documents that nobody would write: whatever is in one, it is refused, or offers tools that can be looked at."""

import copy
import json
import random
import time
from typing import Any

import pytest

from gateway.adapters.catalogue import shape_problem
from gateway.adapters.upstream.openapi import operations
from gateway.adapters.upstream.openapi.document import UnusableDocument, read_document
from gateway.adapters.upstream.openapi.operations import Offered, Operation, operations_of
from gateway.adapters.upstream.openapi.request import Unsendable, request_of
from gateway.core.capability import DeclaredBy
from gateway.core.catalog import build_catalog
from gateway.core.seed import Believed
from tests.openapi.documents import GALAXY, document, operation, parameter, spec

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**53, 10**30, "", "x", "..", "/", "\n", "\x00", "{x}", "#", "#/", "\u202e", "é" * 70),
    *([], {}, [[]], [{}], {"": ""}, {"$ref": "#"}, {"$ref": "#/paths"}, {"$ref": "http://x.example"}, {"$ref": 1}),
    *({"type": "object", "properties": 1}, {"allOf": {}}, {"items": [1]}, {"required": "name"}, {"in": "path"}),
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every container in a document with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [node]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else list(range(len(one))) if isinstance(one, list) else []
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found


def spoilt(random_: random.Random) -> dict[str, Any]:
    """The public document with one to four places changed, removed, or swapped with others."""
    document: dict[str, Any] = json.loads(GALAXY.read_bytes())
    for _ in range(random_.randint(1, 4)):
        all_places = places(document)
        holder, key = random_.choice(all_places)
        match random_.randrange(4):
            case 0:
                holder[key] = copy.deepcopy(random_.choice(ODD))
            case 1 if isinstance(holder, dict):
                holder[str(random_.choice(ODD))] = holder.pop(key)
            case 2:
                other, where = random_.choice(all_places)
                holder[key] = copy.deepcopy(other[where])
            case _:
                del holder[key]
    return document


def offered(document: dict[str, Any]) -> Offered | None:
    try:
        return operations_of(read_document(json.dumps(document).encode()), spec())
    except UnusableDocument:
        return None


def campaign(seed: int, documents: int) -> tuple[int, int]:
    """How many documents offered tools, and how many tools the catalogue would take."""
    random_ = random.Random(seed)
    read = callable_ = 0
    for _ in range(documents):
        found = offered(spoilt(random_))
        if found is None:
            continue
        read += 1
        definitions = [one.definition for one in found.operations]
        pins = {one.capability_id: one.digest for one in definitions}
        believed = {"api": Believed(DeclaredBy.METHOD)}
        catalog = build_catalog(definitions, (), pins, believed=believed, shape=shape_problem)
        callable_ += len(catalog.capabilities)
        for one in found.operations:
            try:
                request = request_of(one, spec(), b'{"planetId": 1, "limit": "../x", "body": {}}', None)
            except Unsendable:
                continue
            assert request.url.startswith("http://127.0.0.1:1/")
            assert all(text.isprintable() and text.isascii() for pair in request.headers.items() for text in pair)
    return read, callable_


def test_a_spoilt_document_is_refused_or_offers_what_can_be_looked_at() -> None:
    read, callable_ = campaign(seed=1, documents=30)
    assert read > 5
    assert callable_ > 25


@pytest.mark.long
@pytest.mark.timeout(600)
def test_many_spoilt_documents() -> None:
    read, callable_ = campaign(seed=2, documents=3_000)
    assert read > 500
    assert callable_ > 3_000


def asking(schema: Any, operations: int = 1, name: str = "o") -> dict[str, Any]:
    """A document whose operations all have an argument with the shared schema `S`."""
    one = parameter("q", "query", content={"application/json": {"schema": {"$ref": "#/components/schemas/S"}}})
    paths = {f"/{n}": {"get": operation(operationId=f"{name}{n}", parameters=[one])} for n in range(operations)}
    return document(paths, components={"schemas": {"S": schema}})


def test_a_name_that_is_made_to_be_slow_to_read_holds_nothing_up() -> None:
    began = time.thread_time()
    (one,) = read(asking({}, name=f"a{'-' * 100_000}b"))
    assert len(one.definition.name) <= 64
    assert time.thread_time() - began < 5, "a regular expression keeps all threads waiting"


def test_many_references_that_end_alike_take_no_time() -> None:
    shared = {str(n): {"s": {"type": "string"}} for n in range(3000)}
    schema = {"type": "object", "properties": {f"p{n}": {"$ref": f"#/x-shared/{n}/s"} for n in range(3000)}}
    began = time.thread_time()
    (one,) = read({**asking(schema), "x-shared": shared})
    assert set(one.definition.document["inputSchema"]["$defs"]) >= {"s", "s_2", "s_3000"}
    assert time.thread_time() - began < 5


def test_a_small_document_that_asks_for_large_copies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MAX_SCHEMAS_BYTES", 1 << 20)
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string", "maxLength": n} for n in range(2000)}}
    assert len(read(asking(schema, operations=5))) == 5
    with pytest.raises(UnusableDocument, match="larger than 1048576 bytes"):
        read(asking(schema, operations=40))


def test_a_document_with_too_many_operations_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MAX_OPERATIONS", 10)
    assert len(read(asking({}, operations=10))) == 10
    with pytest.raises(UnusableDocument, match="more than 10 operations"):
        read(asking({}, operations=11))


def test_merge_keys_that_double_and_double_are_refused_and_others_are_read() -> None:
    head = "openapi: 3.0.0\ninfo: {title: t, version: '1'}\npaths: {}\nx-a0: &a0 {k: v, l: v}\n"
    lines = [f"x-a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)]
    assert read_document((head + lines[0]).encode()).root["x-a1"] == {"k": "v", "l": "v"}
    with pytest.raises(UnusableDocument):
        read_document((head + "".join(lines)).encode())
    with pytest.raises(UnusableDocument):
        read_document((head + "x-b: &b {<<: *b, k: v}\n").encode())


def read(source: dict[str, Any]) -> tuple[Operation, ...]:
    return operations_of(read_document(json.dumps(source).encode()), spec()).operations
