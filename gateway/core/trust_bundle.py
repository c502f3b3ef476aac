"""The trust bundle as a JSON document: `public.json`, version 2. Version 1 (one log key, no periods) is still read.

The document's fields are described in `docs/reference/entries.md`.
"""

from base64 import b64decode, b64encode
from dataclasses import asdict
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.trust import KeyPeriod, KeyRole, Revocation, TrustedKeys, keyed
from gateway.core.verifier_key import SignatureType, VerifierKey

VERSION = 2


def bundle_document(keys: TrustedKeys) -> dict[str, Any]:
    """The document of a bundle; keys in the order in which they began."""
    return {
        "version": VERSION,
        "origin": keys.origin,
        "dev": keys.dev,
        "entry_keys": [_key_document(period) for period in in_order(keys, KeyRole.ENTRY)],
        "log_keys": [
            {**_key_document(period), "vkey": verifier_key(keys, period).text} for period in in_order(keys, KeyRole.LOG)
        ],
    }


def read_bundle(document: Any) -> TrustedKeys:
    """The bundle in a document of either version. Raises ValueError with what is wrong."""
    try:
        version = document.get("version", 1)
        if version == 1:
            return _read_version_1(document)
        if version != VERSION:
            raise ValueError(f"version {version!r} is not known to this program")
        origin, dev = document["origin"], document["dev"]
        if type(origin) is not str or type(dev) is not bool:
            raise ValueError("not a trust bundle: `origin` is a text, `dev` true or false")
        keys = TrustedKeys(_read_periods(document["entry_keys"]), _read_periods(document["log_keys"]), origin, dev)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a trust bundle: {error!r}") from error
    if bundle_document(keys) != document:
        raise ValueError("not a trust bundle: something in it was added, left out or changed")
    return keys


def in_order(keys: TrustedKeys, role: KeyRole) -> list[KeyPeriod]:
    """The keys of a role in the order in which they began."""
    return sorted(keys.of(role).values(), key=lambda period: (period.since, period.keyid))


def key_documents(keys: TrustedKeys) -> list[dict[str, Any]]:
    """Each key and where in the log it counts, as operators are told: entry keys first, in the order in which they began."""
    return [
        {
            "role": role.value,
            "keyid": period.keyid,
            "since": period.since,
            "until": period.until,
            "state": "in force" if period.in_force else "retired" if period.revoked is None else "revoked",
            "revoked": None if period.revoked is None else revocation_document(period.revoked),
        }
        for role in KeyRole
        for period in in_order(keys, role)
    ]


def verifier_key(keys: TrustedKeys, period: KeyPeriod) -> VerifierKey:
    """A log key as C2SP tools want it."""
    return VerifierKey(keys.origin, SignatureType.ED25519, period.key.public_bytes_raw())


def _key_document(period: KeyPeriod) -> dict[str, Any]:
    revoked = period.revoked
    return {
        "keyid": period.keyid,
        "public_key": b64encode(period.key.public_bytes_raw()).decode(),
        "since": period.since,
        "until": period.until,
        "revoked": None if revoked is None else revocation_document(revoked),
    }


def revocation_document(revoked: Revocation) -> dict[str, Any]:
    """The document of a revocation; `first_entry` only where there was an earlier one."""
    return {name: value for name, value in asdict(revoked).items() if value is not None}


def _read_periods(documents: Any) -> dict[str, KeyPeriod]:
    periods = {str(told["keyid"]): _read_period(told) for told in documents}
    if len(periods) < len(documents):
        raise ValueError("not a trust bundle: a key stands in it twice")
    return periods


def _read_period(told: Any) -> KeyPeriod:
    revoked = told["revoked"]
    return KeyPeriod(
        _key(told["public_key"]),
        _place(told["since"]),
        None if told["until"] is None else _place(told["until"]),
        None if revoked is None else _read_revocation(revoked),
    )


def _read_revocation(told: Any) -> Revocation:
    first = told.get("first_entry")
    return Revocation(
        _place(told["since"]), _place(told["entry"]), str(told["reason"]), None if first is None else _place(first)
    )


def _place(told: Any) -> int:
    if type(told) is not int:
        raise ValueError(f"not a trust bundle: {told!r} is no place in the log")
    return told


def _key(encoded: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(b64decode(encoded, validate=True))


def _read_version_1(document: Any) -> TrustedKeys:
    if type(document["origin"]) is not str:
        raise ValueError("not a trust bundle: `origin` is a text")
    entry_keys = {name: KeyPeriod(_key(raw)) for name, raw in document["entry_keys"].items()}
    return TrustedKeys(entry_keys, keyed(KeyPeriod(_key(document["log_key"]))), document["origin"], bool(document["dev"]))
