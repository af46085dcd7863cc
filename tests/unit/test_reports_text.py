"""The rules of the reports in text: the matrix fits, nothing is said a hundred times, and no text breaks a format."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from sample_result import sample

from shaketable.model.result import Residue, Result, ScenarioResult
from shaketable.reports.digest import digest, grouped
from shaketable.reports.github import workflow_commands, write_github
from shaketable.reports.junit import junit_xml, write_junit
from shaketable.reports.markdown import summary_markdown, write_summary
from shaketable.reports.terminal import show_matrix

PROVED = sample()
NASTY = "]]> <b>&amp; | `x` %0A ::error::x\r\n\x00\x1b[31m\ufffe \U0001f4a5 [bold] \x9b \u202e \ud800"


def changed(result: Result, variant: str, mode: str, **update: Any) -> Result:
    """Give the result with one cell changed."""

    def scenario(one: ScenarioResult) -> ScenarioResult:
        cells = tuple(
            cell.model_copy(update=update) if one.variant == variant and cell.axis["mode"] == mode else cell
            for cell in one.cells
        )
        return one.model_copy(update={"cells": cells})

    return result.model_copy(update={"scenarios": tuple(map(scenario, result.scenarios))})


def because(result: Result, text: str) -> Result:
    """Give the result with `text` for every sentence, reason, name and seed in it."""

    def scenario(one: ScenarioResult) -> ScenarioResult:
        trials = tuple(
            trial.model_copy(
                update={
                    "seed": text,
                    "invalid_because": (text,) if trial.outcome == "invalid" else (),
                    "expectations": tuple(
                        finding.model_copy(update={"id": text, "because": text}) for finding in trial.expectations
                    ),
                }
            )
            for trial in one.trials
        )
        return one.model_copy(update={"name": text, "trials": trials})

    left = (Residue(what=text, where=text, hint=text),)
    update = {"scenarios": tuple(map(scenario, result.scenarios)), "residue": left, "problems": (text,), "run": text}
    return result.model_copy(update=update)


def shown(result: Result, width: int = 80, encoding: str = "utf-8") -> str:
    """Show a result on a terminal and give what is on it."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=buffer, width=width, force_terminal=False)
    show_matrix(result, console, Path("runs/7/report.html"))
    buffer.seek(0)
    return buffer.read()


def junit(result: Result) -> ET.Element:
    """Read the JUnit file back."""
    return ET.fromstring(junit_xml(result))


def test_the_matrix_fits_80_columns() -> None:
    """Every line of the matrix is whole on the smallest usual terminal: nothing cut, nothing wrapped."""
    lines = shown(PROVED).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in "\n".join(lines)
    row = next(line for line in lines if line.startswith("  power-off") and "never" in line)
    cell = next(cell for cell in digest(PROVED, PROVED.scenarios[1]) if cell.name == "power-off")
    counts = cell.cell.trials
    assert row.split()[:4] == ["power-off", "fail", "✓", f"{counts.valid}/{counts.failed}/{counts.invalid}"]
    assert cell.rate in row
    assert cell.recovery in row


def test_a_terminal_without_unicode_shows_the_matrix_too() -> None:
    """A mark that the terminal cannot write is a word there, not a traceback."""
    assert re.search(r"power-off\s+fail\s+yes", shown(PROVED, encoding="ascii"))


def test_failures_are_told_once() -> None:
    """A hundred failures are a few sentences, each with how often it was said and one example in full."""
    text = shown(PROVED)
    failed = sum(trial.outcome == "fail" for scenario in PROVED.scenarios for trial in scenario.trials)
    assert failed > 20
    assert text.count("still listed") <= 6
    assert re.search(r"\d times, as: back-office-[12] still listed host-\d/\w+ \d.\d+ s", text)
    assert re.search(r"services-leave failed in \d+ of \d+ trials", text)
    assert "report: runs/7/report.html" in text


