"""GitHub Actions: an annotation for each cell that is red, and the summary on the job's page."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TextIO

from shaketable.model.result import Result
from shaketable.reports.digest import CellDigest, came_to, digest, headline, indented, one_line, status
from shaketable.reports.markdown import summary_markdown

_LIMIT: Final = 10
"""GitHub shows ten annotations of a kind for each step and drops the rest without a word."""
_SUMMARY_BYTES: Final = 1000 * 1000
"""GitHub refuses a step summary above 1 MiB as a whole."""


def write_github(
    result: Result,
    *,
    files: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    out: TextIO | None = None,
) -> None:
    """Write annotations to `out` and append the summary to the job's, if this runs in GitHub Actions; else do nothing.

    `files` maps a scenario's name to its path in the repository. A summary that cannot be written is a warning.
    """
    environ = os.environ if environ is None else environ
    out = sys.stdout if out is None else out
    if environ.get("GITHUB_ACTIONS") != "true":
        return
    for line in workflow_commands(result, files or {}):
        out.write(f"{line}\n")
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(path).open("a", encoding="utf-8") as summary:
                text = summary_markdown(result).encode()[:_SUMMARY_BYTES].decode(errors="ignore")
                summary.write(text if text.endswith("\n") else f"{text}\n")
        except OSError as error:
            out.write(f"::warning::{_data(f'the job summary {path} could not be written: {error.strerror}')}\n")
    out.flush()


def workflow_commands(result: Result, files: Mapping[str, str]) -> list[str]:
    """Make the workflow commands: errors for what is red, warnings for trials that proved nothing."""
    errors = list(_errors(result, files))
    warnings = [
        _command("warning", files.get(scenario.name), f"{scenario.name} {scenario.variant} {cell.name}", lines)
        for scenario in result.scenarios
        for cell in digest(result, scenario)
        if cell.status == "passed" and cell.invalid
        for lines in [[f"{cell.cell.trials.invalid} invalid", *map(str, cell.invalid)]]
    ]
    return [*_limited("error", errors), *_limited("warning", warnings)]


def _errors(result: Result, files: Mapping[str, str]) -> Iterator[str]:
    for scenario in result.scenarios:
        file, name = files.get(scenario.name), f"{scenario.name} {scenario.variant}"
        red = [cell for cell in digest(result, scenario) if cell.status != "passed"]
        for cell in red:
            yield _command("error", file, f"{name} {cell.title}", _lines(cell))
        if not red and status(result, scenario.verdict, as_expected=scenario.as_expected) != "passed":
            said = came_to(scenario.verdict, scenario.expected, scenario.as_expected)
            yield _command("error", file, f"{name}: {said}", [f"{name} came out as {said}"])
    if result.problems:
        yield _command("error", None, "broke off", list(result.problems))
    if result.residue:
        left = [f"{residue.what} {residue.where}: {residue.hint}" for residue in result.residue]
        yield _command("error", None, "left behind", left)
    if result.interrupted:
        yield _command("error", None, headline(result), ["interrupted before all trials were run"])


def _lines(cell: CellDigest) -> list[str]:
    return cell.sentences or [cell.tally]


def _limited(kind: str, commands: list[str]) -> list[str]:
    if len(commands) <= _LIMIT:
        return commands
    rest = f"{len(commands) - _LIMIT + 1} more in the job summary"
    return [*commands[: _LIMIT - 1], _command(kind, None, "and more", [rest])]


def _command(kind: str, file: str | None, title: str, lines: list[str]) -> str:
    where = f"file={_property(one_line(file))}," if file else ""
    message = "\n".join(indented(line) for line in lines)
    return f"::{kind} {where}title={_property(one_line(title))}::{_data(message)}"


def _data(text: str) -> str:
    """Escape a message as the runner reads it back; without this, a line break would begin a new command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
