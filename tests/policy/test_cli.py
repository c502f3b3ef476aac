"""`sealgate policy check | test | eval`, as a person meets them."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from gateway.adapters.policy.smoke import smoke_inputs
from gateway.cli.policy import app
from gateway.core.errors import ConfigError, GatewayError

POLICY = 'package sealgate.authz\n\ndecision := {"effect": "deny", "reasons": [], "obligations": {}}\n'
COMPLETE_READ = dict(smoke_inputs())["a complete read_only call"]


def test_check_is_quiet_when_the_policies_are_right() -> None:
    result = CliRunner().invoke(app, ["check"])
    assert (result.exit_code, result.output) == (0, "")


def test_check_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text(POLICY + "\nx := := 1\n")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert isinstance(result.exception, ConfigError)
    assert "authz.rego:5: expecting expression" in result.exception.message
    assert result.exception.exit_code == 2


def test_test_prints_the_count() -> None:
    result = CliRunner().invoke(app, ["test"])
    assert result.exit_code == 0
    assert result.output.strip().endswith("passed, 0 failed")


def test_test_prints_failures_and_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text(POLICY)
    (tmp_path / "authz_test.rego").write_text("package sealgate.authz_test\n\ntest_a if false\n\ntest_b if true\n")
    result = CliRunner().invoke(app, ["test", str(tmp_path)])
    assert result.exit_code == 1
    assert result.output == "FAIL sealgate.authz_test.test_a: not true\n1 passed, 1 failed\n"


@pytest.mark.parametrize("where", ["file", "standard input"])
def test_eval_prints_the_decision_document(tmp_path: Path, where: str) -> None:
    (tmp_path / "input.json").write_bytes(COMPLETE_READ)
    source = str(tmp_path / "input.json") if where == "file" else "-"
    result = CliRunner().invoke(app, ["eval", "--input", source], input=COMPLETE_READ)
    assert result.exit_code == 0
    assert orjson.loads(result.output) == {
        "effect": "allow",
        "reasons": [{"code": "read_only.allowed", "message": "Reading is allowed."}],
        "obligations": {},
    }


def test_eval_of_something_that_is_no_json_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{\n"a" 1}')
    result = CliRunner().invoke(app, ["eval", "--input", str(tmp_path / "input.json")])
    assert isinstance(result.exception, ConfigError)
    assert "input.json:2" in result.exception.message


def test_eval_without_a_decision_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text(POLICY.replace("}\n", '} if input.resource.id == "smoke__test"\n'))
    result = CliRunner().invoke(app, ["eval", "--input", "-", str(tmp_path)], input=b"{}")
    assert isinstance(result.exception, GatewayError)
    assert "undefined" in result.exception.message
