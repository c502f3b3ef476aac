"""What someone with the file, and perhaps with stolen keys, may do to a log; each tells how the problem must begin."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.dsse import Signer
from gateway.core.entry import Kind, Record, open_entry, seal_entry
from gateway.core.trust import KeyRole, rotation
from tests.store.full_log import Copy

ATTACKER = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\7" * 32))

Tamper = Callable[[Copy], str]
"""Changes a copy and tells how the problem must begin."""


def delete_first(copy: Copy) -> str:
    copy.db.execute("DELETE FROM entries WHERE idx = 0")
    return "entry 1: stands at place 0"


def delete_one(copy: Copy) -> str:
    copy.db.execute("DELETE FROM entries WHERE idx = 50")
    return "entry 51: stands at place 50"


def delete_one_and_close_the_gap(copy: Copy) -> str:
    entries = copy.entries()
    del entries[50]
    copy.rewrite(entries)
    return "entry 50: states that it is entry 51"


def delete_last(copy: Copy) -> str:
    copy.db.execute("DELETE FROM entries WHERE idx = (SELECT max(idx) FROM entries)")
    return "truncated: "


def delete_all(copy: Copy) -> str:
    copy.db.execute("DELETE FROM entries")
    return "truncated: "


def swap(copy: Copy) -> str:
    one, other = copy.entry(20), copy.entry(21)
    copy.put(20, other)
    copy.put(21, one)
    return "entry 20: states that it is entry 21"


def swap_far(copy: Copy) -> str:
    entries = copy.entries()
    entries[3], entries[-1] = entries[-1], entries[3]
    copy.rewrite(entries)
    return "entry 3: states"


def reverse(copy: Copy) -> str:
    copy.rewrite(copy.entries()[::-1])
    return "entry 0: states"


def duplicate_at_the_end(copy: Copy) -> str:
    copy.put(copy.original.size, copy.entry(copy.original.size - 1))
    return f"entry {copy.original.size}: states that it is entry {copy.original.size - 1}"


def duplicate_inside(copy: Copy) -> str:
    entries = copy.entries()
    copy.rewrite([*entries[:40], entries[39], *entries[40:]])
    return "entry 40: states that it is entry 39"


def overwrite_with_another(copy: Copy) -> str:
    copy.put(40, copy.entry(39))
    return "entry 40: states that it is entry 39"


def forged(copy: Copy, index: int, signer: Signer) -> bytes:
    """What entry `index` says, with one word changed, signed by `signer`."""
    said = open_entry(copy.entry(index), copy.original.keys.trusted().by_id())
    body = {name: value for name, value in said.predicate.items() if name not in ("dev", "id", "index", "kind")}
    record = Record(said.kind, said.id, body.pop("recorded_at"), {**body, "changed": True})
    return seal_entry(record, index, signer, dev=False).data


def insert_by_another_key(copy: Copy) -> str:
    entries = copy.entries()
    copy.rewrite([*entries[:30], forged(copy, 30, ATTACKER), *entries[30:]])
    return "entry 30: signed by the unknown key"


def append_by_another_key(copy: Copy) -> str:
    entries = copy.entries()
    record = Record(Kind.BOOT, "00000000-0000-7000-8000-000000000000", "2026-11-22T10:00:00.000Z", {"boot": {}})
    copy.rewrite([*entries, seal_entry(record, len(entries), ATTACKER, dev=False).data])
    return f"entry {len(entries)}: signed by the unknown key"


def replace_by_another_key(copy: Copy) -> str:
    entries = copy.entries()
    entries[33] = forged(copy, 33, ATTACKER)
    copy.rewrite(entries)
    return "entry 33: signed by the unknown key"


def replace_in_the_name_of_the_key(copy: Copy) -> str:
    entries = copy.entries()
    known = copy.original.keys.entry.keyid.encode()
    entries[33] = forged(copy, 33, ATTACKER).replace(ATTACKER.keyid.encode(), known)
    copy.rewrite(entries)
    return "entry 33: the signature does not match"


def replace_with_the_stolen_entry_key(copy: Copy) -> str:
    entries = copy.entries()
    entries[33] = forged(copy, 33, copy.original.keys.entry)
    copy.rewrite(entries)
    return "checkpoint \\d+: its root is not that of the first \\d+ entries"


def sign_checkpoints_with_another_key(copy: Copy) -> str:
    entries = copy.entries()
    entries[33] = forged(copy, 33, copy.original.keys.entry)
    copy.rewrite(entries)
    copy.sign_checkpoints(ATTACKER)
    return "checkpoint \\d+: the checkpoint carries no signature by the log's key"


def move_a_checkpoint(copy: Copy) -> str:
    copy.db.execute("UPDATE checkpoints SET note = (SELECT note FROM checkpoints ORDER BY size LIMIT 1)")
    return "checkpoint \\d+: is filed under"


def outcome_without_intent(copy: Copy) -> str:
    keys, entries = copy.original.keys, copy.entries()
    opened = [open_entry(entry, keys.trusted().by_id()) for entry in entries]
    lost = next(entry.index for entry in opened if entry.kind is Kind.INTENT)
    frame = Record(Kind.PIN, opened[lost].id, "2026-11-22T10:00:00.000Z", {"pin": {}})
    entries[lost] = seal_entry(frame, lost, keys.entry, dev=False).data
    copy.rewrite(entries)
    copy.sign_checkpoints(keys.log)
    return f"entry {lost + 1}: outcome without its intent"


def signed_anew(copy: Copy, *records: Record) -> int:
    """Append records with both stolen keys, everything made to fit; the first one's place."""
    keys, entries = copy.original.keys, copy.entries()
    place = len(entries)
    added = [seal_entry(record, place + number, keys.entry, dev=False).data for number, record in enumerate(records)]
    copy.rewrite([*entries, *added])
    copy.sign_checkpoints(keys.log)
    return place


