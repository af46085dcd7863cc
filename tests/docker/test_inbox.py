"""The first scenario of the social inbox, as a user runs it; `make inbox` proves all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import ROOT, proved, said, trial_of, verdicts

from shaketable.checks.verdict import exit_code
from shaketable.model.errors import Exit
from shaketable.run.prepare import judge_again

pytestmark = pytest.mark.usefixtures("engine")
INBOX = ROOT / "scenarios" / "inbox"


def test_an_upgrade_at_night(tmp_path: Path) -> None:
    """The real upgrade of two engines under load: as it was, containers stay down and nobody is told; corrected, all is well."""
    finished = proved(INBOX / "engine-upgrade.yaml", tmp_path)
    assert exit_code(finished.result) == Exit.PASS, said(finished)
    incident, fixed = trial_of(finished, "incident"), trial_of(finished, "fixed")
    for trial in (incident, fixed):
        for fault in trial.faults:
            assert "26.1.5" in fault.seen
            assert "20.10.24" in fault.seen
    failed = {name for name, verdict in verdicts(incident).items() if verdict == "fail"}
    assert {"review", "alarm"} <= failed
    assert set(verdicts(fixed).values()) == {"pass"}
    assert judge_again(finished.folder).proved  # the record alone says the same
