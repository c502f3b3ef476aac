"""Changing a deployment's keys: rotate, revoke, and finish what was cut off. Its state folder must be owned.

Every change goes through the same steps, and can be cut off between any two:

1. the new private key is written beside the old one; for a revocation, the next trust bundle beside the present one
2. the `key` entry is committed: from here on the change has happened
3. a new log key: the checkpoint that ends with the entry is signed by the old and the new one
4. the next trust bundle is written, the old private key destroyed, the new one put in its place
5. the next trust bundle becomes `public.json`

What is left of a change says that it was cut off; the log says whether step 2 was done. `finish_cut_off` does the rest of
it, or takes back step 1.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import orjson

from gateway.adapters.anchors.kept import read_kept
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import FileSigner, KeyRing, load_keys, load_signing_key, load_trusted_keys
from gateway.adapters.keys.change import cut_off, drop_next_key, load_next_key, make_next_key, put_next_key_in_place
from gateway.adapters.keys.deployment import key_file
from gateway.adapters.keys.public import PUBLIC, publish_bundle, stage_bundle, upgrade_bundle
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.anchor import check_kept
from gateway.core.checkpoint import read_checkpoint
from gateway.core.dsse import NotVerified, Signer, read_envelope
from gateway.core.entry import PAYLOAD_TYPE, Kind, Record, open_entry
from gateway.core.errors import KeyFault, StoreFault, VerificationFailed
from gateway.core.proof import tree_root
from gateway.core.tiles import TileName, tile_nodes
from gateway.core.trust import (
    KeyHistory,
    KeyPeriod,
    KeyRole,
    Revocation,
    Rotated,
    TrustedKeys,
    keyed,
    read_key_event,
    revocation,
    rotation,
    short,
)
from gateway.core.verify import StoredEntry

MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation that was done: the place of its entry, and both key ids."""

    index: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class RevocationDone:
    """A revocation that was done: the place of its entry, from where on it counts, and the rotation before it, if any."""

    index: int
    since: int
    rotation: Rotation | None


def trusted_keys(state: StateFolder) -> TrustedKeys:
    """The deployment's trust bundle, once a change that was cut off is finished.

    Raises:
        KeyFault: there are no keys, or they cannot be used.
        StateLocked: a change is going on.
    """
    if cut_off(state.keys):
        with state:
            finish_cut_off(state)
    return load_trusted_keys(state.keys / PUBLIC)


def rotate(state: StateFolder, role: KeyRole) -> Rotation:
    """Put a new key in the place of the one in force. The old private key is destroyed.

    Raises:
        KeyFault, StoreFault: it was not done, or will be finished at the next start.
        VerificationFailed: the log is behind what was anchored.
    """
    keys = _present_keys(state)
    old = keys.signer(role)
    _sign_what_is_written(state, keys.bundle, keys.entry, keys.log)  # what was before is the old key's alone
    new = make_next_key(state.keys, role)
    body = rotation(role, old.public(), new.public())
    if role is KeyRole.ENTRY:
        index = _append(state, keys, body, (new,))
    else:
        index = _append(state, keys, body, (old, new), log_co_signers=(new,))
    finish_cut_off(state)
    return Rotation(index, old.keyid, new.keyid)


def revoke(state: StateFolder, keyid: str, since: int | None, reason: str) -> RevocationDone:
    """Let a key count for nothing from the place `since` on; None: from here on. One in force is rotated first.

    Raises:
        KeyFault: there is no such key, it is revoked already, or nobody would be left to sign.
        StoreFault, VerificationFailed: as `rotate`.
    """
    keys, size = _present_keys(state), _size(state)
    role = keys.bundle.role_of(keyid)
    if role is None:
        raise KeyFault(f"this deployment has no key {short(keyid)}", hint="sealgate keys list shows the key ids.")
    if since is not None and not 0 <= since <= size:
        raise KeyFault(f"the log has {size} entries: a key cannot be revoked from {since} on")
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise KeyFault(f"a revocation needs a reason of one line, at most {MAX_REASON} characters")
    since = size if since is None else since
    revoked = keys.bundle.of(role)[keyid].revoked
    if revoked is not None and revoked.since <= since:
        raise KeyFault(f"the key {short(keyid)} is revoked from {revoked.since} on already")
    rotated = None
    if keyid == keys.signer(role).keyid:
        rotated = rotate(state, role)
        keys = load_keys(state.keys)
        since = rotated.index + 1 if since == size else since  # the rotation itself is no reason for doubt
    try:
        bundle = keys.bundle.revoked(keyid, Revocation(since, _size(state), reason))
    except ValueError as error:
        raise KeyFault(f"{short(keyid)} cannot be revoked: {error}") from error
    stage_bundle(state.keys, bundle)
    index = _append(state, keys, revocation(role, keyid, since, reason), ())
    finish_cut_off(state)
    return RevocationDone(index, since, rotated)


