"""Somebody with the journal's file has a yes count that does not: the gateway is deceived, and the log tells.

Signatures in the journal are real, and the log is untouched: it is the order of its entries that cannot be.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from gateway.adapters.daemon import DaemonClient
from tests.approvals.people import Person, ask
from tests.approvals.policies import write_policy
from tests.approvals.test_for_run import approve_for_run, wide
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome


@pytest.fixture
def box(alice: Person, tmp_path: Path) -> Iterator[Box]:
    with boxed(tmp_path, f"policy: {{path: {write_policy(tmp_path)}}}\napprovers:\n{alice.listed()}") as box:
        yield box


@contextmanager
def journal(box: Box) -> Iterator[apsw.Connection]:
    """The journal's file, while no gateway runs."""
    box.gateway.stop()
    db = apsw.Connection(str(box.gateway.state / "journal.db"))
    yield db
    db.close()
    box.gateway.start()


def problems(box: Box) -> list[str]:
    """What `log verify` finds; `state check` fails, too."""
    verify, check = box.run("log", "verify"), box.run("state", "check")
    assert (verify.code, check.code) == (6, 6)
    found = [line for line in verify.stderr.splitlines() + verify.stdout.splitlines() if line.startswith("entry ")]
    assert all(problem in check.stdout + check.stderr for problem in found)
    return [problem.partition(": ")[2] for problem in found]


def test_a_call_ran_on_a_yes_that_was_taken_back(box: Box, alice: Person) -> None:
    with ModernClient(box.gateway) as client:
        approval_id = ask(client, "revoked || {}", key="k-1")
        assert alice.answers(box, "approve", approval_id).code == 0
        assert box.run("approvals", "revoke", approval_id).code == 0
        assert box.run("log", "verify").code == 0
        with journal(box) as db:
            db.execute("UPDATE approvals SET state = 'approved' WHERE approval_id = ?", (approval_id,))
            db.execute("UPDATE calls SET state = 'awaiting_approval' WHERE approval_id = ?", (approval_id,))
        assert outcome(client.call("box__drop", {"text": "revoked || {}"}, key="k-1")) == {"outcome": "completed"}
    assert problems(box) == ["an intent without an approval that was given and not used before: its request is void"]


def test_a_call_of_a_run_ran_on_a_yes_that_was_taken_back(box: Box, alice: Person) -> None:
    run = {"run_id": "r-1"}
    with ModernClient(box.gateway) as client:
        approval_id = approve_for_run(box, alice, client, wide("given"), run)
        done = client.call("box__post", {"text": wide("more")}, run=run)
        assert outcome(done) == {"outcome": "completed"}
        db = apsw.Connection(str(box.gateway.state / "journal.db"))  # beside the gateway: a restart forgets such a yes
        db.set_busy_timeout(10_000)
        assert box.run("approvals", "revoke", approval_id).code == 0
        db.execute("UPDATE approvals SET state = 'approved' WHERE approval_id = ?", (approval_id,))
        db.close()
        done = client.call("box__post", {"text": wide("still more")}, run=run)
        assert outcome(done) == {"outcome": "completed"}
    assert problems(box) == ["an intent with an approval that is not for such a call of its run: its request is void"]


def test_one_signature_was_used_for_two_effects(box: Box, alice: Person) -> None:
    with ModernClient(box.gateway) as client:
        approval_id = ask(client, "pay once || {}", key="k-1")
        assert alice.answers(box, "approve", approval_id).code == 0
        pay = ("box__drop", {"text": "pay once || {}"})
        assert outcome(client.call(*pay, key="k-1")) == {"outcome": "completed"}
        (signed,) = [entry.predicate["signed_answer"] for entry in box.entries() if "signed_answer" in entry.predicate]
        with journal(box) as db:
            db.execute("UPDATE approvals SET state = 'pending', answer = NULL")
            db.execute("UPDATE calls SET state = 'awaiting_approval', approval_id = ?", (approval_id,))
        with DaemonClient(box.gateway.state / "control.sock") as daemon:
            daemon.post(f"/api/v1/approvals/{approval_id}/answer", {"envelope": signed})
        assert outcome(client.call(*pay, key="k-1")) == {"outcome": "completed"}
    assert len(box.lines("rows")) == 2
    assert problems(box) == [
        "an approval request that was consumed is approved",
        "an intent without an approval that was given and not used before: its request is consumed",
    ]
