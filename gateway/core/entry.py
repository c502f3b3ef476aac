"""An entry of the log: a DSSE envelope over an in-toto Statement v1 whose predicate says what happened.

Every entry states its own index, so a moved, missing or repeated one contradicts itself, and its subject is the digest
of its predicate. Payloads are canonical JSON of at most 47 KiB, so that the entry around it fits the 65,535 bytes that
C2SP tlog-tiles allows.

Kinds and their meaning: boot (a process took over the log), intent (a call is about to run), outcome (how it ended),
denied (it did not run), in_doubt (started, end unknown), resolution (somebody found out how it ended), compensation (a
call undoes another), approval (requested, answered, expired), pin (a tool definition was approved), key (a key was
rotated or revoked; the only kind with several signatures), erasure (a subject's values were made unreadable), policy (other
policies decide from now on), credential (an API key was made or revoked).
"""

import hashlib
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.canonical import canonical
from gateway.core.dsse import NotVerified, Signer, envelop, key_id, read_envelope, trusted_key
from gateway.core.errors import GatewayError
from gateway.core.merkle import leaf_hash

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://sealgate.dev/ToolEnvelope/v1"
MAX_PAYLOAD_BYTES = 47 * 1024


class Kind(StrEnum):
    BOOT = "boot"
    INTENT = "intent"
    OUTCOME = "outcome"
    DENIED = "denied"
    IN_DOUBT = "in_doubt"
    RESOLUTION = "resolution"
    COMPENSATION = "compensation"
    APPROVAL = "approval"
    KEY = "key"
    ERASURE = "erasure"
    PIN = "pin"
    POLICY = "policy"
    CREDENTIAL = "credential"


@dataclass(frozen=True, slots=True)
class Record:
    """What an entry will say, before it has a place in the log. `id` is a UUID: the envelope's, or the event's own."""

    kind: Kind
    id: str
    recorded_at: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified entry, read back. `keyids`: whose signatures it carries; the first is the gateway's entry key."""

    index: int
    kind: Kind
    id: str
    predicate: Mapping[str, Any]
    keyids: tuple[str, ...]

    @property
    def keyid(self) -> str:
        return self.keyids[0]


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """A signed entry with its place: what is stored, and what a receipt shows."""

    index: int
    data: bytes
    leaf: bytes
    keyid: str
    signature: str


def part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object in a predicate; empty where there is none, or something else stands there."""
    found = said.get(name)
    return found if isinstance(found, Mapping) else {}


class EntryTooLarge(GatewayError):
    """The record does not fit an entry, so what it records does not happen."""

    code = "entry.too_large"


def seal_entry(record: Record, index: int, signer: Signer, *, dev: bool, co_signers: Sequence[Signer] = ()) -> SealedEntry:
    """The signed entry for place `index`. Raises `EntryTooLarge`."""
    predicate = canonical(
        {
            **record.body,
            "dev": dev,
            "id": record.id,
            "index": index,
            "kind": record.kind.value,
            "recorded_at": record.recorded_at,
        }
    )
    statement = orjson.dumps(
        {
            "_type": STATEMENT_TYPE,
            "predicate": orjson.Fragment(predicate),
            "predicateType": PREDICATE_TYPE,
            "subject": [{"digest": {"sha256": hashlib.sha256(predicate).hexdigest()}, "name": f"urn:uuid:{record.id}"}],
        }
    )
    if len(statement) > MAX_PAYLOAD_BYTES:
        raise EntryTooLarge(f"an entry's payload has at most {MAX_PAYLOAD_BYTES} bytes, this one {len(statement)}")
    data, signature = envelop(PAYLOAD_TYPE, statement, signer, *co_signers)
    return SealedEntry(index, data, leaf_hash(data), signer.keyid, signature)


def open_entry(entry: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Entry:
    """Check signatures, form and self-consistency of stored entry bytes. Whether the key counts there is `trust.py`'s.

    Raises:
        NotVerified: what is wrong with it.
    """
    envelope = read_envelope(entry, PAYLOAD_TYPE)
    first, *others = envelope.signatures
    envelope.check(first, trusted_key(first.keyid, keys))
    try:
        statement = orjson.loads(envelope.payload)
        predicate = statement["predicate"]
        subject = statement["subject"][0]
        keyids = tuple(signature.keyid for signature in envelope.signatures)
        opened = Entry(predicate["index"], Kind(predicate["kind"]), predicate["id"], predicate, keyids)
        wanted = {"digest": {"sha256": hashlib.sha256(canonical(predicate)).hexdigest()}, "name": f"urn:uuid:{opened.id}"}
        if type(opened.index) is not int or type(opened.id) is not str:
            raise TypeError("its index is no integer, or its id no text")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NotVerified(f"the payload is not a Sealgate statement: {error!r}") from error
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != PREDICATE_TYPE:
        raise NotVerified("the statement is of another type")
    if subject != wanted:
        raise NotVerified("the statement's subject is not its predicate")
    if others and opened.kind is not Kind.KEY:
        raise NotVerified(f"an entry of kind {opened.kind} with {len(keyids)} signatures")
    for other in others:
        envelope.check(other, _co_signer(other.keyid, opened, keys))
    return opened


def _co_signer(keyid: str, entry: Entry, keys: Mapping[str, Ed25519PublicKey]) -> Ed25519PublicKey:
    """A key that is trusted already, or the one that a rotation entry introduces and that so shows its private half."""
    told = entry.predicate.get("key")
    if keyid in keys or not isinstance(told, dict):
        return trusted_key(keyid, keys)
    try:
        new = Ed25519PublicKey.from_public_bytes(b64decode(told["new_public_key"], validate=True))
    except (KeyError, TypeError, ValueError) as error:
        raise NotVerified(f"signed by the unknown key {keyid[:80]!r}") from error
    return trusted_key(keyid, {key_id(new.public_bytes_raw()): new})
