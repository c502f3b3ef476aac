"""Which keys count where in the log. The auditor brings a trust bundle; the log's own `key` entries say the rest.

A key has a period. An entry key signs the entries since ≤ index < until, a log key checkpoints of since ≤ size ≤ until.
Several entry keys may be in force at once: one for each replica.

* A rotation is an entry signed by an entry key in force, the old key and the new one. At index r it ends the old key, whose
  last entry it is, and begins the new one at r + 1. The checkpoint of r + 1 entries carries the signatures of both log keys.
* A revocation from S on ends a key earlier: entries from index S on and checkpoints of more than S entries, signed by it,
  count for nothing. It is signed by another key, and leaves one of the role in force: a key in force is rotated first.
* A key is used once: a rotation never brings one that is known, in whatever role.
* What the key signed in between, from S on and before the revocation stood in the log, is disowned: told apart from what is
  wrong (`Disowned`), since who verifies may know of it and go on. Only a revocation that the bundle has disowns: one that
  the log alone tells of may be by whoever copied the key. What the key signs after its revocation is wrong, whoever knows.
* Of two revocations of a key the one from earlier on counts, and the key signs nothing after the first of them.
* A place in the log is no proof that an entry was there before the revocation: whoever has the key can sign it anew. Only a
  checkpoint that counts tells (`Report.covers`).
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.checkpoint import Checkpoint, checkpoint_signers, read_checkpoint
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
class Revocation:
    """From where on a key counts for nothing, the index of the entry that says so, and why.

    `first_entry`: the key's first revocation, where `entry` is a later one that reaches further back.
    """

    since: int
    entry: int
    reason: str
    first_entry: int | None = None

    @property
    def stands(self) -> int:
        """The index of the entry from which on all know that the key is revoked."""
        return self.entry if self.first_entry is None else self.first_entry

    def disowns_entry(self, index: int) -> bool:
        """Whether its place is before the revocation, and it counts no longer."""
        return self.since <= index < self.stands

    def disowns_checkpoint(self, size: int) -> bool:
        """The same for a checkpoint."""
        return self.since < size <= self.stands

    def joined(self, other: "Revocation") -> "Revocation":
        """Both revocations of one key: it counts up to where one of them reaches back, and signs nothing after the first."""
        further = other if other.since < self.since else self
        first = min(self.stands, other.stands)
        return replace(further, first_entry=None if first == further.entry else first)


@dataclass(frozen=True, slots=True)
class KeyPeriod:
    """A public key and where in the log it counts. `until`: where a rotation ended it; None: none did."""

    key: Ed25519PublicKey
    since: int = 0
    until: int | None = None
    revoked: Revocation | None = None

    @property
    def keyid(self) -> str:
        return key_id(self.key.public_bytes_raw())

    @property
    def in_force(self) -> bool:
        """Neither rotated nor revoked."""
        return self.until is None and self.revoked is None

    def covers_entry(self, index: int) -> bool:
        """Whether `index` lies in its time, revoked or not."""
        return self.since <= index and (self.until is None or index < self.until)

    def signs_entry(self, index: int) -> bool:
        return self.covers_entry(index) and (self.revoked is None or index < self.revoked.since)

    def covers_checkpoint(self, size: int) -> bool:
        """Whether a checkpoint of `size` lies in its time, revoked or not."""
        return self.since <= size and (self.until is None or size <= self.until)

    def signs_checkpoint(self, size: int) -> bool:
        return self.covers_checkpoint(size) and (self.revoked is None or size <= self.revoked.since)


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The trust bundle: entry keys and log keys by key id, and the log's name. `dev`: development keys, proving nothing.

    Raises:
        ValueError: it contradicts itself.
    """

    entry_keys: Mapping[str, KeyPeriod]
    log_keys: Mapping[str, KeyPeriod]
    origin: str
    dev: bool = False

    def __post_init__(self) -> None:
        if twice := self.entry_keys.keys() & self.log_keys.keys():
            raise ValueError(f"the key {short(min(twice))} is both an entry key and a log key")
        for role in KeyRole:
            _check_periods(role, self.of(role))
        begun = [period.since for role in KeyRole for period in self.of(role).values() if period.since]
        if len(set(begun)) < len(begun):
            raise ValueError("one entry cannot have introduced two keys")

    def of(self, role: KeyRole) -> Mapping[str, KeyPeriod]:
        """The keys of a role, by key id."""
        return self.entry_keys if role is KeyRole.ENTRY else self.log_keys

    def role_of(self, keyid: str) -> KeyRole | None:
        """What that key signs; None where it is not in the bundle."""
        return next((role for role in KeyRole if keyid in self.of(role)), None)

    def log_keys_at(self, size: int) -> list[Ed25519PublicKey]:
        """The log keys whose checkpoint of `size` counts."""
        return [period.key for period in self.log_keys.values() if period.signs_checkpoint(size)]

    def by_id(self) -> dict[str, Ed25519PublicKey]:
        """Every key, whatever it may sign."""
        return {keyid: period.key for keyid, period in (*self.log_keys.items(), *self.entry_keys.items())}

    def rotated(self, role: KeyRole, old: str, new: Ed25519PublicKey, place: int) -> "TrustedKeys":
        """The same with the key `old` ended at `place`, and `new` counting from there on."""
        periods = dict(self.of(role))
        periods[old] = replace(periods[old], until=place)
        return self._with(role, {**periods, **keyed(KeyPeriod(new, since=place))})

    def revoked(self, keyid: str, revocation: Revocation) -> "TrustedKeys":
        """The same with a key revoked, perhaps once more. Raises KeyError."""
        role = self.role_of(keyid)
        if role is None:
            raise KeyError(keyid)
        period = self.of(role)[keyid]
        joined = revocation if period.revoked is None else period.revoked.joined(revocation)
        if joined == period.revoked:
            return self
        return self._with(role, {**self.of(role), keyid: replace(period, revoked=joined)})

    def _with(self, role: KeyRole, periods: Mapping[str, KeyPeriod]) -> "TrustedKeys":
        if role is KeyRole.ENTRY:
            return replace(self, entry_keys=periods)
        return replace(self, log_keys=periods)


