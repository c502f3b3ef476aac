"""What someone with the file may do to the tables beside the log; each tells how the problem must begin.

None of it changes the log, so `log verify` is content; most of it would let an effect run a second time.
"""

from collections.abc import Callable
from typing import Any

from gateway.core.entry import Kind, Record, open_entry
from tests.store.full_log import Copy
from tests.store.tampering import event, signed_anew

Tamper = Callable[[Copy], str]

_ANY = "SELECT envelope_id FROM calls WHERE state = ? AND reservation NOT LIKE '%:%:%' ORDER BY envelope_id LIMIT 1 OFFSET ?"


def one(copy: Copy, state: str = "completed", offset: int = 3) -> str:
    """The envelope of a call in this state."""
    return value(copy, _ANY, state, offset)


def value(copy: Copy, query: str, *values: Any) -> str:
    found = copy.db.execute(query, values).get
    assert isinstance(found, str), query
    return found


def set_state(copy: Copy, envelope: str, state: str) -> None:
    copy.db.execute("UPDATE calls SET state = ? WHERE envelope_id = ?", (state, envelope))


def completed_set_back_to_failed(copy: Copy) -> str:
    envelope = one(copy)
    set_state(copy, envelope, "failed")
    return f"call {envelope}: stands as failed, and the log says completed"


def completed_set_back_to_released(copy: Copy) -> str:
    envelope = one(copy)
    set_state(copy, envelope, "released")
    return f"call {envelope}: stands as released, and the log says completed"


def doubt_ended_without_a_verdict(copy: Copy) -> str:
    envelope = one(copy, "in_doubt")
    set_state(copy, envelope, "failed")
    return f"call {envelope}: stands as failed, and the log says in_doubt"


def failed_made_completed(copy: Copy) -> str:
    envelope = one(copy, "failed")
    set_state(copy, envelope, "completed")
    return f"call {envelope}: stands as completed, and the log says failed"


