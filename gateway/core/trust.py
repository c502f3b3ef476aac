"""Which keys count where in the log. The auditor brings a trust bundle; the log's own `key` entries say the rest.

A key has a period. An entry key signs the entries since ≤ index < until, a log key checkpoints of since ≤ size ≤ until.
A rotation is an entry signed by the entry key in force, the old key and the new one: the old key ends with that
entry, the new one counts from the next on. The checkpoint that ends with a rotation of the log key carries both signatures.
A revocation ends a key earlier than that: what it signed from there on counts for nothing.
"""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.dsse import NotVerified, key_id
from gateway.core.entry import Entry, Kind


class KeyRole(StrEnum):
    """What a key signs."""

    ENTRY = "entry"
    LOG = "log"


class KeyEvent(StrEnum):
    """What a `key` entry tells."""

    ROTATED = "rotated"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """A public key and where in the log it counts; `until` None: still in force."""

    key: Ed25519PublicKey
    since: int = 0
    until: int | None = None

    @property
    def keyid(self) -> str:
        return key_id(self.key.public_bytes_raw())

    def signs_entry(self, index: int) -> bool:
        return self.since <= index and (self.until is None or index < self.until)

    def signs_checkpoint(self, size: int) -> bool:
        return self.since <= size and (self.until is None or size <= self.until)


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The trust bundle: entry keys and log keys by key id, and the log's name."""

    entry_keys: Mapping[str, KeyPeriod]
    log_keys: Mapping[str, KeyPeriod]
    origin: str

    def log_keys_at(self, size: int) -> list[Ed25519PublicKey]:
        """The log keys whose checkpoint of `size` counts."""
        return [period.key for period in self.log_keys.values() if period.signs_checkpoint(size)]

    def by_id(self) -> dict[str, Ed25519PublicKey]:
        """Every key, whatever it may sign."""
        return {keyid: period.key for keyid, period in (*self.log_keys.items(), *self.entry_keys.items())}


def keyed(*periods: KeyPeriod) -> dict[str, KeyPeriod]:
    """Periods by the id of their key."""
    return {period.keyid: period for period in periods}


def rotation(role: KeyRole, old: Ed25519PublicKey, new_public_key: str, new_keyid: str) -> dict[str, Any]:
    """The body of a rotation entry; `new_public_key` is base64 of the raw key."""
    told = {
        "event": KeyEvent.ROTATED.value,
        "role": role.value,
        "old_keyid": key_id(old.public_bytes_raw()),
        "new_keyid": new_keyid,
        "new_public_key": new_public_key,
    }
    return {"key": told}


def revocation(role: KeyRole, keyid: str, since: int, reason: str) -> dict[str, Any]:
    """The body of a revocation entry."""
    told = {"event": KeyEvent.REVOKED.value, "role": role.value, "keyid": keyid, "since": since, "reason": reason}
    return {"key": told}


class KeyHistory:
    """The keys in force while a log is read from its first entry on. Bundle and log must tell the same story."""

    def __init__(self, bundle: TrustedKeys) -> None:
        self._bundle = bundle
        self._entry = {keyid: period for keyid, period in bundle.entry_keys.items() if period.since == 0}
        self._log = {keyid: period for keyid, period in bundle.log_keys.items() if period.since == 0}
        self.known = bundle.by_id()
        self._last: dict[str, int] = {}

    def log_keys_at(self, size: int) -> list[Ed25519PublicKey]:
        """The log keys whose checkpoint of `size` counts, by what was read so far."""
        return [period.key for period in self._log.values() if period.signs_checkpoint(size)]

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with who signed `entry`; and what a `key` entry says is learned."""
        period = self._entry.get(entry.keyid)
        if period is None or not period.signs_entry(entry.index):
            yield f"signed by the key {entry.keyid[:16]}…, which is not in force there"
            return
        self._last[entry.keyid] = entry.index
        if entry.kind is Kind.KEY:
            yield from self._learn(entry)

    def bundle_problems(self, size: int) -> Iterator[str]:
        """What the bundle says of the `size` entries that were read, and the log does not."""
        for told, learned, role in (
            (self._bundle.entry_keys, self._entry, KeyRole.ENTRY),
            (self._bundle.log_keys, self._log, KeyRole.LOG),
        ):
            for keyid, period in told.items():
                if period.since < size and keyid not in learned:
                    yield f"the {role} key {keyid[:16]}… is to count from {period.since} on, and no entry introduces it"

    def _learn(self, entry: Entry) -> Iterator[str]:
        try:
            told = entry.predicate["key"]
            role = KeyRole(told["role"])
            match KeyEvent(told["event"]):
                case KeyEvent.ROTATED:
                    problem = self._rotate(entry, role, told)
                case KeyEvent.REVOKED:
                    problem = self._revoke(role, str(told["keyid"]), int(told["since"]))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"not a key event: {error!r}"
        if problem is not None:
            yield problem

    def _rotate(self, entry: Entry, role: KeyRole, told: Mapping[str, Any]) -> str | None:
        keys = self._entry if role is KeyRole.ENTRY else self._log
        old, new = str(told["old_keyid"]), introduced_key(entry.predicate)
        if new is None:
            return "a rotation without a new key"
        place = entry.index + 1
        if old not in keys or keys[old].until not in (None, place):
            return f"rotates the key {old[:16]}…, which is not in force"
        if not {entry.keyid, old, new.keyid} <= set(entry.keyids):
            return "a rotation that is not signed by both the old and the new key"
        told_elsewhere = (self._bundle.entry_keys if role is KeyRole.ENTRY else self._bundle.log_keys).get(new.keyid)
        if told_elsewhere is not None and told_elsewhere.since != place:
            return f"the key {new.keyid[:16]}… is to count from {told_elsewhere.since} on, and is introduced for {place}"
        keys[old] = replace(keys[old], until=place)
        keys[new.keyid] = told_elsewhere or replace(new, since=place)
        self.known[new.keyid] = new.key
        return None

    def _revoke(self, role: KeyRole, keyid: str, since: int) -> str | None:
        keys = self._entry if role is KeyRole.ENTRY else self._log
        if keyid not in keys:
            return f"revokes the key {keyid[:16]}…, which never was in force"
        until = keys[keyid].until
        keys[keyid] = replace(keys[keyid], until=since if until is None else min(since, until))
        last = self._last.get(keyid, -1)
        if last >= since and (until is None or until > since):
            return f"the key {keyid[:16]}… is revoked from entry {since} on, and signed entries up to {last}"
        return None


def introduced_key(predicate: Mapping[str, Any]) -> KeyPeriod | None:
    """The new key that a rotation entry brings, with the id it has; None for anything else.

    Raises:
        NotVerified: it brings something that is no key, or under another's id.
    """
    told = predicate.get("key")
    if not isinstance(told, dict) or told.get("event") != KeyEvent.ROTATED:
        return None
    try:
        new = KeyPeriod(Ed25519PublicKey.from_public_bytes(b64decode(told["new_public_key"], validate=True)))
        if new.keyid != told["new_keyid"]:
            raise ValueError("its id is that of another key")
    except (KeyError, TypeError, ValueError) as error:
        raise NotVerified(f"the new key is not one: {error}") from error
    return new
