"""Targets inside this process: each takes a Random, does one case, and gives what is wrong, or None."""

import json
import math
from base64 import b64decode, b64encode
from random import Random
from typing import Any

import orjson
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.mutate import damaged, document, replanted
from gateway.adapters.keys import FileSigner
from gateway.core import wire
from gateway.core.answer import PAYLOAD_TYPE, Answer, Approver, SignedAnswer, answer_payload
from gateway.core.approval import ApprovalRequest, ApprovalState, check_answer
from gateway.core.canonical import NotCanonical, canonical
from gateway.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from gateway.core.dsse import NotVerified, envelop
from gateway.core.entry import Kind, Record, open_entry, seal_entry
from gateway.core.outcome import Reason

SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
STRANGER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes([1] * 32)))
NOW = "2026-11-22T10:00:00.000Z"
REQUEST = ApprovalRequest(
    approval_id="a",
    envelope_id="e",
    call_digest="sha256:00",
    capability_id="box__drop",
    definition_digest="sha256:11",
    mode="destructive",
    tenant_id="t",
    principal_chain=("user:bob", "agent:helper"),
    policy_revision="r",
    required_approver=None,
    reasons=(Reason("c", "m"),),
    requested_at=NOW,
    expires_at="2026-11-22T11:00:00.000Z",
    advisory=False,
)
APPROVERS = {SIGNER.keyid: Approver("user:alice", SIGNER.keyid, KEY)}


def parser(rng: Random) -> str | None:
    """The strict parser takes what RFC 8259 with our rules takes, and reads the same from it."""
    data = document(rng)
    expected, problem = _plainly(data)
    try:
        found = wire.parse(data)
    except wire.Malformed as refused:
        orjson.dumps(refused.reply())
        return None if problem else f"refused: {refused.message}, but nothing is wrong with {data!r}"
    if problem:
        return f"took what breaks a rule ({problem}): {data!r}"
    if not _same(found, expected):
        return f"read {found!r} where json reads {expected!r}: {data!r}"
    return None


def canonical_bytes(rng: Random) -> str | None:
    """Canonical bytes are RFC 8785's on both paths, and are read back as the same document."""
    try:
        found = wire.parse(document(rng))
    except wire.Malformed:
        return None
    try:
        made = canonical(found)
    except NotCanonical:
        return None if _no_jcs(found) else f"no canonical form, but there is one: {found!r}"
    if made != rfc8785.dumps(found):
        return f"{made!r} is not the JCS of {found!r}"
    if _floats_become_integers(found):
        return None
    return None if canonical(wire.parse(made)) == made else f"{made!r} reads as another document"


def splitter(rng: Random) -> str | None:
    """Lines come out the same however the bytes come in."""
    data = b"".join(rng.choice((b"\n", b"a", b"bc\r", b" ", b"x" * 9, b"\n\n")) for _ in range(rng.randrange(60)))
    whole = list(wire.LineSplitter(16).feed(data + b"\n"))
    pieces: list[bytes | wire.Overlong] = []
    at, one = 0, wire.LineSplitter(16)
    while at < len(data) + 1:
        step = rng.randrange(1, 20)
        pieces += one.feed((data + b"\n")[at : at + step])
        at += step
    expected = [
        wire.Overlong(16) if len(line) > 16 else line for line in data.split(b"\n") if len(line) > 16 or line.strip()
    ]
    return None if pieces == whole == expected else f"{pieces} and {whole}, not {expected}, from {data!r}"


def entry(rng: Random) -> str | None:
    """A damaged entry is refused, or says what it said."""
    record = Record(Kind.OUTCOME, "01a201b3-e7bb-7754-9165-a43e3e4df909", NOW, {"result": {"status": "completed"}})
    sealed = seal_entry(record, 7, SIGNER, dev=False).data
    original = open_entry(sealed, {SIGNER.keyid: KEY})
    changed = _damaged_envelope(rng, sealed)
    try:
        opened = open_entry(changed, {SIGNER.keyid: KEY})
    except NotVerified:
        return None
    return None if opened == original else f"took {changed!r}"


def checkpoint(rng: Random) -> str | None:
    """A damaged checkpoint is refused, or states what it stated."""
    original = Checkpoint("sealgate.local/t", rng.randrange(10**6), rng.randbytes(32))
    note = sign_checkpoint(original, SIGNER)
    changed = damaged(rng, note.encode()).decode(errors="replace")
    try:
        opened = open_checkpoint(changed, original.origin, [KEY])
    except NotVerified:
        return None
    return None if opened == original else f"took {changed!r}"