def _present_keys(state: StateFolder) -> KeyRing:
    """The keys, once nothing speaks against adding to the log."""
    finish_cut_off(state)
    keys = load_keys(state.keys)
    note = read_kept(state.anchored)
    if note is not None:  # a log that was put back from an old copy gets no new entry, not even this one
        with contextlib.closing(SqliteLog(state.journal)) as log:

            def tile(name: TileName) -> bytes:
                data = log.tile(name)
                if data is None:
                    raise VerificationFailed(f"the log has no {name.path}")
                return data

            check_kept(
                note,
                str(state.anchored),
                keys.bundle,
                log.head()[0],
                lambda size: tree_root(size, tile_nodes(size, tile)),
            )
    return keys


def finish_cut_off(state: StateFolder) -> None:
    """Finish a change whose entry is in the log, take back one whose entry is not. Makes a missing `public.json` again.

    Raises:
        KeyFault: the private keys are not those that the log says are in force; nothing was removed.
        StoreFault: the log is older than the keys.
    """
    folder = state.keys
    if not cut_off(folder):
        upgrade_bundle(folder)
        _check_log_and_keys_are_of_one_time(state)
        return
    bundle = _as_the_log_tells(state)
    for role in KeyRole:
        new = load_next_key(folder, role)
        if new is not None and _in_force(bundle, role, new):
            if role is KeyRole.LOG:
                _sign_by_both(state, bundle, new)
            stage_bundle(folder, bundle)
            put_next_key_in_place(folder, role)
        elif _in_force(bundle, role, load_signing_key(key_file(folder, role))):
            drop_next_key(folder, role)
        else:
            raise KeyFault(
                f"{key_file(folder, role)} is not the key that the log says is in force",
                hint="Restore the newest copy of the keys folder.",
            )
    stage_bundle(folder, bundle)
    publish_bundle(folder)


def _check_log_and_keys_are_of_one_time(state: StateFolder) -> None:
    """Neither was put back from an older copy, across a rotation: what would be signed then could never be verified."""
    bundle = load_trusted_keys(state.keys / PUBLIC)
    since = max(period.since for role in KeyRole for period in bundle.of(role).values())
    try:
        size = _size(state)
    except (StoreFault, VerificationFailed):
        if since:
            raise
        return  # a file that was not finished when it was made: opening it for writing tells, or finishes it
    if since > size:
        raise StoreFault(
            f"the log has {size} entries, and a key was rotated at {since}: the log is an older copy than the keys",
            hint="Restore the newest copy of the journal. The old keys are destroyed, so this one cannot go on.",
        )
    if not size:
        return
    with contextlib.closing(SqliteLog(state.journal)) as log:
        last = next(log.entries(size - 1), None)
    try:
        signers = {one.keyid for one in read_envelope(last.entry, PAYLOAD_TYPE).signatures} if last is not None else set()
    except NotVerified:  # a damaged entry is for log verify to name
        return
    if signers - bundle.by_id().keys():  # a rotation carries the new key's signature, too
        raise KeyFault(
            f"the log was continued under a key that {state.keys / PUBLIC} does not know: the keys are an older copy",
            hint="Restore the newest copy of the keys folder.",
        )


def _in_force(bundle: TrustedKeys, role: KeyRole, key: FileSigner) -> bool:
    period = bundle.of(role).get(key.keyid)
    return period is not None and period.in_force


