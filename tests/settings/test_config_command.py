"""`sealgate config`: schema, validate, show."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.config import app
from gateway.core.errors import ConfigError
from gateway.settings.reference import reference_page
from gateway.settings.schema import json_schema
from tests.settings.conftest import Write
from tests.settings.test_client_blocks import CLINE
from tests.settings.test_precedence import FILE

run = CliRunner().invoke


def test_schema_prints_the_schema_or_the_page() -> None:
    assert json.loads(run(app, ["schema"]).stdout) == json_schema()
    assert run(app, ["schema", "--markdown"]).stdout == reference_page()


def test_validate_says_one_line_and_warns_on_stderr(write: Write) -> None:
    write(FILE)
    result = run(app, ["validate"])
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        "gateway.yaml is valid: 2 upstreams, 2 tool rules\n",
        "",
    )
    result = run(app, ["validate", str(write(CLINE, "other.yaml"))])
    assert result.stdout == "other.yaml is valid: 2 upstreams, 0 tool rules\n"
    assert result.stderr.startswith("warning: other.yaml:2:49: mcpServers.kept.disabled: is a key for clients;")


def test_validate_raises_the_config_error_for_main_to_print(write: Write) -> None:
    result = run(app, ["validate", str(write("tenent: x"))])
    assert isinstance(result.exception, ConfigError)
    assert result.exception.message == 'gateway.yaml:1:1: tenent: unknown key. Did you mean "tenant"?'


def test_show_has_what_the_file_sets_and_effective_has_all(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(FILE)
    monkeypatch.setenv("SEALGATE__LISTEN__PORT", "2000")
    shown = json.loads(run(app, ["show", "--json"]).stdout)
    assert shown["file"] == "gateway.yaml"
    assert shown["settings"]["tenant"] == {"source": "file", "value": "from-file"}
    assert "listen.port" not in shown["settings"]
    shown = json.loads(run(app, ["show", "--effective", "--json"]).stdout)
    assert shown["settings"]["listen.port"] == {"source": "env", "value": 2000}
    assert shown["settings"]["policy.path"] == {"source": "default", "value": None}


def test_show_is_a_table_and_hides_credentials(write: Write) -> None:
    result = run(app, ["show", str(write(FILE)), "--effective"])
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0] == ["key", "value", "source"]
    assert ["listen.host", "10.0.0.1", "file"] in rows
    assert ["approvals.ttl_seconds", "900", "default"] in rows
    assert "abc" not in result.stdout


HOOK = "https://hooks.example.com/services/T000/hunter2"


def test_show_hides_the_path_of_a_webhook(write: Write) -> None:
    path = str(write(f"approvals: {{webhooks: [{{url: '{HOOK}', secret_file: s}}]}}"))
    shown = run(app, ["show", path, "--json"]).stdout
    assert json.loads(shown)["settings"]["approvals.webhooks[0].url"]["value"] == "https://hooks.example.com/(hidden)"
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("http://127.0.0.1:8/x", True),
        ("http://localhost/x", True),
        ("http://[::1]/x", True),
        (HOOK, True),
        (HOOK.replace("https", "http"), False),
        ("http://10.0.0.1/hunter2", False),
        ("http://localhost.example.com/hunter2", False),
        ("hooks.example.com/hunter2", False),
    ],
)
def test_a_webhook_is_https_or_on_this_machine(write: Write, url: str, ok: bool) -> None:
    result = run(app, ["validate", str(write(f"approvals: {{webhooks: [{{url: '{url}', secret_file: s}}]}}"))])
    assert (result.exit_code == 0) is ok
    if not ok:
        assert isinstance(result.exception, ConfigError)
        assert "approvals.webhooks[0].url: this value" in result.exception.message
        assert "hunter2" not in result.exception.message
