"""What someone with the file, and perhaps with stolen keys, may do to a log; each tells how the problem must begin."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.dsse import Signer
from gateway.core.entry import Kind, Record, open_entry, seal_entry
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