def _check_periods(role: KeyRole, periods: Mapping[str, KeyPeriod]) -> None:
    """Each rotation ends one key where it begins another, and somebody may sign: at the beginning and now."""
    for keyid, period in periods.items():
        revoked = period.revoked
        if keyid != period.keyid:
            raise ValueError(f"the id {short(keyid)} is not that of its key")
        if period.since < 0 or (period.until is not None and period.until <= period.since):
            raise ValueError(f"the {role} key {short(keyid)} ends before it begins")
        if revoked is not None and not 0 <= revoked.since <= revoked.stands:
            raise ValueError(f"the {role} key {short(keyid)} is revoked from {revoked.since} on by entry {revoked.stands}")
        if revoked is not None and revoked.first_entry is not None and revoked.first_entry >= revoked.entry:
            raise ValueError(f"the {role} key {short(keyid)} is revoked by entry {revoked.entry}, and not before")
    begun = sorted(period.since for period in periods.values() if period.since)
    ended = sorted(period.until for period in periods.values() if period.until is not None)
    if begun != ended:
        raise ValueError(f"the {role} keys do not follow each other: they begin at {begun} and end at {ended}")
    if not any(period.since == 0 for period in periods.values()):
        raise ValueError(f"no {role} key counts from the beginning")
    if not any(period.in_force for period in periods.values()):
        raise ValueError(f"no {role} key is in force")


def keyed(*periods: KeyPeriod) -> dict[str, KeyPeriod]:
    """Periods by the id of their key."""
    return {period.keyid: period for period in periods}


def short(keyid: str) -> str:
    """A key id for messages."""
    return f"{keyid[:16]}…"


@dataclass(slots=True)
class Disowned:
    """What a key signed and its revocation says counts for nothing: how many entries, or checkpoints, and where.

    `first` and `last` are indexes of entries, for a log key sizes of checkpoints; they are read in this order.
    """

    role: KeyRole
    keyid: str
    revocation: Revocation
    first: int
    last: int
    count: int = 1

    def add(self, place: int) -> None:
        """One more; the same checkpoint, stored and kept elsewhere, is one."""
        if place > self.last:
            self.last = place
            self.count += 1

    @property
    def reaches(self) -> int:
        """The size of the smallest checkpoint that covers all of it."""
        return self.last + 1 if self.role is KeyRole.ENTRY else self.last

    @property
    def sentence(self) -> str:
        """For people."""
        one, many = ("entry", "entries") if self.role is KeyRole.ENTRY else ("checkpoint", "checkpoints")
        what = f"{one} {self.first}" if self.count == 1 else f"{self.count} {many}, {self.first} to {self.last}"
        return (
            f"{what}, signed by the {self.role} key {short(self.keyid)},"
            f" which entry {self.revocation.entry} revokes from {self.revocation.since} on: {self.revocation.reason}"
        )


def rotation(role: KeyRole, old: Ed25519PublicKey, new: Ed25519PublicKey) -> dict[str, Any]:
    """The body of a rotation entry."""
    raw_old, raw_new = old.public_bytes_raw(), new.public_bytes_raw()
    told = {
        "event": KeyEvent.ROTATED.value,
        "role": role.value,
        "old_keyid": key_id(raw_old),
        "old_public_key": b64encode(raw_old).decode(),
        "new_keyid": key_id(raw_new),
        "new_public_key": b64encode(raw_new).decode(),
    }
    return {"key": told}


