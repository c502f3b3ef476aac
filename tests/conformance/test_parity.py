"""When a check counts against the gateway: by made-up runs, for a real one has only the cases that it has."""

import pytest

from tests.conformance.parity import FEWEST_HEADER_CHECKS, FEWEST_PASSED, HEADERS, Comparison, compare
from tests.conformance.report import document, markdown
from tests.conformance.suite import CheckName, Found, Status

MODERN = "2026-07-28"
PASSED = Found(Status.SUCCESS)


def run(*checks: tuple[str, Status], scenario: str = "tools-list") -> dict[CheckName, Found]:
    return {CheckName(scenario, name, name, 1): Found(status, f"{name} says so") for name, status in checks}


def verdict(direct: Status, through: Status, scenario: str = "tools-list") -> bool:
    """Whether one check that ended so in both runs counts against parity."""
    found = compare(MODERN, "http", run(("check", direct), scenario=scenario), run(("check", through), scenario=scenario))
    return bool(found.lacking)


@pytest.mark.parametrize("through", [status for status in Status if status is not Status.SUCCESS])
def test_a_check_that_passes_directly_must_pass_through_the_gateway(through: Status) -> None:
    assert verdict(Status.SUCCESS, through)
    assert not verdict(Status.SUCCESS, Status.SUCCESS)


@pytest.mark.parametrize(
    ("direct", "through", "lacks"),
    [
        (Status.INFO, Status.WARNING, True),
        (Status.INFO, Status.SKIPPED, True),
        (Status.ABSENT, Status.FAILURE, True),
        (Status.SKIPPED, Status.WARNING, True),
        (Status.WARNING, Status.FAILURE, True),
        (Status.INFO, Status.ABSENT, False),
        (Status.SKIPPED, Status.SKIPPED, False),
        (Status.WARNING, Status.SUCCESS, False),
        (Status.FAILURE, Status.FAILURE, False),
    ],
)
def test_warnings_and_skips_count_where_there_are_more_of_them_than_directly(
    direct: Status, through: Status, lacks: bool
) -> None:
    assert verdict(direct, through) is lacks


def test_a_check_that_only_one_run_came_to_is_compared_with_none() -> None:
    direct = run(("kept", Status.SUCCESS), ("lost", Status.SUCCESS))
    through = run(("kept", Status.SUCCESS), ("new", Status.FAILURE))
    assert [pair.check.name for pair in compare(MODERN, "http", direct, through).lacking] == ["lost", "new"]


def test_only_the_tasks_extension_is_excused() -> None:
    assert not verdict(Status.SUCCESS, Status.FAILURE, scenario="tasks-lifecycle")
    assert verdict(Status.SUCCESS, Status.FAILURE, scenario="task-like")


def test_header_validation_must_pass_even_where_it_does_not_directly() -> None:
    assert verdict(Status.FAILURE, Status.FAILURE, scenario=HEADERS)
    assert not verdict(Status.FAILURE, Status.SUCCESS, scenario=HEADERS)


def healthy() -> dict[CheckName, Found]:
    """As many passes as a run of 2026-07-28 must have."""
    passes = {CheckName("tools-list", "a", "a", nth): PASSED for nth in range(1, FEWEST_PASSED[MODERN] + 1)}
    return {**passes, **{CheckName(HEADERS, "h", "h", nth): PASSED for nth in range(1, FEWEST_HEADER_CHECKS + 1)}}


def test_two_broken_runs_are_no_parity() -> None:
    def crooked(checks: dict[CheckName, Found]) -> list[str]:
        return compare(MODERN, "http", checks, checks).crooked()

    assert crooked(healthy()) == []
    assert len(crooked({})) == 2
    assert "tools-list bad is FAILURE directly: bad says so" in crooked({**healthy(), **run(("bad", Status.FAILURE))})
    assert "tools-list bad is WARNING directly: bad says so" in crooked({**healthy(), **run(("bad", Status.WARNING))})
    assert crooked({**healthy(), **run(("bad", Status.FAILURE), scenario="tasks-x")}) == []


def lacking() -> Comparison:
    direct = {**run(("good", Status.SUCCESS), ("bad", Status.SUCCESS)), **run(("task", Status.FAILURE), scenario="tasks-x")}
    return compare(MODERN, "stdio", direct, {**direct, **run(("bad", Status.WARNING))})


def test_the_table_counts_each_run_and_names_what_is_worse() -> None:
    lines = markdown([lacking()]).splitlines()
    assert lines[2] == f"| {MODERN} | stdio | directly | 2 | 0 | 0 | 0 |  |"
    assert lines[3] == f"| {MODERN} | stdio | through Sealgate | 1 | 1 | 0 | 0 | 1 |"
    assert lines[-1] == "* `tools-list` bad: SUCCESS → WARNING: bad says so"


def test_the_document_has_every_check_of_both_runs() -> None:
    told = document([lacking()], {"conformance": "1"})
    assert told["parity"] is False
    (comparison,) = told["comparisons"]
    assert comparison["lacking"] == 1
    assert comparison["excused"] == {"direct": {"FAILURE": 1}, "through": {"FAILURE": 1}}
    rows = {row["name"]: (row["direct"], row["through"]) for row in comparison["checks"]}
    assert rows == {"good": ("SUCCESS", "SUCCESS"), "bad": ("SUCCESS", "WARNING"), "task": ("FAILURE", "FAILURE")}
