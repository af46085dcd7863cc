"""Several faults in one trial: overlapping, after markers, repeated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from campaigns import campaign, scenario, trials_of

from shaketable.model.result import FaultOutcome
from shaketable.run.prepare import judge_again

pytestmark = pytest.mark.usefixtures("engine")

MANY = """faults:
  - {id: crash, kind: power-off, target: {host: host-1}, lasts: 4s}
  - {id: pause, kind: freeze, target: {instance: host-2-orders}, when: {effective: crash}, after: 300ms, lasts: 600ms}
  - {id: noticed, kind: freeze, target: {instance: host-3-billing}, when: {changes: servers}, lasts: 400ms}
  - {id: busy, kind: freeze, target: {instance: back-office-2}, when: {answered: 30}, lasts: 400ms}
  - id: again
    kind: freeze
    target: {instance: inbox}
    when: {healed: pause}
    after: 100ms
    lasts: 400ms
    repeat: {times: 2, every: 300ms}
"""


def _with_many(text: str) -> str:
    """The scenario with these faults instead of its own, and without the axis that nothing refers to then."""
    for part in (r"axes:\n.*?\n\n", r"    cells:\n.*?\n\n", r"faults:\n.*?\n\n"):
        text = re.sub(part, f"{MANY}\n" if part.startswith("faults") else "\n", text, flags=re.DOTALL)
    return text


def test_faults_begin_at_their_markers(tmp_path: Path) -> None:
    """Each fault begins after what it waits for, lasts its own time, is witnessed and undone; `check` says the same."""
    path = scenario(tmp_path, _with_many)
    finished = campaign(path, tmp_path / "run").run()
    (trial,) = trials_of(finished)
    by_id = {fault.id: fault for fault in trial.faults}
    assert set(by_id) == {"crash", "pause", "noticed", "busy", "again", "again-2"}, trial.invalid_because
    assert all(fault.effective and fault.clean for fault in trial.faults), [f.seen for f in trial.faults]

    def began(name: str) -> float:
        return by_id[name].injected_s

    def seen(fault: FaultOutcome) -> float:
        assert fault.witnessed_s is not None
        return fault.witnessed_s

    assert began("pause") >= seen(by_id["crash"]) + 0.3
    assert began("noticed") > began("crash")
    assert began("again") >= by_id["pause"].healed_s + 0.1
    assert began("again-2") >= by_id["again"].healed_s + 0.3
    assert by_id["crash"].healed_s > began("pause"), "they overlap"
    assert finished.result.residue == ()
    assert judge_again(tmp_path / "run").scenarios[0].trials == finished.result.scenarios[0].trials