def revocation(role: KeyRole, keyid: str, since: int, reason: str) -> dict[str, Any]:
    """The body of a revocation entry."""
    told = {"event": KeyEvent.REVOKED.value, "role": role.value, "keyid": keyid, "since": since, "reason": reason}
    return {"key": told}


@dataclass(frozen=True, slots=True)
class Rotated:
    """A rotation as an entry tells it."""

    role: KeyRole
    old: Ed25519PublicKey
    new: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Revoked:
    """A revocation as an entry tells it."""

    role: KeyRole
    keyid: str
    since: int
    reason: str


def read_key_event(predicate: Mapping[str, Any]) -> Rotated | Revoked:
    """What a `key` entry tells. Raises ValueError where it tells nothing that can be understood."""
    told = predicate.get("key")
    try:
        if not isinstance(told, dict):
            raise ValueError("it tells of no key")
        role = KeyRole(told["role"])
        if told["event"] == KeyEvent.ROTATED:
            rotated = Rotated(role, _told_key(told, "old"), _told_key(told, "new"))
            _check_spelling(told, rotation(role, rotated.old, rotated.new))
            return rotated
        if type(told["since"]) is not int:
            raise ValueError("`since` is no place in the log")
        revoked = Revoked(role, str(told["keyid"]), told["since"], str(told["reason"]))
        _check_spelling(told, revocation(role, revoked.keyid, revoked.since, revoked.reason))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a key event: {error!r}") from error
    return revoked


