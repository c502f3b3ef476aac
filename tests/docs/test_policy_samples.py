"""The Rego on the page about policies loads, decides as it says, and passes its own tests."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.testing import run_tests
from tests.docs.pages import blocks

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policies with the files of the page in it."""
    policies = shutil.copytree(default_policies(), tmp_path / "policies")
    samples = blocks("rego")
    assert len(samples) == 4
    for sample in samples:
        name = sample.text.partition("\n")[0].removeprefix("# ")
        assert name.endswith(".rego")
        (policies / name).write_text(sample.text)
    (settings,) = [block.text for block in blocks("json") if '"egress_allow"' in block.text]
    (policies / "data.json").write_text(settings)
    return policies


async def test_the_samples_load_and_decide_a_call_of_every_mode(folder: Path) -> None:
    await (await start_checked(load_bundle(folder), 5.0)).stop()


async def test_the_samples_pass_their_tests_beside_the_shipped_ones(folder: Path) -> None:
    results = await run_tests(folder)
    assert [result.rule for result in results if not result.passed] == []
    assert sum(result.package == "sealgate.large_refunds_test" for result in results) == 3
    assert sum(result.package == "sealgate.undo_refunds_test" for result in results) == 4


async def test_the_sample_of_settings_has_the_shipped_keys(folder: Path) -> None:
    def keys(path: Path) -> set[str]:
        return set(json.loads(path.read_text())["sealgate"]["settings"])

    assert keys(folder / "data.json") == keys(default_policies() / "data.json")
