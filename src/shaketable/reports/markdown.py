"""`summary.md`: the matrix, then a sentence for whatever failed; what a pull request or a job page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from shaketable.model.result import Result, ScenarioResult
from shaketable.reports.digest import CellDigest, Said, came_to, digest, headline, one_line
from shaketable.reports.functions_by_cell import Found, degraded_line
from shaketable.reports.locks import BlockedFound, blocked_line

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~$@&])")
_MAX_SENTENCES: Final = 5


def write_summary(
    path: Path, result: Result, functions: Found | None = None, blocked: BlockedFound | None = None
) -> None:
    """Write the file. Raises OSError."""
    path.write_text(summary_markdown(result, functions, blocked), encoding="utf-8")


def summary_markdown(result: Result, functions: Found | None = None, blocked: BlockedFound | None = None) -> str:
    """Make the text of `summary.md`; it names the functions that were degraded, and who blocked others for too long."""
    digests = [(scenario, digest(result, scenario)) for scenario in result.scenarios]
    lines = [f"## shaketable: {headline(result)}", "", *_matrix(digests), "", *_compressed(result)]
    for scenario, cells in digests:
        told = [cell for cell in cells if cell.told]
        for cell in sorted(told, key=lambda cell: cell.status == "passed"):
            also = degraded_line(scenario, cell.cell, functions or {}), blocked_line(scenario, cell.cell, blocked or {})
            lines += [*_cell(scenario, cell, [line for line in also if line]), ""]
    if result.problems:
        lines += ["### Broke off", "", *(f"- {plain(problem)}" for problem in result.problems), ""]
    if result.residue:
        lines += ["### Left behind", ""]
        lines += [f"- {plain(left.what)} {plain(left.where)}: {plain(left.hint)}" for left in result.residue]
        lines += [""]
    engine = result.engine
    where = f"engine {engine.version}, kernel {engine.kernel}, cgroup {engine.cgroup}, {engine.cpus} CPUs"
    lines += [
        f"Run {plain(result.run)}, seed {result.seed}, {result.seconds:.0f} s, lanes {result.lanes}; {plain(where)}."
    ]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Write text on one line so that Markdown shows it as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _matrix(digests: list[tuple[ScenarioResult, list[CellDigest]]]) -> Iterator[str]:
    yield (
        "| scenario | variant | cell | verdict | expected | valid | failed | invalid "
        "| failure rate (95 %) | detection p50/max | recovery p50/max |"
    )
    yield "| --- | --- | --- | --- | --- | --: | --: | --: | --: | --: | --: |"
    for scenario, cells in digests:
        for cell in cells:
            counts = cell.cell.trials
            columns = [
                plain(scenario.name),
                plain(scenario.variant),
                plain(cell.name),
                cell.cell.verdict,
                f"{'✅' if cell.cell.as_expected else '❌'} {plain(cell.cell.expected)}",
                *map(str, (counts.valid, counts.failed, counts.invalid)),
                cell.rate,
                cell.detection,
                cell.recovery,
            ]
            yield f"| {' | '.join(columns)} |"
        said = came_to(scenario.verdict, scenario.expected, scenario.as_expected)
        mark = "✅" if scenario.as_expected else "❌"
        yield f"| {plain(scenario.name)} | {plain(scenario.variant)} | **all** | {mark} {said} {'| ' * 8}".rstrip()


def _compressed(result: Result) -> Iterator[str]:
    """Say beside the matrix's times where time passes faster than life."""
    told = {part.name: part.compression.words for part in result.scenarios if part.compression}
    yield from (f"Times of {plain(name)} are of trials: {plain(words)}.\n" for name, words in told.items())


def _cell(scenario: ScenarioResult, cell: CellDigest, also: Sequence[str]) -> Iterator[str]:
    yield f"### {plain(f'{scenario.name}, {scenario.variant}, {cell.title}')}"
    yield ""
    if not cell.cell.as_expected:
        yield f"- {plain(cell.tally)}"
    for failure in cell.failures:
        yield f"- **{plain(failure.headline)}**"
        yield from _said(failure.sentences)
    for line in also:
        yield f"- {plain(line)}"
    if cell.invalid:
        yield f"- **{cell.cell.trials.invalid} invalid**"
        yield from _said(cell.invalid)


def _said(sentences: tuple[Said, ...]) -> Iterator[str]:
    for said in sentences[:_MAX_SENTENCES]:
        yield f"  - {plain(str(said))}"
    if len(sentences) > _MAX_SENTENCES:
        yield f"  - and {len(sentences) - _MAX_SENTENCES} more, in the report"
