"""`*_test.rego` runs on the embedded engine, and fails when it should."""

import subprocess
from pathlib import Path

import pytest

from gateway.adapters.policy.bundle import default_policies
from gateway.adapters.policy.testing import TestResult, run_tests
from gateway.core.errors import ConfigError

pytestmark = pytest.mark.anyio

TESTS = """package sealgate.authz_test

test_true if 1 == 1

test_false := false

test_undefined if input.nothing

test_error if regex.match("[", "a")

test_endless if {
	count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i * j == 7]) > 0
}

test_yes_after_endless if true

todo_test_is_none if false
"""


async def test_the_packaged_policies_pass_their_tests() -> None:
    results = await run_tests(default_policies())
    assert len(results) > 40
    assert [result for result in results if not result.passed] == []


async def test_every_way_to_fail_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text("package sealgate.authz\n\ndecision := {}\n")
    (tmp_path / "authz_test.rego").write_text(TESTS)
    results = {result.rule: result for result in await run_tests(tmp_path, 1.0)}
    assert set(results) == {
        f"test_{name}" for name in ("true", "false", "undefined", "error", "endless", "yes_after_endless")
    }
    assert results["test_true"] == TestResult("sealgate.authz_test", "test_true", passed=True)
    assert results["test_false"] == TestResult("sealgate.authz_test", "test_false", passed=False)
    assert results["test_undefined"] == TestResult("sealgate.authz_test", "test_undefined", passed=False)
    assert "authz_test.rego:9" in str(results["test_error"].error)
    assert "did not end" in str(results["test_endless"].error)
    assert results["test_yes_after_endless"].passed


async def test_a_folder_without_tests_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "authz.rego").write_text("package sealgate.authz\n\ndecision := {}\n")
    with pytest.raises(ConfigError, match="holds no tests"):
        await run_tests(tmp_path)


@pytest.mark.opa
@pytest.mark.parametrize(
    "command", [["check", "--strict"], ["fmt", "--fail", "--list"], ["test"]], ids=lambda words: words[0]
)
def test_a_real_opa_accepts_the_packaged_policies(opa_binary: str, command: list[str]) -> None:
    done = subprocess.run([opa_binary, *command, str(default_policies())], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
