"""A scenario in which time passes faster than life says so wherever it tells a time."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
import report_inbox_sample
from rich.console import Console
from rollout_histories import GOOD, changed

from shaketable.checks.judge import judge
from shaketable.checks.verdict import scenario_result
from shaketable.faults import CATALOGUE
from shaketable.model.errors import ScenarioError
from shaketable.model.result import Result
from shaketable.model.scenario import Compression, Scenario
from shaketable.ports import Places
from shaketable.reports.html import report_html
from shaketable.reports.junit import junit_xml
from shaketable.reports.markdown import summary_markdown
from shaketable.reports.terminal import show_matrix
from shaketable.run.loader import parse_scenario
from shaketable.run.schedule import begins_and_ends, plan_trial

FAST = Compression(times=600, because="each run leaks 4 MiB <instead> of 4 KiB")
WORDS = "1 s here is 10 min of life: each run leaks 4 MiB <instead> of 4 KiB"
PLAIN_RESULT, HISTORIES, PLAIN_SCENARIOS = report_inbox_sample.sample(1)


def fast() -> tuple[Result, dict[str, Scenario]]:
    """The sample, as if time passed faster in it."""
    parts = tuple(part.model_copy(update={"compression": FAST}) for part in PLAIN_RESULT.scenarios)
    scenarios = {name: one.model_copy(update={"compression": FAST}) for name, one in PLAIN_SCENARIOS.items()}
    return PLAIN_RESULT.model_copy(update={"scenarios": parts}), scenarios


def terminal(result: Result) -> str:
    """The matrix on a terminal."""
    out = io.StringIO()
    show_matrix(result, Console(file=out, width=80, force_terminal=False))
    return " ".join(out.getvalue().split())


def test_it_is_told_in_every_report() -> None:
    """Beside the matrix on a terminal and in Markdown, as a property in JUnit, in result.json."""
    result, _ = fast()
    assert terminal(result).count(WORDS) == 1
    assert "1 s here is 10 min of life" in summary_markdown(result)
    suites = list(ET.fromstring(junit_xml(result)).iter("testsuite"))
    assert {p.get("value") for s in suites for p in s.iter("property")} == {WORDS}
    assert {s.get("tests") for s in suites} == {s.get("tests") for s in ET.fromstring(junit_xml(PLAIN_RESULT))}
    assert {part.compression for part in Result.from_json(result.to_json()).scenarios} == {FAST}


def test_the_page_tells_it_at_its_head_and_at_every_trial() -> None:
    """With what is beside each timeline, and as data for its axis."""
    result, scenarios = fast()
    page = report_html(result, HISTORIES, scenarios)
    shown = WORDS.replace("<", "&lt;").replace(">", "&gt;")
    trials = page.count('<details class="trial')
    assert trials > 1
    assert f"<dt>Time</dt><dd>{shown}</dd>" in page
    assert page.count(f'<p class="note">{shown}. All times are of the trial.</p>') == trials
    assert page.count('"life":"10 min"') == page.count('class="drawing"') == trials


def test_nothing_is_told_where_time_is_real() -> None:
    """Whoever declares nothing reads nothing."""
    page = report_html(PLAIN_RESULT, HISTORIES, PLAIN_SCENARIOS)
    assert "<dt>Time</dt>" not in page
    assert '"life":""' in page
    for text in (terminal(PLAIN_RESULT), summary_markdown(PLAIN_RESULT), junit_xml(PLAIN_RESULT)):
        assert "of life" not in text


def test_a_plan_tells_what_its_times_stand_for() -> None:
    """Of soak and duration alike."""
    scenario = parse_scenario(changed(("load:", 'compression: {times: 600, because: "leaks"}\nload:')), file="f")
    planned = plan_trial(scenario, "s", {}, Places({"migration": ["migration"]}), CATALOGUE)
    first, _, last = (begins_and_ends(one, scenario, "fixed") for one in planned)
    assert first == "as storage-canary 1 s after steady, until all are undone"
    assert "for its soak of 12 s (2 h of life) and 8 s more (1 h 20 min of life)" in last
    assert "of life" not in begins_and_ends(planned[2], parse_scenario(GOOD, file="f"), "fixed")


def test_the_result_of_a_scenario_has_what_it_declares() -> None:
    """Be it judged live or again."""
    scenario = parse_scenario(changed(("load:", 'compression: {times: 600, because: "leaks"}\nload:')), file="f")
    assert scenario_result(scenario, "fixed", []).compression == Compression(times=600, because="leaks")
    assert scenario_result(parse_scenario(GOOD, file="f"), "fixed", []).compression is None


@pytest.mark.parametrize("wrong", ["{times: 1, because: x}", "{times: 600}", "{times: 600, because: ''}", "600"])
def test_a_compression_says_how_much_and_why(wrong: str) -> None:
    """More than real time, and in words what was made faster."""
    with pytest.raises(ScenarioError, match="compression"):
        parse_scenario(changed(("load:", f"compression: {wrong}\nload:")), file="f")


def test_a_trial_says_how_long_it_was_clean_and_when_it_ended() -> None:
    """From steady state to the end, and in UTC: what a soak counts."""
    history = HISTORIES[0]
    scenario = PLAIN_SCENARIOS[history.scenario]
    told = judge(replace(history, environment={"wall": "2026-11-26T15:00:00.000+01:00"}), scenario)
    assert history.steady is not None
    assert told.clean_s == pytest.approx(history.ended - history.steady, abs=0.001)
    assert told.ended.startswith("2026-11-26T14:0")
    assert judge(replace(history, steady=None, environment={}), scenario).clean_s == 0.0
