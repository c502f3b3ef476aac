"""The published schema and reference are generated from the types, and the schema agrees with what loading says."""

import io
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from gateway.core.errors import ConfigError
from gateway.settings import load_settings
from gateway.settings.load import SMALLEST
from gateway.settings.reference import EXAMPLE, reference_page
from gateway.settings.schema import json_schema, json_schema_text
from tests.settings import test_client_blocks, test_mistakes, test_precedence
from tests.settings.conftest import Write

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
VALID = [
    EXAMPLE,
    SMALLEST,
    "{}",
    "$schema: x",
    test_precedence.FILE,
    test_client_blocks.CLINE,
    test_client_blocks.CURSOR,
    test_client_blocks.CLAUDE_CODE,
    test_client_blocks.CLAUDE_DESKTOP.replace("\t", " "),
]
SPANNING = re.compile(
    r"mcpServers has no|looks the same|has the same|the key .* stands|environment variable|is not a variable|NUL"
    r"|is of another server|no rule makes read_only|unix without peers|neither a user nor a group"
    r"|could name the same principal|has the issuer"
)
"""Mistakes that a schema cannot see."""
BEYOND_PATTERNS = re.compile(
    r"serverUrl|unknown key\. Did you mean \"args\"|~|#fragment|user name|http://|matches no tool|cannot have"
    r"|could be answered by anybody|which no issuer has"
)


def plain(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.StringIO(text))


def test_the_published_schema_is_the_generated_one() -> None:
    """If this fails: sealgate config schema > docs/reference/gateway.schema.json"""
    assert (REFERENCE / "gateway.schema.json").read_text() == json_schema_text()


def test_the_published_reference_is_the_generated_one() -> None:
    """If this fails: sealgate config schema --markdown > docs/reference/configuration.md"""
    assert (REFERENCE / "configuration.md").read_text() == reference_page()


def test_the_schema_is_draft_2020_12_and_describes_every_key() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(schema)
    blocks = [schema, *(block for block in schema["$defs"].values() if "properties" in block)]
    assert len(blocks) == 26
    for block in blocks:
        for key, field in block["properties"].items():
            name = field.get("$ref", "").rpartition("/")[2]
            assert "description" in field or "description" in schema["$defs"][name], key


@pytest.mark.parametrize("text", VALID)
def test_valid_files_pass_schema_and_loading(write: Write, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in ("API_KEY", "TOOLS", "WEB_HOST", "TICKETS_TOKEN", "PLANETS_KEY", "TRAVEL_TOKEN"):
        monkeypatch.setenv(name, "/x")
    jsonschema_rs.validate(json_schema(), plain(text))
    monkeypatch.setenv("WEB_HOST", "x")
    load_settings(write(text))


INVALID = [
    *(f"{text}\n{test_mistakes.SERVERS}" for text, _ in test_mistakes.ONE_LINERS),
    *(f"mcpServers:\n notes: {server}\n" for server, _ in test_mistakes.SERVER_MISTAKES),
    "mcpServers: {'my notes': {command: x}}",
]


@pytest.mark.parametrize("text", INVALID)
def test_what_loading_refuses_the_schema_marks_where_it_can(write: Write, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write(text))
    if SPANNING.search(raised.value.message) or BEYOND_PATTERNS.search(raised.value.message):
        return
    assert not jsonschema_rs.is_valid(json_schema(), plain(text))
