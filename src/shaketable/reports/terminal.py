"""The verdict matrix on a terminal, 80 columns wide, then sentences for whatever failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shaketable.model.result import Result, ScenarioResult
from shaketable.reports.digest import CellDigest, Said, digest, grouped, headline, one_line
from shaketable.reports.functions_by_cell import Found, degraded_line

_STYLES: Final = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_EXPECTATIONS: Final = 3
_SENTENCES: Final = 3


def show_matrix(result: Result, console: Console, report: Path | None = None, functions: Found | None = None) -> None:
    """Print the matrix, the grouped sentences of all that failed, which functions suffered, and where the report is."""
    digests = [(scenario, digest(result, scenario)) for scenario in result.scenarios]
    yes, no = ("✓", "✗") if console.encoding.lower().startswith("utf") else ("yes", "NO")
    for name in dict.fromkeys(scenario.name for scenario in result.scenarios):
        table = _table(name)
        for scenario, cells in digests:
            if scenario.name == name:
                _variant(table, scenario, cells, (yes, no))
        console.print(table)
        for words in dict.fromkeys(s.compression.words for s in result.scenarios if s.name == name and s.compression):
            console.print(Text(one_line(words), "dim"))
        console.print()
    unexpected_first = sorted(
        (
            (scenario, cell)
            for scenario, cells in digests
            for cell in cells
            if cell.failures or not cell.cell.as_expected
        ),
        key=lambda pair: pair[1].cell.as_expected,
    )
    for scenario, cell in unexpected_first:
        _sentences(console, scenario, cell, degraded_line(scenario, cell.cell, functions or {}))
    _invalid(console, [(scenario, cell) for scenario, cells in digests for cell in cells if cell.invalid])
    style = "green" if result.proved or (result.proved is None and result.verdict == "pass") else "bold red"
    console.print(Text(f"{headline(result)}, seed {result.seed}, {result.seconds:.0f} s", style))
    if report is not None:
        console.print(Text(f"report: {report}"), soft_wrap=True)


def _table(name: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(Text(one_line(name)), overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("exp.", no_wrap=True, justify="center")
    table.add_column("valid/\nfailed/\ninvalid", no_wrap=True, justify="right")
    table.add_column("failure rate\n(95 %)", no_wrap=True, justify="right")
    table.add_column("detection\np50/max", no_wrap=True, justify="right")
    table.add_column("recovery\np50/max", no_wrap=True, justify="right")
    return table


def _variant(table: Table, scenario: ScenarioResult, cells: list[CellDigest], marks: tuple[str, str]) -> None:
    """Add a line for the variant as a whole, and one for each cell below it."""
    counts = [cell.cell.trials for cell in cells]
    table.add_row(
        Text(one_line(scenario.variant), "bold"),
        Text(scenario.verdict, f"bold {_STYLES[scenario.verdict]}"),
        _mark(marks, as_expected=scenario.as_expected),
        "/".join(str(sum(part)) for part in zip(*((c.valid, c.failed, c.invalid) for c in counts), strict=True)),
    )
    for cell in cells:
        trials = cell.cell.trials
        table.add_row(
            Text(f"  {cell.name}"),
            Text(cell.cell.verdict, _STYLES[cell.cell.verdict]),
            _mark(marks, as_expected=cell.cell.as_expected),
            f"{trials.valid}/{trials.failed}/{trials.invalid}",
            cell.rate,
            cell.detection,
            cell.recovery,
        )


def _mark(marks: tuple[str, str], *, as_expected: bool) -> Text:
    return Text(marks[0], "green") if as_expected else Text(marks[1], "bold red")


def _sentences(console: Console, scenario: ScenarioResult, cell: CellDigest, degraded: str) -> None:
    """Print what failed in one cell, and which functions were degraded; in brief if that was expected."""
    style = "bold" if cell.cell.as_expected else "bold red"
    console.print(Text(f"{scenario.variant}, {cell.title}", style))
    if not cell.cell.as_expected:
        _print(console, cell.tally, 2)
    failures = cell.failures[:_EXPECTATIONS] if cell.cell.as_expected else cell.failures
    for failure in failures:
        _print(console, failure.headline, 2)
        for line in _brief(failure.sentences):
            _print(console, line, 4)
    if len(failures) < len(cell.failures):
        others = ", ".join(failure.expectation for failure in cell.failures[len(failures) :])
        _print(console, f"also failed: {others}", 2)
    if degraded:
        _print(console, degraded, 2)
    console.print()


def _invalid(console: Console, cells: list[tuple[ScenarioResult, CellDigest]]) -> None:
    """Print why trials proved nothing, over all cells."""
    if not cells:
        return
    count = sum(cell.cell.trials.invalid for _, cell in cells)
    console.print(Text(f"invalid trials: {count}", "bold yellow"))
    reasons = [reason for _, cell in cells for trial in cell.trials for reason in trial.invalid_because]
    for line in _brief(grouped(reasons) or cells[0][1].invalid):
        _print(console, line, 2)
    console.print()


def _brief(sentences: tuple[Said, ...]) -> Iterator[str]:
    yield from map(str, sentences[:_SENTENCES])
    if len(sentences) > _SENTENCES:
        yield f"and {len(sentences) - _SENTENCES} more, in the report"


def _print(console: Console, text: str, indent: int) -> None:
    console.print(Padding(Text(text), (0, 0, 0, indent), expand=False))
