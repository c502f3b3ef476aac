"""A log whose keys change, written with real keys: by the gateway, or by somebody who holds some of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Kind, Record, seal_entry
from gateway.core.merkle import Frontier
from gateway.core.trust import KeyPeriod, KeyRole, Revocation, TrustedKeys, keyed, revocation, rotation
from gateway.core.verify import Report, StoredEntry, verify_log

ORIGIN = "test.example/log"
NOW = "2026-11-22T10:00:00.000Z"


def signer(name: str) -> FileSigner:
    """The key of that name; the same each time."""
    return FileSigner(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest()))


def first_bundle(*entry: str, log: str = "L0", origin: str = ORIGIN) -> TrustedKeys:
    """What the auditor is given before there is anything to audit."""
    return TrustedKeys(
        keyed(*(KeyPeriod(signer(name).public()) for name in entry)), keyed(KeyPeriod(signer(log).public())), origin
    )


@dataclass
class Story:
    """The log so far. `entry` and `log` name the keys in force; `bundles`: the trust bundle after each change of keys."""

    entry: str = "E0"
    log: str = "L0"
    bundles: list[TrustedKeys] = field(default_factory=lambda: [first_bundle("E0")])
    entries: list[StoredEntry] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(self.entries)

    def append(self, kind: Kind, body: dict[str, Any], first: str, *others: str) -> int:
        """One entry with these signatures; its place."""
        record = Record(kind, f"01234567-89ab-7cde-8f01-{self.size:012x}", NOW, body)
        sealed = seal_entry(record, self.size, signer(first), dev=False, co_signers=[signer(name) for name in others])
        self.entries.append(StoredEntry(sealed.index, sealed.data, sealed.leaf))
        return sealed.index

    def boots(self, count: int, by: str | None = None) -> None:
        """So many entries by one entry key."""
        for _ in range(count):
            self.append(Kind.BOOT, {}, by or self.entry)

    def checkpoint(self, *by: str) -> None:
        """A checkpoint of all there is."""
        frontier = Frontier()
        for stored in self.entries:
            frontier.append(stored.leaf)
        signers = [signer(name) for name in by or (self.log,)]
        self.notes.append((self.size, sign_checkpoint(Checkpoint(ORIGIN, self.size, frontier.root()), *signers)))

    def rotation_entry(self, role: KeyRole, old: str, new: str, *by: str) -> int:
        return self.append(Kind.KEY, rotation(role, signer(old).public(), signer(new).public()), *by)

    def rotate_entry_key(self, new: str) -> None:
        """As the gateway does it."""
        old, self.entry = self.entry, new
        place = self.rotation_entry(KeyRole.ENTRY, old, new, old, new) + 1
        self._learn(self.bundles[-1].rotated(KeyRole.ENTRY, signer(old).keyid, signer(new).public(), place))

    def rotate_log_key(self, new: str) -> None:
        """As the gateway does it."""
        old, self.log = self.log, new
        place = self.rotation_entry(KeyRole.LOG, old, new, self.entry, old, new) + 1
        self.checkpoint(old, new)
        self._learn(self.bundles[-1].rotated(KeyRole.LOG, signer(old).keyid, signer(new).public(), place))

    def revocation_entry(self, role: KeyRole, name: str, since: int, *by: str) -> int:
        return self.append(Kind.KEY, revocation(role, signer(name).keyid, since, "stolen"), *by)

    def revoke(self, role: KeyRole, name: str, since: int) -> None:
        """As the gateway does it."""
        place = self.revocation_entry(role, name, since, self.entry)
        self._learn(self.bundles[-1].revoked(signer(name).keyid, Revocation(since, place, "stolen")))

    def verify(self, bundle: TrustedKeys | None = None, *, kept: Sequence[str] = (), accept: Sequence[str] = ()) -> Report:
        """What an auditor finds with this bundle, or the newest, who accepts what the revocations of these keys disown."""
        accepted = frozenset(signer(name).keyid for name in accept)
        return verify_log(self.entries, self.notes, bundle or self.bundles[-1], kept=kept, accept_revoked=accepted)

    def problems(self, bundle: TrustedKeys | None = None) -> list[str]:
        return self.verify(bundle).problems

    def disowned(self, bundle: TrustedKeys | None = None, *, kept: Sequence[str] = ()) -> list[str]:
        """What revocations disown; nothing of it is accepted, so the log does not hold."""
        report = self.verify(bundle, kept=kept)
        assert report.ok == (not report.problems and not report.revoked)
        return [one.sentence for one in report.revoked]

    def _learn(self, bundle: TrustedKeys) -> None:
        self.bundles.append(bundle)


def told() -> Story:
    """Both keys were rotated twice, and there are entries and checkpoints under each."""
    story = Story()
    story.boots(3)
    story.checkpoint()
    story.rotate_entry_key("E1")
    story.boots(2)
    story.checkpoint()
    story.rotate_log_key("L1")
    story.boots(2)
    story.checkpoint()
    story.rotate_log_key("L2")
    story.rotate_entry_key("E2")
    story.boots(1)
    story.checkpoint()
    return story
