"""The Rego on the page about policies loads, decides as it says, and passes its own tests."""

import asyncio
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.process import PolicyProcess
from gateway.adapters.policy.smoke import smoke_inputs
from gateway.adapters.policy.testing import run_tests
from tests.docs.pages import ROOT, blocks

pytestmark = pytest.mark.anyio

SECONDS = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policies with the files of the page in it."""
    policies = shutil.copytree(default_policies(), tmp_path / "policies")
    samples = blocks("rego")
    assert len(samples) == 6
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
    assert sum(result.package == "sealgate.many_recipients_test" for result in results) == 3


async def test_the_sample_of_settings_has_the_shipped_keys(folder: Path) -> None:
    def keys(path: Path) -> set[str]:
        return set(json.loads(path.read_text())["sealgate"]["settings"])

    assert keys(folder / "data.json") == keys(default_policies() / "data.json")


PAGE = (ROOT / "docs" / "how-to" / "write-policies.md").read_text()


def test_the_page_describes_every_setting_that_the_policies_read() -> None:
    modules = load_bundle(default_policies()).modules.values()
    read = {name for module in modules for name in re.findall(r"\bsettings\.(\w+)", module)}
    table = PAGE.partition("| setting | what it does |")[2].partition("\n\n")[0]
    assert read == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


async def test_the_sample_of_all_settings_is_readable_to_every_concern() -> None:
    (sample,) = [json.loads(block.text) for block in blocks("json") if '"tenants"' in block.text]
    bundle = load_bundle(default_policies())
    settings = {**bundle.data["sealgate"]["settings"], **sample}
    process = await PolicyProcess.start(lambda ended: None)
    try:
        await process.load(replace(bundle, written_data=json.dumps({"sealgate": {"settings": settings}}).encode()), SECONDS)
        process.patience = SECONDS
        for what, document in smoke_inputs():
            answer = await process.ask(b"D", document, asyncio.get_running_loop().time() + SECONDS)
            assert isinstance(answer, bytes), (what, answer)
            assert not [one for one in json.loads(answer)["reasons"] if one["code"].endswith("unreadable")], what
    finally:
        await process.stop()
