"""The page: everything that matters is in it as text, it runs nothing but its own script, and fetches nothing."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape

import pytest
import report_html_sample
import report_inbox_sample

from shaketable.model.audit import AuditFinding, Place
from shaketable.model.result import Result
from shaketable.model.scenario import Scenario
from shaketable.reports.functions_by_cell import degraded_line, functions_found, in_cell
from shaketable.reports.html import report_html
from shaketable.reports.markdown import summary_markdown

RESULT, HISTORIES, SCENARIOS = report_inbox_sample.sample(2)


def words(page: str) -> str:
    """What a reader without JavaScript reads: the page's text, scripts and styles apart."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


@pytest.fixture(scope="module")
def page() -> str:
    """The page of an inbox run."""
    return report_html(RESULT, HISTORIES, SCENARIOS)


def test_the_status_of_each_trial_is_readable_without_a_script(page: str) -> None:
    """Each function has its sentence, and so have alerts, containers and gauges."""
    text = words(page)
    assert text.count("As a status page would tell it") == len(HISTORIES)
    assert re.search(r"! refresh degraded for \d+ s from the fault on: \d+ of \d+ failed \(\d", text)
    assert "✓ history fine throughout" in text
    assert "! alerts none was delivered" in text
    assert re.search(r"◆ alerts “ContainersDown host-3” came .{1,40}, cleared ", text)
    assert "! host-3 all 4 containers went down with the fault; all ran again" in text
    assert re.search(r"! backlog rose to \d+, .{1,30} after the fault; back for good at 5 or less", text)


def test_the_page_allows_its_own_script_and_nothing_else(page: str) -> None:
    """The policy names the script and the style by what is in them; nothing refers to another place."""
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.replace("&#39;", "'")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_cohorts_stand_beside_one_another(page: str) -> None:
    """Where cohorts are compared, each has its arrivals, failures and share, and all of them together stand below."""
    text = words(page)
    assert "Cohorts by app, plan, from the fault until steady again" in text
    assert re.search(r"2\.0, paid \d+ \d+ [\d.]+ %", text)
    assert re.search(r"all \d+ \d+ [\d.]+ %", text)


def test_functions_are_told_by_cell() -> None:
    """In how many valid trials of a cell each was degraded, and for how long; the same in the table and in the texts."""
    found = functions_found(HISTORIES)
    incident = next(part for part in RESULT.scenarios if part.variant == "incident")
    by_name = {function.name: function for function in in_cell(incident, incident.cells[0], found)}
    assert (by_name["refresh"].degraded, by_name["refresh"].of, str(by_name["history"])) == (2, 2, "0 of 2")
    line = degraded_line(incident, incident.cells[0], found)
    assert re.fullmatch(r"degraded: refresh in 2 of 2 \(\S+ s\), reply in 2 of 2 \(\S+ s\)", line)
    assert line in summary_markdown(RESULT, found)
    assert "degraded" not in summary_markdown(RESULT)


def test_an_invalid_trial_is_no_trial_of_a_cell() -> None:
    """What proved nothing is not counted here either."""
    incident = next(part for part in RESULT.scenarios if part.variant == "incident")
    trials = tuple(trial.model_copy(update={"outcome": "invalid"}) for trial in incident.trials)
    assert in_cell(incident.model_copy(update={"trials": trials}), incident.cells[0], functions_found(HISTORIES)) == ()


def test_an_audit_is_told_once_for_each_variant() -> None:
    """Rule, place and mend of each finding of the rules that are asked for; a clean variant is said to be clean."""
    asked = {"kind": "audit", "id": "survives", "rules": ["restart-policy", "live-restore"]}
    whole = report_inbox_sample.scenario().model_dump(by_alias=True)
    described = Scenario.model_validate({**whole, "expectations": [*whole["expectations"], asked]})
    policy = AuditFinding(
        "restart-policy", "host-3/web", Place("host/compose.yaml", 7, 5), "has none", "restart: always"
    )
    limits = AuditFinding("limits", "host-3/web", Place("host/compose.yaml", 5, 3), "has no limits", "mem_limit: 64m")
    audited = [replace(h, audit=(policy, limits) if h.variant == "incident" else ()) for h in HISTORIES]
    text = words(report_html(RESULT, audited, {described.name: described}))
    assert text.count("Audit of ") == 2
    assert "Audit of fixed before any fault: nothing to object to." in text
    assert "1 finding " in text
    assert "restart-policy host-3/web has none host/compose.yaml:7:5 restart: always" in text
    assert "has no limits" not in text


def test_a_page_without_containers_does_not_explain_them() -> None:
    """The legend names what is drawn, and no more."""
    result, histories, scenarios = report_html_sample.sample(1)
    text = words(report_html(result, histories, scenarios))
    assert "function fine" in text
    assert "container started" not in text
    assert "alert firing" not in text


def test_a_trial_without_a_record_is_shown_in_its_findings() -> None:
    """No history is no reason to fall over: no drawing, no sentences, but what it came to."""
    without: Result = RESULT
    text = words(report_html(without, [], SCENARIOS))
    assert "There is no record of this trial" in text
    assert "As a status page would tell it" not in text
