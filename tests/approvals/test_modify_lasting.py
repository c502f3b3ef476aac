"""A changed call outlives a restart, but not its time, an erasure, other policies, or a file that somebody changed."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.adapters.clock import SystemClock
from gateway.core.errors import GatewayError
from tests.approvals.people import Person
from tests.approvals.till import Desk, asks, instead_of, meta, modify, paid, pay, signed, till
from tests.edge.box import Box, Said
from tests.running import ModernClient, outcome, text, until

MADE: dict[str, Any] = {"to": ["ann"], "amount": 5000}
CHANGED = {**MADE, "amount": 200}


@contextmanager
def opened(box: Box) -> Iterator[apsw.Connection]:
    """The journal, as somebody with the file opens it."""
    with closing(apsw.Connection(str(box.gateway.state / "journal.db"))) as db:
        db.set_busy_timeout(10_000)
        yield db


def checked(box: Box) -> Said:
    return box.run("state", "check")


def test_a_restart_between_the_change_and_the_retry_loses_nothing(alice: Person, tmp_path: Path) -> None:
    with till(tmp_path, [alice]) as box:
        with ModernClient(box.gateway) as client:
            approval_id = asks(client, MADE, key="k")
            assert modify(box, alice, approval_id, "--only-change", amount=200).code == 0
        box.gateway.kill()
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            changed_id = asks(client, MADE, key="k")
            assert changed_id == instead_of(box, approval_id)
            assert alice.answers(box, "approve", changed_id).code == 0
        box.gateway.kill()
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            assert outcome(pay(client, MADE, key="k"))["outcome"] == "completed"
        box.gateway.kill()
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            again = pay(client, MADE, key="k")
            assert (outcome(again)["outcome"], meta(again, "modified")["pointers"]) == ("replayed", ["/amount"])
        assert paid(box) == [CHANGED]
        assert box.verified().problems == []
        assert checked(box).code == 0


def test_a_changed_call_keeps_the_time_of_the_one_that_was_made(alice: Person, tmp_path: Path) -> None:
    with till(tmp_path, [alice], "approvals: {ttl_seconds: 3}\n") as box, ModernClient(box.gateway) as client:
        late, desk = asks(client, {**MADE, "note": "late"}), Desk(box)
        asked, instead = desk.shown(late)["request"], desk.offered(late, {"/amount": 200})["request"]
        approval_id = asks(client, MADE)
        expires_at = box.json("approvals", "show", approval_id)["request"]["expires_at"]
        assert modify(box, alice, approval_id, amount=200).code == 0
        changed_id = instead_of(box, approval_id)
        assert box.json("approvals", "show", changed_id)["request"]["expires_at"] == expires_at
        until(lambda: SystemClock().now() > expires_at, what="the expiry")
        with pytest.raises(GatewayError) as too_late:
            desk.answered(late, signed(alice, asked, instead))
        assert too_late.value.code in ("approval.expired", "approval.already_answered")
        desk.close()
        refused = pay(client, MADE)
        assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.expired"]}
        anew = asks(client, MADE)
        assert anew not in (approval_id, changed_id)
        until(lambda: box.json("approvals", "show", anew)["state"] == "expired", what="the expiry")
        assert "error[approval.already_answered]" in modify(box, alice, anew, amount=200).stderr
        assert paid(box) == []
        assert box.verified().problems == []


def test_what_was_changed_is_erased_with_its_subject(alice: Person, tmp_path: Path) -> None:
    with till(tmp_path, [alice]) as box, ModernClient(box.gateway) as client:
        waiting = asks(client, {**MADE, "note": "waits"}, key="waits")
        approved = asks(client, {**MADE, "note": "approved"}, key="approved")
        assert modify(box, alice, waiting, "--only-change", amount=200).code == 0
        assert modify(box, alice, approved, amount=200).code == 0
        waiting_now, approved_now = instead_of(box, waiting), instead_of(box, approved)
        offered, desk = asks(client, {**MADE, "note": "offered"}), Desk(box)
        asked, instead = desk.shown(offered)["request"], desk.offered(offered, {"/amount": 200})["request"]
        subject = "default/" + box.json("approvals", "show", waiting)["request"]["principal_chain"][0]
        said = box.run("log", "erase", "--subject", subject, "--reason", "asked for", "--yes")
        assert said.code == 0, said
        with pytest.raises(GatewayError) as forgotten:
            desk.answered(offered, signed(alice, asked, instead))
        assert forgotten.value.code == "approval.not_offered"
        desk.close()
        for one in (waiting, approved, waiting_now, approved_now, offered):
            assert box.json("approvals", "show", one)["arguments"] is None
        assert box.json("approvals", "show", waiting_now)["state"] == "void"
        refused = pay(client, {**MADE, "note": "approved"}, key="approved")
        assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.change_gone"]}
        assert "kept no more" in text(refused)
        assert asks(client, {**MADE, "note": "waits"}, key="waits") not in (waiting, waiting_now)
        assert paid(box) == []
        assert box.verified().problems == []
        assert checked(box).code == 0


def _other_arguments(db: apsw.Connection, was: str, now: str) -> None:
    """The stored arguments of the changed call are those of the call that was made."""
    db.execute(
        "UPDATE evidence SET arguments = (SELECT arguments FROM evidence WHERE envelope_id = ?) WHERE envelope_id = ?",
        (was, now),
    )


def _back(db: apsw.Connection, was: str, now: str) -> None:
    """The call waits for its first request again, which is said to be approved by the answers to the second."""
    db.execute("UPDATE calls SET approval_id = ? WHERE approval_id = ?", (was, now))
    db.execute(
        "UPDATE approvals SET state = 'approved', answer = (SELECT answer FROM approvals WHERE approval_id = ?)"
        " WHERE approval_id = ?",
        (now, was),
    )


def _no_link(db: apsw.Connection, was: str, now: str) -> None:
    """The second request is said to be one about the call that was made."""
    document = json.loads(str(db.execute("SELECT request FROM approvals WHERE approval_id = ?", (now,)).get))
    other = json.loads(str(db.execute("SELECT request FROM approvals WHERE approval_id = ?", (was,)).get))
    document |= {"call_digest": other["call_digest"]}
    del document["modified_from"]
    db.execute("UPDATE approvals SET request = ? WHERE approval_id = ?", (json.dumps(document), now))


def _still_pending(db: apsw.Connection, was: str, now: str) -> None:
    """The first request waits as if nobody had answered it."""
    db.execute("UPDATE approvals SET state = 'pending', answer = NULL WHERE approval_id = ?", (was,))


@pytest.mark.long
@pytest.mark.parametrize("tamper", [_other_arguments, _back, _no_link, _still_pending])
def test_a_changed_file_runs_nothing_else_and_is_noticed(alice: Person, tmp_path: Path, tamper: Any) -> None:
    with till(tmp_path, [alice]) as box, ModernClient(box.gateway) as client:
        approval_id = asks(client, MADE)
        assert modify(box, alice, approval_id, amount=200).code == 0
        assert checked(box).code == 0
        with opened(box) as db:
            tamper(db, approval_id, instead_of(box, approval_id))
        assert checked(box).code != 0
        box.gateway.stop()
        box.gateway.start()
        with ModernClient(box.gateway) as again:
            for _ in range(3):
                again.call("box__pay", MADE)
        assert MADE not in paid(box)
        assert paid(box) in ([], [CHANGED])


def test_the_second_request_under_other_policies_is_asked_anew_about_the_changed_call(alice: Person, tmp_path: Path) -> None:
    with till(tmp_path, [alice]) as box, ModernClient(box.gateway) as client:
        approval_id = asks(client, MADE)
        assert modify(box, alice, approval_id, amount=200).code == 0
        changed_id = instead_of(box, approval_id)
        policy = tmp_path / "policies" / "authz.rego"
        before = box.json("status")["policy"]["revision"]
        policy.write_text(policy.read_text() + "\n# stricter\n")
        until(lambda: box.json("status")["policy"]["revision"] != before, what="the new policies")
        anew = asks(client, MADE)
        assert anew not in (approval_id, changed_id)
        assert box.json("approvals", "show", changed_id)["state"] == "void"
        shown = box.json("approvals", "show", anew)
        assert (shown["arguments"], shown["request"]["modified_from"]) == (CHANGED, changed_id)
        assert asks(client, MADE) == anew
        assert alice.answers(box, "approve", anew).code == 0
        done = pay(client, MADE)
        assert (outcome(done)["outcome"], meta(done, "modified")["pointers"]) == ("completed", ["/amount"])
        assert paid(box) == [CHANGED]
        assert box.verified().problems == []
        assert checked(box).code == 0
