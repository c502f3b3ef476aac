"""The measurements as Markdown tables. Each figure is the median of the rounds, with the least and the greatest of them."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from bench.breakdown import Breakdown
from bench.cells import Cell
from bench.contenders import DIRECT, NAIVE

_HEAD = (
    "path",
    "CPU µs/call",
    "with helper",
    "p50 ms",
    "p99 ms",
    "calls/s",
    "CPU ×direct",
    "CPU ×naive",
    "p50 ×direct",
    "p50 ×naive",
)


def result_tables(cells: Sequence[Cell]) -> str:
    """One table for each era and concurrency. Ratios are made within a round, where conditions are alike."""
    tables = []
    for era, concurrency in dict.fromkeys((cell.era, cell.concurrency) for cell in cells):
        chosen = [cell for cell in cells if (cell.era, cell.concurrency) == (era, concurrency)]
        rows = [_row(name, chosen) for name in dict.fromkeys(cell.contender for cell in chosen)]
        tables.append(f"### {era} era, {concurrency} at a time\n\n{table(_HEAD, rows)}")
    return "\n\n".join(tables)


def failure_report(cells: Sequence[Cell], breakdowns: Sequence[Breakdown]) -> str:
    """How many calls were made, and what failed."""
    told: list[Cell | Breakdown] = [*cells, *breakdowns]
    calls, failures = sum(one.calls for one in told), sum(one.failures for one in told)
    if not failures:
        return f"{calls} calls, every one answered with the expected echo."
    lines = [
        f"- {one.contender}: {one.failures} of {one.calls + one.failures}, first {one.first_failure}"
        for one in told
        if one.failures
    ]
    return "\n".join([f"**{failures} of {calls + failures} calls failed; the figures are not to be trusted.**", *lines])


def breakdown_tables(breakdowns: Sequence[Breakdown]) -> str:
    """For each kind of call, its parts, and who spent the CPU time."""
    tables = []
    for one in breakdowns:
        rows = [[part.name, _us(part.wall_us), _us(part.cpu_us)] for part in (*one.parts, one.total)]
        parts = table(("part", "wall µs", "event loop CPU µs"), rows)
        spent = [[name, _us(value)] for name, value in one.threads.items()]
        threads = table(("CPU time of", "µs/call"), [*spent, ["all", _us(sum(one.threads.values()))]])
        tables.append(f"### {one.contender}, {one.calls} calls\n\n{parts}\n\n{threads}")
    return "\n\n".join(tables)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, the first to the left and the others to the right."""
    rows = list(rows)
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join([first, *others])} |"

    rule = ["-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _row(name: str, cells: Sequence[Cell]) -> list[str]:
    own = {cell.round: cell for cell in cells if cell.contender == name}

    def spread(figure: Callable[[Cell], float], digits: int) -> str:
        return spread_of([figure(cell) for cell in own.values()], digits)

    def ratio(other: str, figure: Callable[[Cell], float], digits: int) -> str:
        others = {cell.round: cell for cell in cells if cell.contender == other}
        return spread_of([figure(cell) / figure(others[number]) for number, cell in own.items() if number in others], digits)

    return [
        name,
        spread(lambda cell: cell.cpu_us, 0),
        spread(lambda cell: cell.cpu_all_us, 0),
        spread(lambda cell: cell.p50_ms, 2),
        spread(lambda cell: cell.p99_ms, 2),
        spread(lambda cell: cell.calls_per_second, 0),
        ratio(DIRECT, lambda cell: cell.cpu_all_us, 1),
        ratio(NAIVE, lambda cell: cell.cpu_all_us, 2),
        ratio(DIRECT, lambda cell: cell.p50_ms, 1),
        ratio(NAIVE, lambda cell: cell.p50_ms, 2),
    ]


def spread_of(figures: Sequence[float], digits: int) -> str:
    """The median, and behind it the least and the greatest."""
    if not figures:
        return "-"
    middle = f"{median(figures):.{digits}f}"
    return middle if len(figures) == 1 else f"{middle} ({min(figures):.{digits}f}–{max(figures):.{digits}f})"


def _us(value: float) -> str:
    return f"{value:.0f}"