def event(kind: Kind, body: dict[str, object], number: int = 0) -> Record:
    return Record(kind, f"00000000-0000-7000-8000-{number:012d}", "2026-11-22T10:00:00.000Z", body)


def of_kind(copy: Copy, kind: Kind) -> str:
    """The envelope of the first entry of this kind."""
    keys = copy.original.keys.trusted().by_id()
    return next(said.id for entry in copy.entries() if (said := open_entry(entry, keys)).kind is kind)


def verdict(envelope: str) -> dict[str, object]:
    return {"resolution": {"envelope_id": envelope, "verdict": "failed", "method": "operator", "by": "eve", "reason": ""}}


def resolution_without_a_doubt(copy: Copy) -> str:
    place = signed_anew(copy, event(Kind.RESOLUTION, verdict(of_kind(copy, Kind.OUTCOME))))
    return f"entry {place}: a resolution of a call that is not in doubt"


def second_verdict(copy: Copy) -> str:
    doubt = of_kind(copy, Kind.IN_DOUBT)
    place = signed_anew(copy, event(Kind.RESOLUTION, verdict(doubt), 1), event(Kind.RESOLUTION, verdict(doubt), 2))
    return f"entry {place + 1}: a resolution of a call that is not in doubt"


def end_of_a_compensation_that_was_not_begun(copy: Copy) -> str:
    link: dict[str, object] = {"of": of_kind(copy, Kind.OUTCOME), "by": "b", "event": "completed"}
    place = signed_anew(copy, event(Kind.COMPENSATION, {"compensation": link}))
    return f"entry {place}: the end of a compensation that was not begun"


def outcome_told_twice(copy: Copy) -> str:
    keys, entries = copy.original.keys, copy.entries()
    opened = [open_entry(entry, keys.trusted().by_id()) for entry in entries]
    said = next(entry for entry in opened if entry.kind is Kind.OUTCOME)
    body = {name: value for name, value in said.predicate.items() if name not in ("dev", "id", "index", "kind")}
    place = signed_anew(copy, Record(said.kind, said.id, body.pop("recorded_at"), body))
    return f"entry {place}: outcome without its intent"


def rotation_to_the_thiefs_key(copy: Copy) -> str:
    """The entry key in force signs; the log key that it says is followed does not."""
    old = copy.original.keys.log.public()
    place = signed_anew(copy, event(Kind.KEY, rotation(KeyRole.LOG, old, ATTACKER.public())))
    return f"entry {place}: "


TAMPERS: list[Tamper] = [
    delete_first,
    delete_one,
    delete_one_and_close_the_gap,
    delete_last,
    delete_all,
    swap,
    swap_far,
    reverse,
    duplicate_at_the_end,
    duplicate_inside,
    overwrite_with_another,
    insert_by_another_key,
    append_by_another_key,
    replace_by_another_key,
    replace_in_the_name_of_the_key,
    replace_with_the_stolen_entry_key,
    sign_checkpoints_with_another_key,
    move_a_checkpoint,
    outcome_without_intent,
    resolution_without_a_doubt,
    second_verdict,
    end_of_a_compensation_that_was_not_begun,
    outcome_told_twice,
    rotation_to_the_thiefs_key,
]


def truncate(copy: Copy) -> str:
    copy.rewrite(copy.entries()[:-30])
    return "truncated: the kept checkpoint"


def truncate_with_the_stolen_log_key(copy: Copy) -> str:
    copy.rewrite(copy.entries()[:-30])
    copy.sign_checkpoints(copy.original.keys.log)
    return "truncated: the kept checkpoint"


def rewrite_with_both_stolen_keys(copy: Copy) -> str:
    entries = copy.entries()
    entries[33] = forged(copy, 33, copy.original.keys.entry)
    copy.rewrite(entries)
    copy.sign_checkpoints(copy.original.keys.log)
    return "the kept checkpoint \\d+: its root is not that of the first \\d+ entries"


def start_anew_with_both_stolen_keys(copy: Copy) -> str:
    record = Record(Kind.BOOT, "00000000-0000-7000-8000-000000000000", "2026-11-22T10:00:00.000Z", {"boot": {}})
    copy.rewrite([seal_entry(record, index, copy.original.keys.entry, dev=False).data for index in range(5)])
    copy.sign_checkpoints(copy.original.keys.log)
    return "truncated: the kept checkpoint"


UNSEEN_FROM_INSIDE: list[Tamper] = [
    truncate,
    truncate_with_the_stolen_log_key,
    rewrite_with_both_stolen_keys,
    start_anew_with_both_stolen_keys,
]
"""Only a checkpoint kept elsewhere shows these."""
