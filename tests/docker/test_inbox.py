"""Scenarios of the social inbox, as a user runs them: the incident fails for its own reason, the corrected one passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import ROOT, Steps

from shaketable.checks.verdict import exit_code
from shaketable.model.errors import Exit
from shaketable.model.result import Trial
from shaketable.run.campaign import Campaign, Finished, Request
from shaketable.run.prepare import judge_again, load_all

pytestmark = pytest.mark.usefixtures("engine")
INBOX = ROOT / "scenarios" / "inbox"


def _prove(name: str, out: Path) -> Finished:
    """Both variants, a trial each; asked once more when nothing could be concluded (a trial was invalid)."""
    finished = None
    for turn in ("first", "second"):
        request = Request(command="prove", scenarios=load_all([INBOX / f"{name}.yaml"]), out=out / turn, seed=1)
        finished = Campaign(request, Steps()).run()
        if exit_code(finished.result) != Exit.INCONCLUSIVE:
            break
    assert finished is not None
    return finished


def _trial(finished: Finished, variant: str) -> Trial:
    return next(s.trials[0] for s in finished.result.scenarios if s.variant == variant)


def _verdicts(trial: Trial) -> dict[str, str]:
    return {f.id: f.verdict for f in trial.expectations}


def _said(finished: Finished) -> list[str]:
    trials = [t for s in finished.result.scenarios for t in s.trials]
    return [f.because for t in trials for f in t.expectations if f.verdict != "pass"] + [
        why for t in trials for why in t.invalid_because
    ]


def test_an_upgrade_at_night(tmp_path: Path) -> None:
    """The real upgrade of two engines under load: as it was, containers stay down and nobody is told; corrected, all is well."""
    finished = _prove("engine-upgrade", tmp_path)
    assert exit_code(finished.result) == Exit.PASS, _said(finished)
    incident, fixed = _trial(finished, "incident"), _trial(finished, "fixed")
    for trial in (incident, fixed):
        for fault in trial.faults:
            assert "26.1.5" in fault.seen
            assert "20.10.24" in fault.seen
    failed = {name for name, verdict in _verdicts(incident).items() if verdict == "fail"}
    assert {"review", "alarm"} <= failed
    assert set(_verdicts(fixed).values()) == {"pass"}
    assert judge_again(finished.folder).proved  # the record alone says the same


def test_an_app_that_crashes_for_fresh_installs_only(tmp_path: Path) -> None:
    """The overall availability passes in both variants and is fooled; the comparison of cohorts is not."""
    finished = _prove("new-app-version", tmp_path)
    assert exit_code(finished.result) == Exit.PASS, _said(finished)
    incident, fixed = _verdicts(_trial(finished, "incident")), _verdicts(_trial(finished, "fixed"))
    assert incident["overall-available"] == fixed["overall-available"] == "pass"
    assert (incident["cohorts"], fixed["cohorts"]) == ("fail", "pass")
