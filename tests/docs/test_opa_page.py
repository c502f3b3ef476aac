"""The page about policies tells how to use a real OPA server; a gateway configured so is decided by it."""

import re
import sys

import pytest

from tests.docs.pages import ROOT, blocks
from tests.policy.conftest import OpaServer, opa_binary
from tests.running import ModernClient, free_port, outcome, running, status_of, until

__all__ = ["opa_binary"]


@pytest.mark.opa
def test_a_gateway_with_engine_opa_is_decided_by_the_server_and_denies_without_it(
    opa_binary: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("opa")
    (told,) = [block.text for block in blocks("yaml") if "engine: opa" in block.text]
    server = OpaServer(opa_binary, ROOT / "policies", free_port())
    server.start()
    try:
        config = re.sub(r"http://127\.0\.0\.1:8181", server.url, told) + (
            f"mcpServers: {{notes: {{command: {sys.executable}, args: [{ROOT}/examples/notes.py, {folder}/notes]}}}}\n"
            "tools: [{match: notes__read_note, mode: read_only}, {match: notes__delete_note, mode: destructive}]\n"
        )
        with running(folder, config) as gateway, ModernClient(gateway) as client:
            assert outcome(client.call("notes__read_note", {"name": "welcome"}))["outcome"] == "completed"
            assert outcome(client.call("notes__delete_note", {"name": "welcome"}))["outcome"] == "awaiting_approval"
            assert gateway.json("status")["policy"]["engine"] == "opa"
            server.stop()
            refused = client.call("notes__read_note", {"name": "welcome"})
            assert outcome(refused) == {"outcome": "denied", "reasons": ["policy.error"]}
            until(lambda: status_of(gateway.port, "/readyz") == 503, what="readiness without OPA")
            server.start()
            until(lambda: status_of(gateway.port, "/readyz") == 200, what="readiness with OPA")
            assert outcome(client.call("notes__read_note", {"name": "welcome"}))["outcome"] == "completed"
    finally:
        server.stop()