def _check_spelling(told: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    if told != body["key"]:
        raise ValueError("its parts do not fit each other")


def _told_key(told: Mapping[str, Any], which: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(b64decode(told[f"{which}_public_key"], validate=True))


class KeyHistory:
    """The keys that count while a log is read from its first entry on.

    `keys` is what the bundle and the log say together so far. They must tell the same story: what the bundle knows must
    happen in the log, at its place; what it does not know, since it is older, is learned from `key` entries. `disowned` is
    what was read so far and the bundle's revocations disown, by key id; a learned one comes after all it could disown.
    """

    def __init__(self, bundle: TrustedKeys) -> None:
        self.keys = bundle
        self.known = bundle.by_id()
        self.disowned: dict[str, Disowned] = {}
        self._bundle = bundle
        self._rotations: set[str] = set()
        self._revocations: set[tuple[str, int]] = set()
        self._last_entry: dict[str, int] = {}
        self._last_checkpoint: dict[str, int] = {}

    def open_checkpoint(self, note: str) -> tuple[Checkpoint, bool]:
        """The checkpoint in `note`, and whether it counts or is disowned. Raises `NotVerified`."""
        counting = self.keys.log_keys_at(read_checkpoint(note).checkpoint.size)
        try:
            checkpoint, signers = checkpoint_signers(note, self.keys.origin, counting)
        except NotVerified:
            disowned = self._disowned_checkpoint(note)
            if disowned is None:
                raise
            return disowned, False
        if len(signers) == 1:  # with two, a revocation of one leaves the other's signature
            signer = key_id(signers[0].public_bytes_raw())
            self._last_checkpoint[signer] = max(checkpoint.size, self._last_checkpoint.get(signer, 0))
        return checkpoint, True

    def _disowned_checkpoint(self, note: str) -> Checkpoint | None:
        """The checkpoint in `note` where a key signed it that is revoked from before it on."""
        size = read_checkpoint(note).checkpoint.size
        revoked = {
            keyid: period.revoked
            for keyid, period in self.keys.log_keys.items()
            if period.revoked is not None and period.revoked.disowns_checkpoint(size) and period.covers_checkpoint(size)
        }
        try:
            keys = [*self.keys.log_keys_at(size), *(self.keys.log_keys[keyid].key for keyid in revoked)]
            checkpoint, signers = checkpoint_signers(note, self.keys.origin, keys)
        except NotVerified:
            return None
        for signer in signers:
            keyid = key_id(signer.public_bytes_raw())
            self._disown(KeyRole.LOG, keyid, revoked[keyid], size)
        return checkpoint

    def _disown(self, role: KeyRole, keyid: str, revocation: Revocation, place: int) -> None:
        if keyid in self.disowned:
            self.disowned[keyid].add(place)
        else:
            self.disowned[keyid] = Disowned(role, keyid, revocation, place, place)

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with who signed `entry`, which may also be disowned; and what a `key` entry says is learned."""
        period = self.keys.entry_keys.get(entry.keyid)
        if period is None or not period.covers_entry(entry.index):
            yield f"signed by the key {short(entry.keyid)}, which is not in force there"
            return
        if period.signs_entry(entry.index):
            self._last_entry[entry.keyid] = entry.index
        elif period.revoked is not None and period.revoked.disowns_entry(entry.index):
            self._disown(KeyRole.ENTRY, entry.keyid, period.revoked, entry.index)
        elif period.revoked is not None:
            yield f"signed by the key {short(entry.keyid)}, which is revoked from {period.revoked.since} on"
        if entry.kind is not Kind.KEY:
            return
        try:
            event = read_key_event(entry.predicate)
        except ValueError as error:
            yield str(error)
            return
        if isinstance(event, Rotated):
            yield from self._rotate(entry, event)
        else:
            yield from self._revoke(entry, event)

    def bundle_problems(self, size: int) -> Iterator[str]:
        """What the bundle says of the `size` entries that were read, and the log does not."""
        for role in KeyRole:
            for keyid, period in self._bundle.of(role).items():
                if 0 < period.since <= size and keyid not in self._rotations:
                    yield f"the {role} key {short(keyid)} is to count from {period.since} on, and no entry introduces it"
                told = () if period.revoked is None else sorted({period.revoked.stands, period.revoked.entry})
                for place in told:
                    if place < size and (keyid, place) not in self._revocations:
                        yield f"the {role} key {short(keyid)} is to be revoked by entry {place}, and it is not"

    def _rotate(self, entry: Entry, event: Rotated) -> Iterator[str]:
        old, new = (key_id(key.public_bytes_raw()) for key in (event.old, event.new))
        periods, place = self.keys.of(event.role), entry.index + 1
        ending, told = periods.get(old), self._bundle.of(event.role).get(new)
        if set(entry.keyids) != {entry.keyid, old, new}:
            yield "a rotation that is not signed by exactly the gateway's, the old and the new key"
        elif told is not None and told.since == place and ending is not None and ending.until == place:
            self._rotations.add(new)
        elif told is not None and told.since and new not in self._rotations:
            yield f"brings the key {short(new)} at {place}, which is to count from {told.since} on"
        elif new in self.known:
            yield f"brings the key {short(new)}, which is known already"
        elif ending is None or ending.since > entry.index or ending.until is not None:
            yield f"rotates the {event.role} key {short(old)}, which is not in force there, or is to end elsewhere"
        elif not (ending.in_force and self.keys.entry_keys[entry.keyid].signs_entry(entry.index)):
            yield f"brings the key {short(new)} on the word of a revoked one"
        else:
            self.keys = self.keys.rotated(event.role, old, event.new, place)
            self.known[new] = event.new

    def _revoke(self, entry: Entry, event: Revoked) -> Iterator[str]:
        period = self.keys.of(event.role).get(event.keyid)
        told = Revocation(event.since, entry.index, event.reason)
        if len(entry.keyids) != 1:
            yield "a revocation that is not signed by the gateway's key alone"
        elif period is None or period.since > entry.index:
            yield f"revokes the {event.role} key {short(event.keyid)}, which never was in force"
        elif event.keyid == entry.keyid:
            yield f"the key {short(event.keyid)} revokes itself"
        elif not 0 <= event.since <= entry.index:
            yield f"revokes the key {short(event.keyid)} from {event.since} on, which is not in the past"
        elif self._bundle_has(event, told):
            self._revocations.add((event.keyid, entry.index))
        elif not self.keys.entry_keys[entry.keyid].signs_entry(entry.index):
            yield f"revokes the key {short(event.keyid)} on the word of a revoked one"
        else:
            yield from self._learn_revocation(event, told)

    def _bundle_has(self, event: Revoked, told: Revocation) -> bool:
        """Whether it is the bundle's revocation of that key, or the first one, of which the bundle knows only the place."""
        period = self._bundle.of(event.role).get(event.keyid)
        known = None if period is None else period.revoked
        if known is None:
            return False
        return replace(known, first_entry=None) == told or (known.first_entry == told.entry and known.since <= told.since)

    def _learn_revocation(self, event: Revoked, told: Revocation) -> Iterator[str]:
        before = self.keys
        try:
            self.keys = before.revoked(event.keyid, told)
        except ValueError as error:
            yield f"revokes the key {short(event.keyid)}, and then {error}"
            return
        if self.keys is before:  # an earlier revocation reaches further back
            return
        if (last := self._last_entry.get(event.keyid, -1)) >= told.since:
            yield f"the key {short(event.keyid)} is revoked from {told.since} on, and signed entries up to {last}"
        if (last := self._last_checkpoint.get(event.keyid, 0)) > told.since:
            yield f"the key {short(event.keyid)} is revoked from {told.since} on, and signed checkpoints up to {last}"