def answer(rng: Random) -> str | None:
    """A damaged, foreign or late answer never counts."""
    given = rng.choice((Answer.APPROVE, Answer.REJECT))
    comment = "why"
    payload = answer_payload(REQUEST.document(), given, "user:alice", comment)
    signed, _ = envelop(PAYLOAD_TYPE, payload, SIGNER)
    envelope = _as_dict(_damaged_envelope(rng, signed))
    checked = check_answer(REQUEST, ApprovalState.PENDING, envelope, APPROVERS, NOW)
    if isinstance(checked, SignedAnswer) and (checked.answer, checked.comment) != (given, comment):
        return f"took {envelope!r} as {checked!r}"
    forged = rng.choice(
        (
            envelop(PAYLOAD_TYPE, payload, STRANGER)[0],
            envelop(PAYLOAD_TYPE, damaged(rng, payload), SIGNER)[0],
            envelop("application/json", payload, SIGNER)[0],
        )
    )
    checked = check_answer(REQUEST, ApprovalState.PENDING, _as_dict(forged), APPROVERS, NOW)
    # The approver's own key may sign any comment, and nothing else.
    if isinstance(checked, SignedAnswer) and b64decode(_as_dict(forged)["payload"]) != answer_payload(
        REQUEST.document(), given, "user:alice", checked.comment
    ):
        return f"took {forged!r} as {checked!r}"
    late = check_answer(REQUEST, ApprovalState.PENDING, _as_dict(signed), APPROVERS, REQUEST.expires_at)
    return None if isinstance(late, Reason) else "took an answer that came too late"


TARGETS = {
    "parser": parser,
    "canonical": canonical_bytes,
    "splitter": splitter,
    "entry": entry,
    "checkpoint": checkpoint,
    "answer": answer,
}


def _damaged_envelope(rng: Random, sealed: bytes) -> bytes:
    """An envelope with damage in its bytes, its members or its payload."""
    match rng.randrange(3):
        case 0:
            return damaged(rng, sealed)
        case 1:
            return json.dumps(replanted(rng, json.loads(sealed))).encode()
        case _:
            envelope = json.loads(sealed)
            envelope["payload"] = b64encode(damaged(rng, b64decode(envelope["payload"]))).decode()
            return json.dumps(envelope).encode()


def _as_dict(data: bytes) -> dict[str, Any]:
    """What the daemon hands on: it takes an object only, strictly parsed."""
    try:
        found = wire.parse(data)
    except wire.Malformed:
        return {}
    return found if isinstance(found, dict) else {}


def _plainly(data: bytes) -> tuple[Any, str | None]:
    """What the standard library reads, and which of our rules the bytes break: written to be obvious, not fast."""
    problems: list[str] = []
    keys = 0

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(found)
        names = [name for name, _ in found]
        if len(set(names)) != len(names):
            problems.append("duplicate key")
        for name in names:
            _no_surrogate(name, problems)
        return dict(found)

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return None, f"not JSON: {error}"
    if keys > wire.MAX_KEYS:
        problems.append("too many keys")
    if _values(found) > wire.MAX_VALUES:
        problems.append("too many values")
    _walk(found, 0, problems)
    return found, problems[0] if problems else None


def _values(value: Any) -> int:
    """Members and elements, at any depth (no deeper than the JSON parser went)."""
    below = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return len(below) + sum(_values(item) for item in below)


def _walk(value: Any, depth: int, problems: list[str]) -> None:
    if depth > wire.MAX_DEPTH:
        problems.append("too deep")
        return
    if isinstance(value, str):
        _no_surrogate(value, problems)
    elif isinstance(value, float):
        if not math.isfinite(value):
            problems.append("not finite")
    elif isinstance(value, int):
        if abs(value) > wire.MAX_SAFE_INTEGER:
            problems.append("integer out of range")
    elif value is not None:
        for below in value.values() if isinstance(value, dict) else value:
            _walk(below, depth + 1, problems)


def _no_surrogate(text: str, problems: list[str]) -> None:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        problems.append("lone surrogate")


def _same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down: True is not 1, 1.0 is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)


def _floats_become_integers(document: Any) -> bool:
    """RFC 8785 writes floats from 2^53 up to 1e21 with the digits of an integer, which the strict parser then refuses."""
    if isinstance(document, dict | list):
        return any(map(_floats_become_integers, document.values() if isinstance(document, dict) else document))
    return isinstance(document, float) and wire.MAX_SAFE_INTEGER < abs(document) < 1e21


def _no_jcs(document: Any) -> bool:
    try:
        rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return True
    return False
