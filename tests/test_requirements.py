"""Every requirement is tied to tests that exist, or planned; never both, never neither."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.requirements import ALL_IDS, PLANNED, TIED

ROOT = Path(__file__).resolve().parents[1]
ID = re.compile(r"\b(?:DC|GW|S[0-2])-\d\d\b")


@cache
def collected_in(path: Path) -> frozenset[str]:
    """Names of the tests that pytest collects from a file."""
    if not path.is_file():
        return frozenset()
    functions = (
        node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


@pytest.mark.parametrize("requirement", sorted(ALL_IDS.keys() | TIED.keys() | PLANNED))
def test_a_requirement_is_known_and_either_tied_or_planned(requirement: str) -> None:
    assert requirement in ALL_IDS, "unknown: give it a line in ALL_IDS"
    assert (requirement in TIED) != (requirement in PLANNED), "tie it to tests or plan it, one of the two"


@pytest.mark.parametrize(("requirement", "tests"), TIED.items(), ids=list(TIED))
def test_a_tied_requirement_names_tests_that_exist(requirement: str, tests: tuple[str, ...]) -> None:
    assert tests
    assert len(set(tests)) == len(tests)
    for test in tests:
        path, _, name = test.partition("::")
        assert Path(path).name.startswith("test_"), f"pytest does not collect {path}"
        assert name in collected_in(ROOT / path), f"{test}: there is no such test"


def test_no_test_names_an_unknown_requirement() -> None:
    files = [path for path in (ROOT / "tests").rglob("*.py") if "node_modules" not in path.parts]
    named = {(path.name, requirement) for path in files for requirement in ID.findall(path.read_text())}
    assert {(name, requirement) for name, requirement in named if requirement not in ALL_IDS} == set()
