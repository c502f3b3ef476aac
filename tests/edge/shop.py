"""A gateway in front of `ledger.py`: its calls are lost after a second, can be looked up and undone."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.edge.box import Box
from tests.running import ModernClient, RunningGateway, outcome

CONFIG = """
mcpServers:
  ledger: {{command: "{python}", args: ["-m", "tests.edge.ledger", "{folder}"]}}
upstreams:
  ledger: {{deadline_seconds: 1, breaker_failures: 0}}
tools:
  - {{match: [ledger__status, ledger__blind_status], mode: read_only, trust: trusted}}
  - {{match: [ledger__pay, ledger__refund], mode: local_write, trust: trusted, reconcile: ledger__status}}
  - {{match: ledger__book, mode: local_write, trust: trusted}}
  - {{match: ledger__kept_status, mode: read_only, trust: trusted, idempotency: derived}}
  - {{match: ledger__charge, mode: local_write, trust: trusted, reconcile: ledger__kept_status}}
"""


@contextmanager
def shop_in(folder: Path, more: str = "") -> Iterator[Box]:
    """A running shop with all its tools approved; at the end it must not have stumbled, and its log must verify.

    `more` is added to gateway.yaml.
    """
    (folder / "ledger").mkdir()
    (folder / "ledger" / "rows").touch()
    gateway = RunningGateway(folder)
    gateway.configure(CONFIG.format(python=sys.executable, folder=folder / "ledger") + more)
    with gateway:
        shop = Box(gateway, folder / "ledger")
        said = shop.run("tools", "approve", "--all", "--yes")
        assert said.code == 0, said
        yield shop
        shop.assert_sound()


def receipt(response: dict[str, Any]) -> dict[str, Any]:
    """The receipt of a tools/call response."""
    found: dict[str, Any] = response["result"]["_meta"]["dev.sealgate/receipt"]
    return found


def envelope_of(response: dict[str, Any]) -> str:
    """The envelope id of a tools/call response."""
    return str(receipt(response)["envelope_id"])


def lose(client: ModernClient, order: str, tool: str = "ledger__pay", **meta: Any) -> str:
    """Make a call whose answer never comes; its envelope id, now in doubt."""
    response = client.call(tool, {"order": order}, key=order, **meta)
    assert outcome(response) == {"outcome": "in_doubt", "reasons": ["upstream.timeout"]}, response
    return envelope_of(response)
