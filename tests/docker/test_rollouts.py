"""A roll-out on a real topology: a short soak lets it reach all, a long one stops it at the first and rolls it back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from campaigns import Steps

from shaketable.adapters.store import read_histories
from shaketable.model.result import FaultOutcome, Trial
from shaketable.run.campaign import Campaign, Finished, Request
from shaketable.run.prepare import judge_again, load_all

pytestmark = pytest.mark.usefixtures("engine")

SCENARIO = Path(__file__).parent / "rollout" / "rollout.yaml"
"""Its release makes a pod bad six seconds later; all stages are changes to one and the same instance."""
STAGES = ["release-canary", "release-pod-17", "release-pod-18"]


def prove(path: Path, out: Path) -> Finished:
    """Both variants, one trial each."""
    return Campaign(Request(command="prove", scenarios=load_all([path]), out=out, trials=1, seed=3), Steps()).run()


def only_trial(finished: Finished, variant: str) -> Trial:
    """The trial of a variant, which is valid."""
    (trial,) = next(s.trials for s in finished.result.scenarios if s.variant == variant)
    assert trial.invalid_because == ()
    return trial


def test_a_long_soak_stops_what_a_short_one_lets_through(tmp_path: Path) -> None:
    """The record alone says again what happened, and what the shortest soak would have been is the same for both."""
    finished = prove(SCENARIO, tmp_path / "run")
    assert finished.result.proved
    assert finished.result.residue == ()
    short, long = only_trial(finished, "incident"), only_trial(finished, "fixed")

    assert [fault.id for fault in short.faults] == STAGES
    _soaked_and_undone(short.faults, soak=1.0)
    assert all(fault.effective and fault.clean for fault in (*short.faults, *long.faults)), "on one instance, at once"
    assert [fault.id for fault in long.faults] == STAGES[:1]
    stopped = {e.id: e for e in long.expectations}
    assert stopped["last-pod"].because == "release-pod-18 was never reached: a gate stopped the roll-out before"
    assert "the gate stopped it at release-canary" in stopped["stopped"].because

    would = [next(e.value for e in trial.expectations if e.id == "soaked") for trial in (short, long)]
    assert all(value is not None and 6.0 < value < 7.5 for value in would), would

    records = {history.variant: history for history in read_histories(tmp_path / "run")}
    assert records["incident"].tripped is None, "it was complete before anything could be seen"
    tripped = records["fixed"].tripped
    assert tripped is not None
    assert tripped.stage == STAGES[0]
    assert judge_again(tmp_path / "run").scenarios == finished.result.scenarios


def _soaked_and_undone(faults: tuple[FaultOutcome, ...], soak: float) -> None:
    """Each stage began after the soak of the one before, all were there together, and the last was undone first."""
    for before, after in pairwise(faults):
        assert after.sent_s >= before.injected_s + soak
        assert after.healed_s < before.healed_s
    assert min(fault.healed_s for fault in faults) > faults[-1].injected_s + soak + 6.0
    assert max(fault.healed_s for fault in faults) - min(fault.healed_s for fault in faults) < 2.0


def test_a_stage_that_cannot_be_undone_holds_up_no_other(tmp_path: Path) -> None:
    """The undo of the last stage fails; the others are undone all the same, and the trial says why it is invalid."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for name in ("load.py", "compose.yaml", "server.py", "Dockerfile"):
        (folder / name).write_text((SCENARIO.parent / name).read_text())
    text = SCENARIO.read_text().replace(
        'undo: [rm, -f, "/dev/shm/new-{stage}"]',
        'undo: [sh, -c, "[ {stage} != pod-18 ] && rm -f /dev/shm/new-{stage}"]',
    )
    path = folder / "rollout.yaml"
    path.write_text(text.replace("lasts: 6s", "lasts: 500ms").replace("  fixed: {soak: 9s}\n", ""))
    finished = prove(path, tmp_path / "run")
    (trial,) = finished.result.scenarios[0].trials
    assert [(fault.id, fault.clean) for fault in trial.faults] == list(zip(STAGES, (True, True, False), strict=True))
    assert any("was not clean after heal" in why for why in trial.invalid_because), trial.invalid_because
