"""The rule that no text, however broken, gives anything but a scenario or a list of problems."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shaketable.model.errors import Problem, ScenarioError
from shaketable.model.scenario import Scenario
from shaketable.run.loader import load_scenario, parse_scenario

HERE = Path(__file__).parents[2] / "scenarios/backoffice"
GOOD = (HERE / "crashed-host.yaml").read_text()
JARGON = re.compile(r"Input should|pydantic|NoneType|Value error|Traceback")

FRAGMENTS = st.sampled_from([
    "", "{}", "[]", "[[]]", "{a: b}", "null", "true", "1", "-1", "3.0", ".nan", ".inf", "9" * 500, "1e999", "'", '"',
    "$", "$mode", "{host}", "{", "}", "[", "]", "- ", ": ", "\n", "\n  ", "\t", "*a", "&a x", "<<: ", "!!int ", "!x ",
    "%", "0s", "5ms", "9999999999999999999d", "100 %", "one of", "kill", "leaves", "http://[", "//", "/", "..", "\x85",
    "\u2028", "\ufeff", "\\", '"\\0"', '"\\ud800"', "host:0", "#", "|", ">", "?", "---", "é", "\U0001f4a5",
]) | st.text(max_size=6)  # fmt: skip


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """Make the good scenario with one to four words replaced, or lines dropped, doubled or indented anew."""
    text = GOOD
    for _ in range(draw(st.integers(1, 4))):
        words = [(match.start(), match.end()) for match in re.finditer(r"[^\s{}\[\],]+", text)] or [(0, 0)]
        start, end = draw(st.sampled_from(words))
        lines = text.splitlines(keepends=True) or [""]
        line = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 5)):
            case 0 | 1 | 2:
                text = text[:start] + draw(FRAGMENTS) + text[end:]
            case 3:
                text = "".join(lines[:line] + lines[line + 1 :])
            case 4:
                text = "".join([*lines[:line], lines[line], *lines[line:]])
            case _:
                text = "".join(
                    [*lines[:line], " " * draw(st.integers(0, 9)), lines[line].lstrip(" "), *lines[line + 1 :]]
                )
    return text


def read(text: str) -> list[Problem]:
    """Read `text` and give its problems; none if it is a scenario."""
    try:
        scenario = parse_scenario(text, file="f", folder=HERE)
    except ScenarioError as error:
        return error.problems or [Problem("f", 0, 0, "an error without a problem")]
    return [] if isinstance(scenario, Scenario) else [Problem("f", 0, 0, "no scenario")]


def judge(text: str) -> None:
    """Check that each problem of `text` is in the file, told once, in short and in words."""
    problems = read(text)
    last = text.count("\n") + sum(map(text.count, "\r\x85\u2028\u2029")) + 1
    wrong = [
        problem
        for problem in problems
        if not (1 <= problem.line <= last and problem.col >= 1 and 0 < len(problem.message.encode()) < 600)
        or JARGON.search(problem.message)
    ]
    assert wrong == []
    assert problems == sorted(set(problems))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutations())
@example(GOOD.replace("20 /s", "9" * 5000))
@example(GOOD.replace("http://haproxy:8080", "http://["))
@example(GOOD.replace("load.py", '"a\\0b"'))
@example(GOOD.replace("load.py", "x" * 5000))
@example(GOOD.replace("kind: leaves", "kind: {}"))
def test_a_damaged_scenario_is_read_or_refused(text: str) -> None:
    """Any damage to a good scenario is a list of problems, without jargon and within the file, or does not matter."""
    judge(text)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Text that never was a scenario is refused as politely."""
    judge(text)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no text at all are a problem like any other."""
    path = tmp_path / "x.yaml"
    path.write_bytes(data)
    with pytest.raises(ScenarioError):
        load_scenario(path)
