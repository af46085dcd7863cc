"""What a finished campaign shows and leaves: the matrix, the reports, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from shaketable.checks.verdict import exit_code
from shaketable.model.errors import Exit, UsageError
from shaketable.model.history import TrialHistory
from shaketable.model.result import Result
from shaketable.model.scenario import Scenario
from shaketable.reports.functions_by_cell import functions_found
from shaketable.reports.github import write_github
from shaketable.reports.html import write_report
from shaketable.reports.incident_choice import chosen
from shaketable.reports.incident_words import as_markdown, as_text, status_report
from shaketable.reports.junit import write_junit
from shaketable.reports.locks import blocked_found
from shaketable.reports.markdown import write_summary
from shaketable.reports.terminal import show_matrix
from shaketable.run.campaign import Finished
from shaketable.run.loader import LoadedScenario
from shaketable.run.prepare import read_record

__all__ = ["exit_code", "present", "show_matrix", "status_reports", "write_reports"]


def write_reports(
    folder: Path, result: Result, histories: Sequence[TrialHistory], scenarios: Mapping[str, Scenario]
) -> Path:
    """Write report.html, junit.xml and summary.md into the run's folder; the report's path."""
    report = folder / "report.html"
    write_report(report, result, histories, scenarios)
    write_junit(folder / "junit.xml", result)
    write_summary(folder / "summary.md", result, functions_found(histories), blocked_found(histories, scenarios))
    write_github(result)
    return report


def status_reports(folder: Path, index: int | None = None, *, markdown: bool = False) -> str:
    """Tell a stored run, also one that was killed, as incidents: its trials of this number, or those that stand for it.

    Raises UsageError when there is no such trial.
    """
    record = read_record(folder)
    told = chosen(record.histories, record.scenarios, index)
    if not told:
        numbers = sorted({history.index for history in record.histories})
        there = f"there are {', '.join(map(str, numbers))}" if numbers else "no trial of it was over"
        what = "holds no trial" if index is None else f"holds no trial {index}"
        raise UsageError(f"{folder} {what}: {there}")
    write = as_markdown if markdown else as_text
    return "\n\n".join(write(status_report(one.history, one.scenario, one.trial, one.why)) for one in told)


def present(finished: Finished, scenarios: Sequence[LoadedScenario], console: Console) -> Exit:
    """Show the matrix and where the report is; the exit code."""
    result = finished.result
    report = write_reports(
        finished.folder, result, finished.histories, {loaded.scenario.name: loaded.scenario for loaded in scenarios}
    )
    show_matrix(result, console, functions=functions_found(finished.histories))
    for problem in result.problems:
        console.print(f"broke off: {problem}", style="yellow", markup=False, highlight=False)
    for residue in result.residue:
        console.print(f"left behind: {residue.what} {residue.where}; {residue.hint}", style="red", markup=False)
    console.print(f"report: {report}", soft_wrap=True, highlight=False)
    return exit_code(result)
