"""Targets inside this process: each takes a Random, does one case, and gives what is wrong, or None.

A case has its own random numbers, made from the seed, the target's name and the case's number: it can be run again alone.
"""

import json
import time
from base64 import b64decode, b64encode
from random import Random
from typing import Any

import orjson
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.mutate import damaged, document, replanted
from fuzz.oracle import floats_become_integers, no_jcs, plainly, same
from fuzz.tally import Finding, Tally
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
    expected, problem = plainly(data)
    try:
        found = wire.parse(data)
    except wire.Malformed as refused:
        orjson.dumps(refused.reply())
        return None if problem else f"refused: {refused.message}, but nothing is wrong with {data!r}"
    if problem:
        return f"took what breaks a rule ({problem}): {data!r}"
    if not same(found, expected):
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
        return None if no_jcs(found) else f"no canonical form, but there is one: {found!r}"
    if made != rfc8785.dumps(found):
        return f"{made!r} is not the JCS of {found!r}"
    if floats_become_integers(found):
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


def run(tally: Tally, seconds: float) -> None:
    """Each target in turn until the time is over; a target that found something is left alone then."""
    going = dict.fromkeys(TARGETS)
    end = time.monotonic() + seconds
    number = 0
    while going and time.monotonic() < end:
        for name in list(going):
            found = attempt(name, tally.seed, number)
            tally.did[name] += 1
            if found:
                tally.find(Finding.OTHER, f"{found}\n  again: --seed {tally.seed} --replay {name}:{number}")
                del going[name]
        number += 1


def attempt(name: str, seed: int, number: int) -> str | None:
    """One case; what is wrong, or None."""
    try:
        return TARGETS[name](Random(f"{seed}:{name}:{number}"))
    except Exception as error:  # noqa: BLE001 - an error nobody documented is what we look for
        return f"raised {error!r}"


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
