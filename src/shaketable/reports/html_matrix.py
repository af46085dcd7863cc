"""The verdict matrix: variants down, modes across; for the page, and as a small picture of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from shaketable.model.result import Cell, Result, ScenarioResult, Trial
from shaketable.model.units import show_share
from shaketable.reports.digest import came_to, cell_name, digest, headline, one_line
from shaketable.reports.functions_by_cell import Found, in_cell
from shaketable.reports.html_words import tally

MARKS: Final = {"pass": "✓", "fail": "✕", "inconclusive": "?"}
OUTCOME_MARKS: Final = {"pass": "✓", "fail": "✕", "invalid": "∅"}


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell in words; `low`, `high` and `rate` are percent of the width of its bar."""

    name: str
    verdict: str
    mark: str
    expected: str
    as_expected: bool
    tally: str
    invalid: int
    low: float
    high: float
    rate: float | None
    interval: str
    detection: str
    recovery: str
    degraded: Mapping[str, str]
    """For each function of the matrix in how many trials it was degraded, and for how long; empty if nothing is known."""
    failure: str
    """Link to its first trial that failed, or that was invalid where none did; may be empty."""
    example: str
    """Link to its first trial that passed; may be empty."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One variant."""

    variant: str
    said: str
    verdict: str
    as_expected: bool
    cells: tuple[MatrixCell | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """All variants of one scenario; `axis` names what the columns are."""

    scenario: str
    axis: str
    columns: tuple[str, ...]
    functions: tuple[str, ...]
    """Names of the requests, if trials were recorded."""
    rows: tuple[MatrixRow, ...]


def matrices(result: Result, link: Callable[[ScenarioResult, Trial], str], functions: Found) -> list[Matrix]:
    """Make a matrix for each scenario; `link` gives the address of a trial on the page, empty if it is not there."""
    found = []
    for name in dict.fromkeys(part.name for part in result.scenarios):
        parts = [part for part in result.scenarios if part.name == name]
        columns = tuple(dict.fromkeys(cell_name(cell.axis) for part in parts for cell in part.cells))
        axes = dict.fromkeys(axis for part in parts for cell in part.cells for axis in cell.axis)
        named = sorted({f.name for part in parts for cell in part.cells for f in in_cell(part, cell, functions)})
        rows = tuple(_row(result, part, columns, link, functions) for part in parts)
        found.append(Matrix(name, ", ".join(axes), columns, tuple(named), rows))
    return found


def _row(
    result: Result,
    part: ScenarioResult,
    columns: Sequence[str],
    link: Callable[[ScenarioResult, Trial], str],
    functions: Found,
) -> MatrixRow:
    cells: dict[str, MatrixCell] = {}
    for told in digest(result, part):
        cell = told.cell
        links = {t.outcome: link(part, t) for t in reversed(told.trials) if link(part, t)}
        cells[cell_name(cell.axis)] = MatrixCell(
            name=told.name,
            verdict=cell.verdict,
            mark=MARKS[cell.verdict],
            expected=expected_words(cell.expected),
            as_expected=cell.as_expected,
            tally=tally(cell),
            invalid=cell.trials.invalid,
            low=cell.interval95[0] * 100,
            high=cell.interval95[1] * 100,
            rate=None if cell.failure_rate is None else cell.failure_rate * 100,
            interval=interval_words(cell),
            detection=told.detection,
            recovery=told.recovery,
            degraded={f.name: str(f) for f in in_cell(part, cell, functions)},
            failure=links.get("fail", links.get("invalid", "")),
            example=links.get("pass", ""),
        )
    said = came_to(part.verdict, part.expected, part.as_expected)
    if not part.as_expected and part.verdict == part.expected:
        said = f"{part.verdict}, but not in each cell as expected"
    return MatrixRow(part.variant, said, part.verdict, part.as_expected, tuple(map(cells.get, columns)))


def expected_words(expected: str) -> str:
    """Say what a cell should give."""
    return (
        "either will do"
        if expected == "any"
        else f"expected {one_line(expected)}".replace(" to ", "..").replace(" %", "\xa0%")
    )


def interval_words(cell: Cell) -> str:
    """Write the exact 95 % interval of the failure rate: `23..68 %`."""
    low, high = (show_share(round(share, 3)).removesuffix(" %") for share in cell.interval95)
    return f"{low}..{high}\xa0%"


_W, _H, _LEFT, _TOP, _GAP = 132, 74, 128, 74, 8
_STYLE: Final = """
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;fill:#1b2430;font-size:12px}
.paper{fill:#fff;stroke:#d5dbe3}.title{font-size:17px;font-weight:650}.soft{fill:#586473}.head{font-weight:600;font-size:13px}
.verdict{font-weight:700;font-size:15px}.box{stroke-width:1.5}
.track{fill:#000;opacity:.12}.odd{stroke-width:3;stroke-dasharray:6 4}
.pass .box{fill:#e3f4ee;stroke:#0a7d62}.pass .verdict{fill:#07604b}.pass .range{fill:#0a7d62}
.fail .box{fill:#fdebdf;stroke:#c2500a}.fail .verdict{fill:#9a3d05}.fail .range{fill:#c2500a}
.inconclusive .box{fill:#eff1f4;stroke:#7a8696}.inconclusive .verdict{fill:#4b5767}.inconclusive .range{fill:#7a8696}
@media(prefers-color-scheme:dark){text{fill:#e6ebf0}.paper{fill:#161c23;stroke:#36414d}.soft{fill:#a3b0be}.track{fill:#fff;opacity:.16}
.pass .box{fill:#12352c;stroke:#35c79f}.pass .verdict{fill:#6fe0bf}.pass .range{fill:#35c79f}
.fail .box{fill:#43240f;stroke:#f08a4b}.fail .verdict{fill:#ffb07d}.fail .range{fill:#f08a4b}
.inconclusive .box{fill:#262f39;stroke:#8e9bab}.inconclusive .verdict{fill:#c3ccd6}.inconclusive .range{fill:#8e9bab}}
"""


def render_matrix_svg(result: Result) -> str:
    """Draw the matrix as one small SVG that stands alone, light or dark as the reader's page is."""
    tables = matrices(result, lambda *_: "", {})
    width = _LEFT + max([len(table.columns) for table in tables], default=1) * (_W + _GAP) + 16
    parts, y = [], 0
    for table in tables:
        parts.append(_text(20, y + 58, f"{table.scenario} by {table.axis}" if table.axis else table.scenario, "soft"))
        parts += [_text(_LEFT + n * (_W + _GAP) + 12, y + 58, name, "head") for n, name in enumerate(table.columns)]
        for row in table.rows:
            top = y + _TOP
            parts.append(_text(20, top + 32, row.variant, "head"))
            parts.append(_text(20, top + 50, ("✓ as expected" if row.as_expected else "✕ unexpected"), "soft"))
            parts += [_box(_LEFT + n * (_W + _GAP), top, cell) for n, cell in enumerate(row.cells) if cell is not None]
            y += _H + _GAP
        y += 40
    height = y + 40
    title = f"shaketable: {headline(result)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>'
        f'<rect class="paper" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>'
        f"{_text(20, 32, title, 'title')}{''.join(parts)}</svg>\n"
    )


def _text(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(one_line(text))}</text>'


def _box(x: int, y: int, cell: MatrixCell) -> str:
    """Draw one cell: verdict, counts, and the interval as a bar over 0..100 %; dashed where it is not as expected."""
    bar, left = _W - 24, x + 12
    low, high = (left + bar * share / 100 for share in (cell.low, cell.high))
    return (
        f'<g class="{cell.verdict}"><rect class="box{"" if cell.as_expected else " odd"}" x="{x}" y="{y}" '
        f'width="{_W}" height="{_H}" rx="7"/>'
        f"{_text(left, y + 22, f'{cell.mark} {cell.verdict}', 'verdict')}{_text(left, y + 41, cell.tally, 'plain')}"
        f'<rect class="track" x="{left}" y="{y + 50}" width="{bar}" height="4" rx="2"/>'
        f'<rect class="range" x="{low:.1f}" y="{y + 50}" width="{max(2.0, high - low):.1f}" height="4" rx="2"/>'
        f"{_text(left, y + 67, f'95 %: {cell.interval}', 'soft')}</g>"
    )