def test_what_was_not_expected_comes_first_and_in_red_words() -> None:
    """A cell that should have failed and did not is told first, though it has no failed expectation to tell of."""
    result = changed(PROVED, "incident", "cut", as_expected=False, expected="fails 60 %..95 %")
    lines = shown(result.model_copy(update={"proved": False})).splitlines()
    told = [line for line in lines if line.startswith(("incident,", "fixed,"))]
    assert told[0] == "incident, cut: fail, expected fails 60 %..95 %"
    assert any("of 20 valid trials failed" in line for line in lines)
    assert any(line.startswith("not proved") for line in lines)


def test_a_cell_without_valid_trials_is_shown() -> None:
    """No valid trial is no rate, and no reason to fall over."""
    result = changed(PROVED, "fixed", "kill", failure_rate=None, verdict="inconclusive", as_expected=False)
    assert re.search(r"kill\s+inconclusive\s+✗\s+19/0/1\s+-\s", shown(result))


def test_never_is_longer_than_any_time() -> None:
    """A trial in which an entry never left is not lost from the figures."""
    cells = {cell.name: cell for cell in digest(PROVED, PROVED.scenarios[1])}
    assert re.fullmatch(r"1\.\d\d s/never", cells["power-off"].detection)
    assert cells["stop"].detection == "40/40 ms"


@given(st.lists(st.sampled_from(["a took 1.5 s", "a took 2 s", "b took 3 s", "c"]), min_size=1))
def test_grouping_loses_nothing(sentences: list[str]) -> None:
    """Each sentence is counted in exactly one group."""
    said = grouped(sentences)
    assert sum(one.times for one in said) == len(sentences)
    assert len(said) == len({sentence[0] for sentence in sentences})
    assert all(one.text in sentences for one in said)


def test_junit_is_green_where_prove_is() -> None:
    """Under `prove`, a cell that failed as expected is no failure; its sentences are in the case's output."""
    root = junit(PROVED)
    assert root.get("failures") == "0"
    assert root.get("errors") == "0"
    cases = [case.get("name") for case in root.iter("testcase") if case.find("skipped") is None]
    assert cases == [f"mode={mode}" for mode in ("stop", "kill", "freeze", "power-off", "cut")] * 2
    output = root.find(".//testcase[@name='mode=power-off'][@classname='crashed-host.incident']/system-out")
    assert output is not None
    assert "still listed" in (output.text or "")


def test_junit_is_red_where_run_is() -> None:
    """Under `run`, a failed cell is a failure whose message has the sentences."""
    root = junit(PROVED.model_copy(update={"proved": None, "command": "run"}))
    failures = root.findall(".//failure")
    assert len(failures) == 3
    assert all("still listed" in failure.get("message", "") for failure in failures)


def test_junit_has_invalid_trials_as_skipped_with_the_reason() -> None:
    """A trial that proved nothing is neither green nor red, and says why."""
    root = junit(PROVED)
    invalid = sum(trial.outcome == "invalid" for scenario in PROVED.scenarios for trial in scenario.trials)
    skipped = root.findall(".//skipped")
    assert len(skipped) == invalid > 0
    assert all("not looking for 0.41 s" in one.get("message", "") for one in skipped)


def test_junit_has_an_inconclusive_cell_as_error() -> None:
    """A cell without enough valid trials is an error, not a failure: nothing is known of the system."""
    root = junit(changed(PROVED, "fixed", "kill", verdict="inconclusive", as_expected=False))
    assert root.get("errors") == "1"
    assert root.get("failures") == "0"


def test_junit_has_a_wrong_verdict_that_no_cell_shows() -> None:
    """If every cell is as expected and the variant is not, the file is red all the same."""
    scenarios = [PROVED.scenarios[0], PROVED.scenarios[1].model_copy(update={"verdict": "pass", "as_expected": False})]
    root = junit(PROVED.model_copy(update={"scenarios": tuple(scenarios), "proved": False}))
    failure = root.find(".//testcase[@name='verdict']/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("pass, expected fail")


def test_junit_counts_what_it_has() -> None:
    """The counts of a suite, which CI shows first, are those of its cases."""
    root = junit(because(PROVED.model_copy(update={"proved": None, "interrupted": True}), "x"))
    for suite in root.findall("testsuite"):
        assert suite.get("tests") == str(len(suite.findall("testcase")))
        assert suite.get("failures") == str(len(suite.findall(".//failure")))
        assert suite.get("errors") == str(len(suite.findall(".//error")))
        assert suite.get("skipped") == str(len(suite.findall(".//skipped")))
    names = [suite.get("name") for suite in root.findall("testsuite")]
    assert names[-1] == "shaketable"


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=30))
def test_any_text_is_well_formed(text: str) -> None:
    """Whatever a service answered: XML stays XML, a table stays a table, an annotation one line, a terminal calm."""
    check_formats(text)


