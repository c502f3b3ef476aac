"""State that lived: doubts, verdicts, undoing and erasure, then checked, backed up without values, restored."""

from pathlib import Path

import pytest

from tests.edge.shop import envelope_of, lose, shop_in
from tests.running import ModernClient, outcome
from tests.state.states import predicates

pytestmark = pytest.mark.long


def test_a_state_with_every_end_passes_its_check_and_comes_back_without_values(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    copy = tmp_path / "copy"
    with shop_in(folder) as shop, ModernClient(shop.gateway) as client:
        paid = envelope_of(client.call("ledger__pay", {"order": "undone"}, key="undone"))
        client.call("ledger__refund", {"order": "undone"}, key="refund", compensates=paid)
        for order, verdict in (("hang-done", "completed"), ("hang-not", "failed")):
            lost = lose(client, order)
            assert shop.run("runs", "resolve", lost, "--as", verdict, "--reason", "looked").code == 0
        lose(client, "hang-open")
        client.call("ledger__pay", {"order": "kept"}, key="kept")
        erased = shop.run("log", "erase", "--subject", who(shop.gateway.state), "--reason", "asked for", "--yes")
        assert erased.code == 0, erased
        client.call("ledger__pay", {"order": "later"}, key="later")
        assert shop.run("state", "check").code == 0
        assert shop.run("state", "backup", str(copy), "--without-vault", "--with-keys").code == 0
        before = shop.lines("rows")
    shop.gateway.state.rename(tmp_path / "lost")
    assert shop.run("state", "restore", str(copy), "--reason", "a test", "--yes").code == 0
    with shop.gateway, ModernClient(shop.gateway) as client:
        for order in ("undone", "hang-done", "hang-open", "kept", "later"):
            assert outcome(client.call("ledger__pay", {"order": order}, key=order))["outcome"] != "completed", order
        assert shop.run("state", "check").code == 0
        assert shop.run("log", "verify").code == 0
    assert shop.lines("rows") == before, "what was done is not done again, though its result is not kept"


def who(state: Path) -> str:
    """Whose values are stored: the development user."""
    run = next(said["run"] for said in predicates(state / "journal.db") if said.get("run"))
    return f"{run['tenant_id']}/{run['principal_chain'][0]}"
