"""Results live for the time that gateway.yaml says; that a call was done is remembered for as long as the log."""

from pathlib import Path

import apsw

from tests.edge.box import boxed
from tests.running import ModernClient, outcome, text, until

TWO_YEARS_AGO = "01935800-0000"
"""The first 48 bits of a UUIDv7 of November 2024: the time it was made."""


def test_a_result_older_than_it_is_kept_is_gone_and_its_call_does_not_run_again(tmp_path: Path) -> None:
    journal = tmp_path / ".sealgate" / "journal.db"
    with boxed(tmp_path, "retention: {results_days: 1}") as box:
        with ModernClient(box.gateway) as client:
            for name in ("old", "young"):
                client.call("box__add_row", {"text": name}, key=name)
        box.gateway.stop()
        db = apsw.Connection(str(journal))
        (old,) = db.execute("SELECT min(envelope_id) FROM calls WHERE state = 'completed'").fetchone() or ("",)
        for table in ("calls", "evidence"):
            aged = f"UPDATE {table} SET envelope_id = ? || substr(envelope_id, 14) WHERE envelope_id = ?"  # noqa: S608
            db.execute(aged, (TWO_YEARS_AGO, old))
            assert db.changes() == 1
        box.gateway.start()
        until(lambda: db.execute("SELECT count(*) FROM evidence").get == 1, what="the old result's end")
        db.close()
        with ModernClient(box.gateway) as client:
            gone = client.call("box__add_row", {"text": "old"}, key="old")
            kept = client.call("box__add_row", {"text": "young"}, key="young")
        assert outcome(gone) == {"outcome": "conflict", "reasons": ["idempotency.result_gone"]}
        assert "its result is no longer kept" in text(gone)
        assert outcome(kept) == {"outcome": "replayed"}
        assert sorted(box.lines("rows")) == ["add_row old", "add_row young"]
        assert box.faults() == []