def test_nasty_text_is_well_formed() -> None:
    """The characters that mean something in XML, Markdown, workflow commands or to the terminal, all at once."""
    check_formats(NASTY)


def check_formats(text: str) -> None:
    """Check each format with `text` everywhere."""
    result = because(PROVED.model_copy(update={"proved": None}), text)
    assert len(junit(result).findall(".//failure")) == 3 + 1
    table = [line for line in summary_markdown(result).split("\n") if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {12}
    assert all(re.match(r"::(error|warning) [^:\r\n]*::[^\r\n]*\Z", line) for line in workflow_commands(result, {}))
    assert not set(shown(result)) & {"\x1b", "\x00", "\x9b", "\u202e"}


def test_the_summary_has_the_matrix_and_the_sentences() -> None:
    """One row for each cell and variant, then what failed in it."""
    text = summary_markdown(PROVED)
    rows = [line for line in text.splitlines() if line.startswith("| crashed-host")]
    assert len(rows) == 2 * (5 + 1)
    assert any("✅ fails 20 %..95 %" in row for row in rows)
    assert "still listed" in text
    assert text.startswith("## shaketable: proved\n")


def test_github_gets_an_error_for_each_red_cell() -> None:
    """An annotation names variant and cell, stands at the scenario's file, and has its sentences."""
    lines = workflow_commands(PROVED.model_copy(update={"proved": None}), {"crashed-host": "scenarios/a,b.yaml"})
    errors = [line for line in lines if line.startswith("::error ")]
    assert len(errors) == 3
    assert errors[0].startswith("::error file=scenarios/a%2Cb.yaml,title=crashed-host incident freeze%3A fail%2C")
    assert "%0A" in errors[0]
    assert "still listed" in errors[0]
    assert all(line.startswith("::warning ") for line in workflow_commands(PROVED, {}))


def test_github_annotations_are_within_its_limit() -> None:
    """GitHub drops what is beyond ten of a kind without a word, so the tenth says that there are more."""
    result = PROVED.model_copy(update={"proved": None, "scenarios": PROVED.scenarios * 8})
    errors = [line for line in workflow_commands(result, {}) if line.startswith("::error ")]
    assert len(errors) == 10
    assert errors[-1].endswith("::15 more in the job summary")


def test_github_output_only_in_github_actions(tmp_path: Path) -> None:
    """Nothing is written elsewhere; there, the summary is appended to what the job already has."""
    summary, out = tmp_path / "summary.md", io.StringIO()
    summary.write_text("before\n")
    write_github(PROVED, environ={"GITHUB_STEP_SUMMARY": str(summary)}, out=out)
    assert (summary.read_text(), out.getvalue()) == ("before\n", "")
    write_github(PROVED, environ={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}, out=out)
    assert summary.read_text().startswith("before\n## shaketable: proved\n")
    assert "::warning " in out.getvalue()


def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    """A full disk on the runner does not change the verdict."""
    out = io.StringIO()
    write_github(PROVED, environ={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path)}, out=out)
    assert "::warning::the job summary" in out.getvalue()


def test_files_are_written(tmp_path: Path) -> None:
    """Both files are UTF-8, whatever the machine's locale."""
    write_junit(tmp_path / "junit.xml", PROVED)
    write_summary(tmp_path / "summary.md", PROVED)
    assert ET.parse(tmp_path / "junit.xml").getroot().tag == "testsuites"
    assert "✅" in (tmp_path / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_long_names_do_not_break_the_matrix(width: int) -> None:
    """Names longer than their column are folded; no line is wider than the terminal."""
    long = because(PROVED, "a-very-long-name-" * 4)
    assert max(len(line) for line in shown(long, width).splitlines() if not line.startswith("report")) <= width
