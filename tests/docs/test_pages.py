"""Links lead somewhere, samples are valid, and the pages say nothing of the place they were written at."""

import json
import re
from pathlib import Path

import pytest
from mcp_types import CallToolResult

from gateway.adapters.policy.smoke import smoke_inputs
from gateway.settings import load_settings
from gateway.settings.model import Configuration
from tests.docs.pages import PAGES, ROOT, Block, anchors, blocks, links

NAME = [str(page.relative_to(ROOT)) for page in PAGES]
YAML = [block for block in blocks("yaml") if re.search(rf"^({'|'.join(Configuration.model_fields)}):", block.text, re.M)]
PLACES = re.compile(r"(?<![\w.])/(home|root|Users|work|mnt|workspace)\b|\bTODO\b|\bTBD\b|\bassignment|\bworkplace", re.I)


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_link_leads_to_a_file_and_a_heading_in_it(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside the repository"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading in {target.name}"


@pytest.mark.parametrize("page", PAGES, ids=NAME)
def test_every_page_is_one_topic_without_leftovers(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert PLACES.search(text) is None, PLACES.search(text)


def test_every_page_of_docs_can_be_reached_from_the_index() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "docs" / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if ":" not in link]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= reached


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_yaml_block_is_a_configuration_that_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in re.findall(r"\$\{(\w+)\}", block.text):
        monkeypatch.setenv(variable, "x")
    (tmp_path / "gateway.yaml").write_text(block.text)
    assert load_settings(tmp_path / "gateway.yaml").warnings == ()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_block_is_json(block: Block) -> None:
    json.loads(block.text)


def test_the_sample_of_a_policys_input_has_the_shape_of_a_real_one() -> None:
    (sample,) = [json.loads(block.text) for block in blocks("json") if '"recent_calls"' in block.text]
    real = json.loads(next(document for what, document in smoke_inputs() if what == "a undelegated destructive call"))
    covered = dict(smoke_inputs())["a destructive call with fields in a run that is covered"]
    real["context"] |= {name: sample["context"][name] for name in ("arguments", "fields")}  # each tool's own
    real["context"]["intent"] = json.loads(covered)["context"]["intent"]
    assert _shape(sample) == _shape(real)


def test_the_sample_of_an_undoing_call_has_the_shape_of_a_real_one() -> None:
    (sample,) = [json.loads(block.text) for block in blocks("json") if '"compensates"' in block.text]
    real = json.loads(
        next(document for what, document in smoke_inputs() if what == "a destructive call that undoes another")
    )
    assert _shape(sample) == _shape({"compensates": real["context"]["compensates"]})


def test_the_sample_of_an_answer_is_a_tool_result() -> None:
    (sample,) = [json.loads(block.text) for block in blocks("json") if '"dev.sealgate/receipt"' in block.text]
    assert CallToolResult.model_validate(sample).is_error


def _shape(value: object) -> object:
    return {key: _shape(item) for key, item in value.items()} if isinstance(value, dict) else None
