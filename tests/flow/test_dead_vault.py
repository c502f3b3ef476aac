"""While no key can be made to seal values with, calls are denied as ever, and nothing that would have an effect runs."""

from pathlib import Path

import apsw

from tests.flow.mail import mailing, reasons
from tests.running import outcome

TO_ANN = {"to": "ann@example.com", "text": "hello", "amount": 1}


def test_a_denial_is_told_and_recorded_and_nothing_is_sent(tmp_path: Path) -> None:
    with mailing(tmp_path) as mail:
        vault = apsw.Connection(str(mail.gateway.state / "vault.db"))
        vault.execute("CREATE TRIGGER f BEFORE INSERT ON subject_keys BEGIN SELECT raise(FAIL, 'the disk is full'); END")
        denied = mail.call("probe", TO_ANN, "job")
        assert outcome(denied) == {"outcome": "denied", "reasons": ["test.told"]}
        assert mail.entry(denied)["policy"]["input_kept"] is False
        failed = mail.call("send", TO_ANN, "job")
        assert "result" not in failed
        assert mail.sent() == []
        vault.execute("DROP TRIGGER f")
        vault.close()
        assert outcome(mail.call("send", TO_ANN, "job"))["outcome"] == "completed"
        assert "input_kept" not in mail.entry(mail.call("probe", TO_ANN, "job"))["policy"]
        assert len(mail.sent()) == 1
        assert reasons(mail.call("probe", TO_ANN, "job")) == ["test.told"]
