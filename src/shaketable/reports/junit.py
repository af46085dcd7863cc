"""`junit.xml`: one suite for each variant, one case for each cell, so that case names stay the same run after run.

A case is red exactly when the command's exit code is: under `prove` if the cell did not come out as expected, else if
it did not pass. Trials that proved nothing are cases of their own, skipped, each with its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from shaketable.model.result import Result, ScenarioResult
from shaketable.reports.digest import CellDigest, came_to, digest, indented, one_line, status

_TAGS: Final = {"failed": "failure", "error": "error", "skipped": "skipped"}


def write_junit(path: Path, result: Result) -> None:
    """Write the file. Raises OSError."""
    path.write_text(junit_xml(result), encoding="utf-8")


def junit_xml(result: Result) -> str:
    """Make the text of `junit.xml`: well-formed, whatever the texts in the result."""
    suites = [_variant(result, scenario) for scenario in result.scenarios]
    suites += _campaign(result)
    root = ET.Element("testsuites", {"name": f"shaketable {result.command}", "time": f"{result.seconds:.3f}"})
    for suite in suites:
        _count(suite, suite.findall("testcase"))
    root.extend(suites)
    _count(root, [case for suite in suites for case in suite.findall("testcase")])
    for element in root.iter():
        if element.text:
            element.text = "\n".join(indented(line) for line in element.text.split("\n"))
        for name, value in element.items():
            element.set(name, one_line(value))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _variant(result: Result, scenario: ScenarioResult) -> ET.Element:
    """Make the suite of one variant."""
    name = f"{scenario.name}.{scenario.variant}"
    seconds = sum(trial.seconds for trial in scenario.trials)
    suite = ET.Element("testsuite", {"name": name, "timestamp": result.began, "time": f"{seconds:.3f}"})
    if scenario.compression is not None:
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", {"name": "compression", "value": scenario.compression.words})
    cells = digest(result, scenario)
    for cell in cells:
        _cell(suite, name, cell)
    overall = status(result, scenario.verdict, as_expected=scenario.as_expected)
    if overall != "passed" and all(cell.status == "passed" for cell in cells):
        said = came_to(scenario.verdict, scenario.expected, scenario.as_expected)
        _outcome(_case(suite, name, "verdict", 0.0), overall, said, [said])
    return suite


def _cell(suite: ET.Element, classname: str, cell: CellDigest) -> None:
    """Add the case of one cell, and one for each of its invalid trials."""
    name = ", ".join(f"{axis}={value}" for axis, value in cell.cell.axis.items()) or "all"
    case = _case(suite, classname, name, sum(trial.seconds for trial in cell.trials))
    counts = cell.cell.trials
    figures = [
        f"{counts.valid} valid, {counts.failed} failed, {counts.invalid} invalid; failure rate {cell.rate}",
        f"detection {cell.detection}, recovery {cell.recovery} (median/maximum)",
    ]
    if cell.status == "passed":
        ET.SubElement(case, "system-out").text = "\n".join([cell.title, *figures, *cell.sentences])
    else:
        _outcome(case, cell.status, cell.title, [*cell.sentences, *figures])
    for trial in cell.trials:
        if trial.outcome == "invalid":
            reasons = list(trial.invalid_because) or ["no reason is recorded"]
            skipped = _case(suite, classname, f"{name} trial {trial.index} (seed {trial.seed})", trial.seconds)
            _outcome(skipped, "skipped", f"invalid: {'; '.join(reasons)}", [])


def _campaign(result: Result) -> list[ET.Element]:
    """Make the suite of what concerns no variant; none if there is nothing to say."""
    suite = ET.Element("testsuite", {"name": "shaketable", "timestamp": result.began, "time": "0.000"})
    if result.interrupted:
        case = _case(suite, "shaketable", "campaign", 0.0)
        _outcome(case, "error", "interrupted before all trials were run", [])
    if result.problems:
        case = _case(suite, "shaketable", "carried through", 0.0)
        _outcome(case, "error", "broke off", result.problems)
    if result.residue:
        lines = [f"{residue.what} {residue.where}: {residue.hint}" for residue in result.residue]
        case = _case(suite, "shaketable", "nothing left behind", 0.0)
        _outcome(case, "failed", f"{len(lines)} left behind", lines)
    return [suite] if len(suite) else []


def _case(suite: ET.Element, classname: str, name: str, seconds: float) -> ET.Element:
    return ET.SubElement(suite, "testcase", {"classname": classname, "name": name, "time": f"{seconds:.3f}"})


def _outcome(case: ET.Element, kind: str, message: str, lines: Sequence[str]) -> None:
    """Mark a case as `failed`, `error` or `skipped`. The message is one line, its sentences first."""
    told = [message, *(line.strip() for line in lines)]
    attributes = {"message": " | ".join(told)[:2000]}
    if kind != "skipped":
        attributes["type"] = "expectation" if kind == "failed" else "inconclusive"
    ET.SubElement(case, _TAGS[kind], attributes).text = "\n".join([message, *lines]) if lines else None


def _count(element: ET.Element, cases: Sequence[ET.Element]) -> None:
    element.set("tests", str(len(cases)))
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
