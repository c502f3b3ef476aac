"""`sealgate approvals rule` where a real OPA server decides: of a folder that is named, and it says what it cannot know."""

import shutil
from pathlib import Path

import pytest

from gateway.adapters.policy.bundle import default_policies
from tests.approvals.rules import desk
from tests.policy.conftest import OpaServer
from tests.running import free_port


@pytest.mark.opa
def test_the_folder_is_named_and_the_rule_is_for_it(opa_binary: str, tmp_path: Path) -> None:
    policies = shutil.copytree(default_policies(), tmp_path / "served")
    server = OpaServer(opa_binary, policies, free_port())
    server.start()
    try:
        with desk(tmp_path, policy=f"policy: {{engine: opa, opa_url: '{server.url}'}}") as running:
            approval_id = running.ask("send", {"to": "served.example.org"})
            said = running.rule(approval_id)
            assert (said.code, "an OPA server decides" in said.stderr) == (2, True)
            told = running.told(approval_id, "--policies", str(policies))
            assert '["served.example.org", "api.example.com"]' in told["diff"]
            assert "an OPA server decides" in told["warnings"][0]
    finally:
        server.stop()