def row_deleted(copy: Copy) -> str:
    envelope = one(copy)
    copy.db.execute("DELETE FROM calls WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: the log says completed, and no row keeps its key"


def all_rows_deleted(copy: Copy) -> str:
    copy.db.execute("DELETE FROM calls")
    return "call .*: the log says completed, and no row keeps its key"


def key_renamed(copy: Copy) -> str:
    envelope = one(copy)
    copy.db.execute("UPDATE calls SET reservation = reservation || '0' WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: stands under another key"


def key_freed_as_if_its_time_were_over(copy: Copy) -> str:
    envelope = one(copy)
    copy.db.execute("UPDATE calls SET reservation = reservation || ':' || envelope_id WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: the log says completed, and no row keeps its key"


def reservation_pointed_to_another_envelope(copy: Copy) -> str:
    envelope, other = one(copy), one(copy, offset=4)
    copy.db.execute("UPDATE calls SET envelope_id = ? WHERE envelope_id = ?", (other, envelope))
    return f"call {envelope}: the log says completed, and no row keeps its key"


def reservations_swapped(copy: Copy) -> str:
    envelope, other = one(copy), one(copy, offset=4)
    first, second = (value(copy, "SELECT reservation FROM calls WHERE envelope_id = ?", each) for each in (envelope, other))
    for reservation, each in (("aside", envelope), (first, other), (second, envelope)):
        copy.db.execute("UPDATE calls SET reservation = ? WHERE envelope_id = ?", (reservation, each))
    return f"call {envelope}: stands under another key"


def row_put_over_anothers(copy: Copy) -> str:
    envelope, other = one(copy), one(copy, offset=4)
    first = value(copy, "SELECT reservation FROM calls WHERE envelope_id = ?", envelope)
    copy.db.execute("DELETE FROM calls WHERE envelope_id = ?", (envelope,))
    copy.db.execute("UPDATE calls SET reservation = ? WHERE envelope_id = ?", (first, other))
    return f"call {other}: stands under another key"


def call_digest_changed(copy: Copy) -> str:
    envelope = one(copy)
    copy.db.execute("UPDATE calls SET call_digest = 'hmac-sha256:00' WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: stands as another call"


def derived_key_made_older(copy: Copy) -> str:
    envelope = value(copy, "SELECT max(envelope_id) FROM calls WHERE capability_id LIKE '%derived%'")
    copy.db.execute("UPDATE calls SET updated_at = '2000-01-01T00:00:00.000Z' WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: stands with the time 2000"


def made_to_wait_for_a_used_approval(copy: Copy) -> str:
    used = value(copy, "SELECT approval_id FROM approvals WHERE state = 'consumed' LIMIT 1")
    envelope = one(copy)
    copy.db.execute(
        "UPDATE calls SET state = 'awaiting_approval', approval_id = ?, envelope_id = ? WHERE envelope_id = ?",
        (used, "00000000-0000-7000-8000-00000000beef", envelope),
    )
    return "call 00000000-0000-7000-8000-00000000beef: waits for an approval that the log says is consumed"


def invented_row(copy: Copy) -> str:
    copy.db.execute(
        "INSERT INTO calls (reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject,"
        " principal_chain, fence, updated_at) VALUES ('r', 'completed', 'e', 'f', 'd', 'c', 's', '[]', 1, '2026')"
    )
    return "call e: stands as completed, and the log has no such call"


def approval_made_fresh(copy: Copy) -> str:
    copy.db.execute("UPDATE approvals SET state = 'approved' WHERE state = 'consumed'")
    return "approval .*: stands as approved, and the log says consumed"


def expired_question_reopened(copy: Copy) -> str:
    copy.db.execute("UPDATE approvals SET state = 'pending' WHERE state = 'expired'")
    return "approval .*: stands as pending, and the log says expired"


def question_given_more_time(copy: Copy) -> str:
    copy.db.execute("UPDATE approvals SET expires_at = '2099-01-01T00:00:00.000Z'")
    return "approval .*: asks for something else"


def question_put_to_another_person(copy: Copy) -> str:
    copy.db.execute("UPDATE approvals SET request = json_set(request, '$.required_approver', 'user:mallory')")
    return "approval .*: asks for something else"


def question_made_one_about_undoing(copy: Copy) -> str:
    link = '{"envelope_id": "another"}'
    copy.db.execute("UPDATE approvals SET request = json_set(request, '$.compensates', json(?))", (link,))
    return "approval .*: asks for something else"


def question_deleted(copy: Copy) -> str:
    copy.db.execute("DELETE FROM approvals WHERE state = 'consumed'")
    return "approval .*: the log has it, and its row is gone"


def tile_changed(copy: Copy) -> str:
    copy.db.execute("UPDATE tiles SET hashes = zeroblob(length(hashes)) WHERE level = 0")
    return "tile/0/000: is not the tile"


def tile_deleted(copy: Copy) -> str:
    copy.db.execute("DELETE FROM tiles WHERE level = 0")
    return "tile/0/000: is not the tile"


def tile_added(copy: Copy) -> str:
    copy.db.execute("INSERT INTO tiles VALUES (7, 0, zeroblob(32))")
    return "tiles: there are"


def frontier_changed(copy: Copy) -> str:
    copy.db.execute("UPDATE head SET frontier = zeroblob(length(frontier))")
    return "the stored head: its frontier"


def anchor_of_no_checkpoint(copy: Copy) -> str:
    copy.db.execute("INSERT INTO anchors VALUES (99999, 'cosignature', 'w', '2026', x'00')")
    return "anchors: there is one for 99999"


def effect_done_again(copy: Copy) -> str:
    """With both stolen keys: the call runs a second time, and the log and the rows tell it without a contradiction."""
    keys = copy.original.keys.trusted().by_id()
    opened = [open_entry(data, keys) for data in copy.entries()]
    first = next(
        said.id
        for said in opened
        if said.kind is Kind.INTENT
        and said.predicate["policy"]["effect"] == "allow"
        and copy.db.execute("SELECT state FROM calls WHERE envelope_id = ?", (said.id,)).get == "completed"
    )
    again = "00000000-0000-7000-8000-00000000beef"
    records = []
    for said in opened:
        if said.id == first:
            body = {name: part for name, part in said.predicate.items() if name not in ("dev", "id", "index", "kind")}
            records.append(Record(said.kind, again, str(body.pop("recorded_at")), body))
    signed_anew(copy, *records)
    copy.db.execute("UPDATE calls SET envelope_id = ? WHERE envelope_id = ?", (again, first))
    return f"call {again}: began under the key of call {first}, which was completed"


def undone_twice(copy: Copy) -> str:
    """With both stolen keys: the call that undoes it runs a second time."""
    envelope = one(copy)
    records = []
    for number in (1, 2):
        allowed: dict[str, object] = {"policy": {"effect": "allow"}}
        begun = event(Kind.INTENT, allowed, number)
        links = [{"compensation": {"of": envelope, "by": begun.id, "event": at}} for at in ("started", "completed")]
        end = event(Kind.OUTCOME, {**allowed, "result": {"status": "completed", "is_error": False}}, number)
        started, completed = (event(Kind.COMPENSATION, dict(link), 8) for link in links)
        records += [begun, started, end, completed]
    signed_anew(copy, *records)
    set_state(copy, envelope, "compensated")
    return f"call {envelope}: the log says compensating after compensated"


def undone_by_another_call(copy: Copy) -> str:
    envelope = one(copy)
    copy.db.execute("UPDATE calls SET compensated_by = 'another' WHERE envelope_id = ?", (envelope,))
    return f"call {envelope}: stands as undone by another, and the log says None"


def policies_told_by_an_older_entry(copy: Copy) -> str:
    copy.db.execute("UPDATE meta SET value = 1 WHERE key = 'policy_told'")
    return "meta: entry 1 is marked as what tells the policies last, and the log says [0-9]+"


def policies_told_by_no_entry(copy: Copy) -> str:
    copy.db.execute("DELETE FROM meta WHERE key = 'policy_told'")
    return "meta: entry None is marked as what tells the policies last, and the log says [0-9]+"


def run_made_clean(copy: Copy) -> str:
    copy.db.execute("UPDATE flows SET tainted_at = NULL")
    return "run hmac-sha256:[0-9a-f]+: stands as clean, and the log says that it has an untrusted result"


def taint_made_older(copy: Copy) -> str:
    copy.db.execute("UPDATE flows SET tainted_at = '2000-01-01T00:00:00.000Z'")
    return "run hmac-sha256:[0-9a-f]+: stands as tainted at 2000.*: its taint ends too soon"


def run_forgotten(copy: Copy) -> str:
    copy.db.execute("DELETE FROM flows")
    return "run hmac-sha256:[0-9a-f]+: the log tells what it read, did or is for, and its row is gone"


def effect_taken_back(copy: Copy) -> str:
    copy.db.execute("UPDATE flows SET effects = effects - 1")
    return "run hmac-sha256:[0-9a-f]+: stands with [0-9]+ effects, and the log says [0-9]+"


def effects_made_no_number(copy: Copy) -> str:
    copy.db.execute("UPDATE flows SET effects = 'many'")
    return "run hmac-sha256:[0-9a-f]+: stands with many effects"


TAMPERS: list[Tamper] = [
    run_made_clean,
    taint_made_older,
    run_forgotten,
    effect_taken_back,
    effects_made_no_number,
    policies_told_by_an_older_entry,
    policies_told_by_no_entry,
    undone_by_another_call,
    undone_twice,
    effect_done_again,
    completed_set_back_to_failed,
    completed_set_back_to_released,
    doubt_ended_without_a_verdict,
    failed_made_completed,
    row_deleted,
    all_rows_deleted,
    key_renamed,
    key_freed_as_if_its_time_were_over,
    reservation_pointed_to_another_envelope,
    reservations_swapped,
    row_put_over_anothers,
    call_digest_changed,
    derived_key_made_older,
    made_to_wait_for_a_used_approval,
    invented_row,
    approval_made_fresh,
    expired_question_reopened,
    question_given_more_time,
    question_put_to_another_person,
    question_made_one_about_undoing,
    question_deleted,
    tile_changed,
    tile_deleted,
    tile_added,
    frontier_changed,
    anchor_of_no_checkpoint,
]
