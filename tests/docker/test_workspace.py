"""Scenarios of the agents' workspace, as a user runs them: the incident fails for its own reasons, the corrected one passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaigns import ROOT, proved, said, trial_of, verdicts

from shaketable.adapters.store import read_histories
from shaketable.checks.locks import chains
from shaketable.checks.verdict import exit_code
from shaketable.model.errors import Exit
from shaketable.run.prepare import judge_again

pytestmark = pytest.mark.usefixtures("engine")
WORKSPACE = ROOT / "scenarios" / "workspace"


def test_the_locks_of_one_pod_reach_the_others(tmp_path: Path) -> None:
    """The migration blocks its pod, connections run out, other pods fail; with limits it reaches nobody else."""
    finished = proved(WORKSPACE / "lock-contention.yaml", tmp_path)
    assert exit_code(finished.result) == Exit.PASS, said(finished)
    incident, fixed = verdicts(trial_of(finished, "incident")), verdicts(trial_of(finished, "fixed"))
    failed = {name for name, verdict in incident.items() if verdict == "fail"}
    assert {"no-long-waits", "connections-left", "other-pods", "accepting"} <= failed
    assert set(fixed.values()) == {"pass"}
    history = next(h for h in read_histories(finished.folder) if h.variant == "incident")
    longest = max(chains(history, "waits"), key=lambda chain: len(chain.behind))
    assert longest.blocker.who.startswith("migration/"), "the root of it is the migration's own session"
    assert len(longest.behind) >= 10
    assert judge_again(finished.folder).proved  # the record alone says the same
