"""An entry of the log: a DSSE envelope over an in-toto Statement v1 whose predicate says what happened.

Every entry states its own index, so a moved, missing or repeated one contradicts itself, and its subject is the digest
of its predicate. Payloads are canonical JSON of at most 47 KiB, so that the entry around it fits the 65,535 bytes that
C2SP tlog-tiles allows.

Kinds and their meaning: boot (a process took over the log), intent (a call is about to run), outcome (how it ended),
denied (it did not run), in_doubt (started, end unknown), approval (requested, answered, expired), pin (a tool definition
was approved). Reserved for later: resolution, compensation, key, erasure.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.canonical import canonical
from gateway.core.dsse import NotVerified, Signer, envelop, open_envelope
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


@dataclass(frozen=True, slots=True)
class Record:
    """What an entry will say, before it has a place in the log. `id` is a UUID: the envelope's, or the event's own."""

    kind: Kind
    id: str
    recorded_at: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verified entry, read back."""

    index: int
    kind: Kind
    id: str
    predicate: Mapping[str, Any]
    keyid: str


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """A signed entry with its place: what is stored, and what a receipt shows."""

    index: int
    data: bytes
    leaf: bytes
    keyid: str
    signature: str


class EntryTooLarge(GatewayError):
    """The record does not fit an entry, so what it records does not happen."""

    code = "entry.too_large"


def seal_entry(record: Record, index: int, signer: Signer, *, dev: bool) -> SealedEntry:
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
    data, signature = envelop(PAYLOAD_TYPE, statement, signer)
    return SealedEntry(index, data, leaf_hash(data), signer.keyid, signature)


def open_entry(entry: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Entry:
    """Check signature, form and self-consistency of stored entry bytes.

    Raises:
        NotVerified: what is wrong with it.
    """
    verified = open_envelope(entry, PAYLOAD_TYPE, keys)
    try:
        statement = orjson.loads(verified.payload)
        predicate = statement["predicate"]
        subject = statement["subject"][0]
        opened = Entry(predicate["index"], Kind(predicate["kind"]), predicate["id"], predicate, verified.keyid)
        wanted = {"digest": {"sha256": hashlib.sha256(canonical(predicate)).hexdigest()}, "name": f"urn:uuid:{opened.id}"}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise NotVerified(f"the payload is not a Sealgate statement: {error!r}") from error
    if statement.get("_type") != STATEMENT_TYPE or statement.get("predicateType") != PREDICATE_TYPE:
        raise NotVerified("the statement is of another type")
    if subject != wanted:
        raise NotVerified("the statement's subject is not its predicate")
    return opened
