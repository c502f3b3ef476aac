"""What a function's hints become, and that a call's arguments are taken as they are or not at all."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.schema import ArgumentSchema
from gateway.core.seed import DECLARED
from gateway.functions.module import FunctionTool, load_module, tools_of
from gateway.functions.signature import Unusable
from sealgate import tool
from tests.functions.modules import written

Load = Callable[[str], dict[str, FunctionTool]]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Takes the text of a module, gives its tools."""
    path, modules = list(sys.path), set(sys.modules)
    yield lambda text: dict(tools_of(load_module(written(tmp_path, text))))
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_hints_docstring_and_decorator_become_the_definition(load: Load) -> None:
    text = '''
@tool(mode="network", owner="mail", trust="trusted", idempotency="required", egress=["mail.example"])
def send(to: str, urgent: bool = False, copies: int | None = None) -> dict[str, int]:
    """Send a mail.

    At once.
    """
    return {}
'''
    definition = load(text)["send"].definition
    assert definition["description"] == "Send a mail.\n\nAt once."
    assert definition["inputSchema"] == {
        "type": "object",
        "properties": {
            "to": {"type": "string"},
            "urgent": {"type": "boolean", "default": False},
            "copies": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["to"],
        "additionalProperties": False,
    }
    assert definition["outputSchema"] == {"type": "object", "additionalProperties": {"type": "integer"}}
    assert definition["annotations"] == {"readOnlyHint": False, "destructiveHint": False}
    said = {"mode": "network", "owner": "mail", "trust": "trusted", "idempotency": "required", "egress": ["mail.example"]}
    assert definition["_meta"] == {DECLARED: said}


def test_names_that_pydantic_uses_itself_are_good_names(load: Load) -> None:
    hints = "copy: int, schema: str, model_config: bool, _hidden: int = 1"
    text = f'@tool(mode="read_only")\ndef look({hints}) -> str:\n  return ""\n'
    one = load(text)["look"]
    assert list(one.definition["inputSchema"]["properties"]) == ["copy", "schema", "model_config", "_hidden"]
    given = {"copy": 1, "schema": "s", "model_config": True}
    assert one.signature.read(given) == given
    ArgumentSchema(one.definition["inputSchema"])


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        ("int", "1"),
        ("int", 1.5),
        ("int", True),
        ("str", 1),
        ("bool", 1),
        ("bool", "true"),
        ("float", "1.5"),
        ("list[int]", ["1"]),
        ("dict[str, int]", {"a": "1"}),
        ("str", None),
    ],
)
def test_a_value_of_another_type_is_refused_not_turned_into_it(load: Load, hint: str, value: Any) -> None:
    one = load(f'@tool(mode="read_only")\ndef look(value: {hint}) -> str:\n  return ""\n')["look"]
    with pytest.raises(ValidationError):
        one.signature.read({"value": value})
    assert ArgumentSchema(one.definition["inputSchema"]).problems({"value": value})


@pytest.mark.parametrize("arguments", [{}, {"value": 1, "more": 1}])
def test_an_argument_too_few_or_too_many_is_refused(load: Load, arguments: dict[str, Any]) -> None:
    one = load('@tool(mode="read_only")\ndef look(value: int) -> str:\n  return ""\n')["look"]
    with pytest.raises(ValidationError):
        one.signature.read(arguments)
    assert ArgumentSchema(one.definition["inputSchema"]).problems(arguments)


def test_what_json_has_not_comes_in_its_usual_form(load: Load) -> None:
    text = (
        "from datetime import date\nfrom uuid import UUID\n"
        '@tool(mode="read_only")\ndef look(day: date, of: UUID, at: tuple[int, int], share: float) -> str:\n  return ""\n'
    )
    one = load(text)["look"]
    read = one.signature.read({"day": "2026-11-30", "of": "0" * 32, "at": [1, 2], "share": 1})
    assert (str(read["day"]), read["of"].int, read["at"], read["share"]) == ("2026-11-30", 0, (1, 2), 1.0)


def test_a_default_is_the_functions_own(load: Load) -> None:
    one = load('@tool(mode="read_only")\ndef look(many: int = 3) -> int:\n  return many\n')["look"]
    assert one.signature.read({}) == {}
    assert one.function(**one.signature.read({})) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("def f(x) -> str: ...", "x has no type hint"),
        ("def f(*many: int) -> str: ...", "cannot be given by name"),
        ("def f(**many: int) -> str: ...", "cannot be given by name"),
        ("def f(x: int, /) -> str: ...", "cannot be given by name"),
        ("def f(x: 'Nothing') -> str: ...", "type hints cannot be read"),
        ("def f(x: type(lambda: 1)) -> str: ...", "no JSON Schema"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_told_and_none_is_passed_over(load: Load, text: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        load(f'@tool(mode="read_only")\n{text}')


def test_two_tools_of_one_name_are_a_mistake(load: Load) -> None:
    text = "\n".join(f"@tool(mode='network', name='same')\ndef {name}() -> str: ..." for name in "fg")
    with pytest.raises(Unusable, match="two tools are called same"):
        load(text)


def test_a_module_without_tools_is_a_mistake(load: Load) -> None:
    with pytest.raises(Unusable, match="no function marked"):
        load("def price() -> int:\n  return 1\n")


@pytest.mark.parametrize("mode", ["", "harmless", "READ_ONLY", None])
def test_a_mode_that_there_is_not_is_told_where_it_is_written(mode: Any) -> None:
    with pytest.raises(TypeError, match="mode is one of"):
        tool(mode=mode)


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    def double(number: int) -> int:
        return 2 * number

    assert tool(mode="read_only")(double) is double
    assert double(2) == 4
