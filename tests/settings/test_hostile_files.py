"""Whatever bytes a file holds, loading ends soon: with settings, or with a ConfigError."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import ConfigError
from gateway.settings import load_settings
from gateway.settings.yaml_source import MAX_BYTES, Unreadable, parse_document
from tests.settings.conftest import Told, Write

KEYS = st.sampled_from(
    ["listen", "port", "tools", "match", "mode", "mcpServers", "notes", "command", "args", "env", "url", "type", "<<", ""]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["network", "sse"])
DOCUMENTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
YAML_PIECES = st.sampled_from(
    [
        "a",
        ": ",
        "- ",
        "\n",
        "  ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "!!str ",
        "|",
        ">",
        "'",
        '"',
        "#",
        "%YAML 1.1\n",
        "---\n",
        "...\n",
        "? ",
        "<<",
        "\t",
        "\\UFFFFFFFF",
        "\\ud800",
        "\0",
        "\x85",
        "\ufeff",
        "tools",
        "9" * 30,
        ".inf",
        "~",
    ]
)
SOUP = st.lists(YAML_PIECES, max_size=40).map("".join)


def load_bytes(data: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"gateway{suffix}"
        path.write_bytes(data)
        try:
            load_settings(path).digest()
        except ConfigError as error:
            assert error.message  # noqa: PT017 — either way is right; a message without text is not
            assert error.hint  # noqa: PT017


@settings(max_examples=300, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | SOUP.map(lambda text: text.encode(errors="replace")), st.sampled_from([".yaml", ".json"]))
def test_no_bytes_raise_anything_but_a_config_error(data: bytes, suffix: str) -> None:
    load_bytes(data, suffix)


@settings(max_examples=200, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS)
def test_no_document_raises_anything_but_a_config_error(document: Any) -> None:
    load_bytes(json.dumps(document).encode(), ".json")


@settings(max_examples=200, deadline=10_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "<<"), DOCUMENTS), st.sampled_from([None, "\t"]))
def test_json_is_read_as_json_means_it(document: dict[str, Any], indent: str | None) -> None:
    text = json.dumps(document, indent=indent, allow_nan=False) if _finite(document) else "{}"
    try:
        parsed = parse_document(text.encode(), tabs=True)
    except Unreadable as error:
        assert "number is too long" in str(error) or "merge keys" in str(error)  # noqa: PT017
        return
    assert parsed is not None
    assert parsed.root.plain() == json.loads(text)


def _finite(document: Any) -> bool:
    return not any(word in json.dumps(document) for word in ("NaN", "Infinity"))


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAUGHS, "gateway.yaml:5:10: more than 20000 values, aliases counted each time they are used."),
        ("[" * 100_000, "gateway.yaml:1:1: the line is longer than 65536 characters. Break it."),
        ("[\n" * 100_000, "gateway.yaml:65:1: nested deeper than 64 levels."),
        ("- " * 1000, "gateway.yaml:1:129: nested deeper than 64 levels."),
        ("!" * (1 << 20), "gateway.yaml:1:1: the line is longer than 65536 characters. Break it."),
        ("- a\n" * 30_000, "gateway.yaml:20000:3: more than 20000 values, aliases counted each time they are used."),
        ("#" * (MAX_BYTES + 1), f"gateway.yaml:1:1: the file is larger than {MAX_BYTES} bytes."),
        ("a: &a [*a]", "gateway.yaml:1:8: no value above is marked &a."),
        ("a: *b", "gateway.yaml:1:4: no value above is marked &b."),
        ("a: !!python/object:os.system x", "gateway.yaml:1:4: tags such as !this are not used here. Remove it."),
        ("a: &a {}\n<<: *a", "gateway.yaml:2:1: merge keys (<<) are not part of YAML 1.2. Repeat the values."),
        ("? [a]\n: b", "gateway.yaml:1:3: a key must be plain text."),
        ("a: 1\n---\nb: 1", "gateway.yaml:2:1: a second document starts here. Write one document in a file."),
        ("a: 1\n\tb: 2", "gateway.yaml:2:1: a tab cannot stand here in YAML. Use spaces."),
        (
            "a: b: c",
            'gateway.yaml:1:5: not YAML: a ":" stands where none can. '
            'Put text that holds ": " in quotes, and check the indentation.',
        ),
        ("a: [1, 2", "gateway.yaml:1:9: not YAML: expected ',' or ']', but got '<stream end>'."),
        ("a: 1\nb: \0", "gateway.yaml:2:4: this character is not allowed in YAML. Remove it."),
        ("a: " + "9" * 5000, "gateway.yaml:1:4: this number is too long. Put it in quotes if it is text."),
        ('a: "\\ud800"', "gateway.yaml:1:4: half of a surrogate pair is no character. Write the character itself."),
    ],
)
def test_a_file_that_costs_too_much_or_is_no_yaml_is_refused(told: Told, text: str, expected: str) -> None:
    assert told(text) == [expected]


def test_bytes_that_are_no_text_are_told_with_their_place(write: Write) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(write("tenant: x\nstate: é".encode("latin-1")))
    assert raised.value.message == "gateway.yaml:2:8: this byte is not UTF-8. Save the file as UTF-8."


def test_anchors_work_and_a_mistake_is_told_where_it_stands(write: Write, told: Told) -> None:
    text = "mcpServers:\n  a: &x {command: y}\n  b: *x\nlisten: &p {port: 70000}\n"
    assert told(text) == ["gateway.yaml:4:19: listen.port: 70000 is out of range. Write a number from 0 to 65535."]
    assert len(load_settings(write(text.replace("70000", "7000"))).upstream_specs()) == 2


def test_yaml_1_2_words_are_text(write: Write) -> None:
    settings_ = load_settings(write("\ufefftenant: no\nmcpServers: {on: {command: yes, args: [2026-01-01, 1:30, 0o1x]}}\n"))
    assert settings_.configuration.tenant == "no"
    assert settings_.configuration.mcpServers["on"].args == ("2026-01-01", "1:30", "0o1x")