def _as_the_log_tells(state: StateFolder) -> TrustedKeys:
    """The trust bundle, brought up to what the log's `key` entries say. What does not verify is not learned."""
    public = state.keys / PUBLIC
    if not state.journal.exists():
        if not public.exists():
            raise KeyFault(
                f"{state.keys} holds private keys without {PUBLIC}, and no log was written with them",
                hint=f"Remove {state.keys} and make keys again: sealgate keys new.",
            )
        return load_trusted_keys(public)
    with contextlib.closing(SqliteLog(state.journal)) as log:
        told = [stored for stored in log.entries_naming('"kind":"key"') if _predicate(stored).get("kind") == Kind.KEY]
        history = KeyHistory(load_trusted_keys(public) if public.exists() else _first_bundle(state, log, told))
    for stored in told:
        with contextlib.suppress(NotVerified):
            list(history.problems(open_entry(stored.entry, history.known)))
    return history.keys


def _first_bundle(state: StateFolder, log: SqliteLog, told: Sequence[StoredEntry]) -> TrustedKeys:
    """The bundle as it was before any change: of each role the key that was rotated first, else the one in force."""
    note, first = log.checkpoint(), next(log.entries(), None)
    if note is None or first is None:
        raise KeyFault(f"{state.keys / PUBLIC} is missing, and the log is empty", hint="Restore it from a copy.")
    keys: dict[KeyRole, KeyPeriod] = {}
    for stored in told:
        with contextlib.suppress(ValueError):
            event = read_key_event(_predicate(stored))
            if isinstance(event, Rotated):
                keys.setdefault(event.role, KeyPeriod(event.old))
    for role in KeyRole:
        if role not in keys:
            keys[role] = KeyPeriod(load_signing_key(key_file(state.keys, role)).public())
    origin, dev = read_checkpoint(note).checkpoint.origin, _predicate(first).get("dev") is not False
    return TrustedKeys(keyed(keys[KeyRole.ENTRY]), keyed(keys[KeyRole.LOG]), origin, dev)


def _predicate(stored: StoredEntry) -> dict[str, object]:
    try:
        predicate = orjson.loads(read_envelope(stored.entry, PAYLOAD_TYPE).payload)["predicate"]
    except (NotVerified, ValueError, KeyError, TypeError):
        return {}
    return predicate if isinstance(predicate, dict) else {}


def _sign_by_both(state: StateFolder, bundle: TrustedKeys, new: FileSigner) -> None:
    """The checkpoint that ends with the rotation of the log key, where it is missing."""
    with contextlib.closing(SqliteLog(state.journal)) as log:
        if bundle.log_keys[new.keyid].since in (size for size, _ in log.checkpoints()):
            return
    entry, old = (load_signing_key(key_file(state.keys, role)) for role in (KeyRole.ENTRY, KeyRole.LOG))
    _sign_what_is_written(state, bundle, entry, old, new)  # which ends with the rotation: nobody wrote since


def _append(
    state: StateFolder,
    keys: KeyRing,
    body: dict[str, object],
    co_signers: Sequence[Signer],
    log_co_signers: Sequence[FileSigner] = (),
) -> int:
    """Commit a `key` entry, and the checkpoint that ends with it. Its place."""
    clock = SystemClock()
    record = Record(Kind.KEY, clock.new_id(), clock.now(), body)

    async def append(writer: Writer) -> int:
        def work(transaction: Transaction) -> int:
            return transaction.append(record, co_signers).index

        return await writer.submit(work)

    with _opened(state, keys.bundle, keys.entry, keys.log, *log_co_signers) as writer:
        return asyncio.run(append(writer))


def _sign_what_is_written(
    state: StateFolder, bundle: TrustedKeys, entry: FileSigner, log: FileSigner, *log_co_signers: FileSigner
) -> None:
    with _opened(state, bundle, entry, log, *log_co_signers):
        pass  # a writer that ends signs a checkpoint of all there is


@contextlib.contextmanager
def _opened(
    state: StateFolder, bundle: TrustedKeys, entry: FileSigner, log: FileSigner, *log_co_signers: FileSigner
) -> Iterator[Writer]:
    """The log, open for writing. Raises `StoreFault` in the end where not all of it is under a checkpoint."""
    faults: list[StoreFault] = []
    writer = Writer(
        open_for_writing(state.journal, bundle.origin),
        origin=bundle.origin,
        entry_signer=entry,
        log_signer=log,
        log_co_signers=log_co_signers,
        dev=bundle.dev,
        on_death=faults.append,
    )
    try:
        yield writer
    finally:
        writer.close()
    if faults:
        raise faults[0]


def _size(state: StateFolder) -> int:
    if not state.journal.exists():
        return 0
    with contextlib.closing(SqliteLog(state.journal)) as log:
        return log.head()[0]
