"""Runs `*_test.rego` on the embedded engine, as `opa test` runs them on OPA: a rule `test_…` passes when it is true."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import orjson

from gateway.adapters.policy.bundle import PolicyBundle, load_bundle
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.errors import ConfigError

LOAD_SECONDS = 10.0
TEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test rule. `error` says why it could not be evaluated; a rule that is false or undefined has none."""

    __test__ = False  # pytest: this is no test class

    package: str
    rule: str
    passed: bool
    error: str | None = None


async def run_tests(path: Path, test_seconds: float = TEST_SECONDS) -> list[TestResult]:
    """Run every test of the folder at `path`, each within `test_seconds`, in order of package and rule.

    Raises:
        ConfigError: the folder cannot be loaded, or holds no test.
    """
    bundle = load_bundle(path)
    tested = replace(bundle, modules={**bundle.modules, **bundle.tests})
    rules = await _test_rules(tested)
    if not rules:
        raise ConfigError(f"{path}: holds no tests", hint="Write rules named test_… in files named *_test.rego.")
    remaining = iter(rules)
    results: list[TestResult] = []
    while len(results) < len(rules):  # one process, and a fresh one after a test that had to be killed
        results.extend(await _run(tested, remaining, test_seconds))
    return results


async def _run(tested: PolicyBundle, rules: Iterator[str], seconds: float) -> list[TestResult]:
    """Results of `rules` up to and including the first that ends the process."""
    process = await _loaded(tested)
    process.patience = seconds
    results: list[TestResult] = []
    try:
        while process.fault is None and (rule := next(rules, None)) is not None:
            answer = await process.ask(b"R", rule.encode(), asyncio.get_running_loop().time() + seconds)
            package, _, name = rule.removeprefix("data.").rpartition(".")
            results.append(TestResult(package, name, answer == b"true", _error(answer)))
    finally:
        await process.stop()
    return results


async def _test_rules(tested: PolicyBundle) -> list[str]:
    process = await _loaded(tested)
    try:
        answer = await process.ask(b"T", b"", asyncio.get_running_loop().time() + LOAD_SECONDS)
    finally:
        await process.stop()
    if isinstance(answer, Fault):
        raise ConfigError(f"the tests cannot be listed: {answer.where()}", hint="Correct the policy named above.")
    rules: list[str] = orjson.loads(answer)
    return rules


async def _loaded(tested: PolicyBundle) -> PolicyProcess:
    process = await PolicyProcess.start(lambda ended: None)
    try:
        await process.load(tested, LOAD_SECONDS)
    except BaseException:
        await process.stop()
        raise
    return process


def _error(answer: bytes | Fault) -> str | None:
    if isinstance(answer, Fault) and not answer.cause.endswith("is undefined"):
        return answer.where()
    return None
