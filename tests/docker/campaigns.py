"""Helpers of the tests that run whole campaigns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from shaketable.checks.verdict import exit_code
from shaketable.faults import CATALOGUE, FaultKind
from shaketable.model.errors import Exit
from shaketable.model.result import Trial
from shaketable.run.campaign import Campaign, Finished, Request
from shaketable.run.prepare import load_all

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "backoffice" / "crashed-host.yaml"


class Steps:
    """Progress that tests can wait for."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.trials: list[Trial] = []
        self.changed = threading.Condition()

    def say(self, text: str) -> None:
        """A step."""
        with self.changed:
            self.said.append(text)
            self.changed.notify_all()

    def begin(self, total: int) -> None:
        """Trials start."""

    def trial(self, variant: str, trial: Trial) -> None:
        """A trial ended."""
        with self.changed:
            self.trials.append(trial)
            self.changed.notify_all()


def scenario(folder: Path, change: Callable[[str], str] = lambda text: text, load: str = "") -> Path:
    """A copy of the back office's scenario, changed, that still finds its topology."""
    text = SCENARIO.read_text().replace("../../compose/backoffice", str(ROOT / "compose" / "backoffice"))
    path = folder / "changed.yaml"
    path.write_text(change(text))
    (folder / "load.py").write_text(load or (SCENARIO.parent / "load.py").read_text())
    return path


def campaign(
    path: Path,
    out: Path,
    *modes: str,
    trials: int = 1,
    variants: tuple[str, ...] = ("fixed",),
    catalogue: Mapping[str, FaultKind] = CATALOGUE,
    steps: Steps | None = None,
) -> Campaign:
    """A campaign in one lane, ready to run."""
    request = Request(
        command="run",
        scenarios=load_all([path]),
        out=out,
        trials=trials,
        seed=7,
        variants=variants,
        cells={"mode": modes} if modes else {},
    )
    return Campaign(request, steps or Steps(), catalogue)


def trials_of(finished: Finished) -> tuple[Trial, ...]:
    """The trials of the only variant."""
    return finished.result.scenarios[0].trials


def proved(path: Path, out: Path, cells: Mapping[str, tuple[str, ...]] | None = None) -> Finished:
    """Both variants of a scenario, a trial each; asked once more when nothing could be concluded (a trial was invalid)."""
    finished = None
    for turn in ("first", "second"):
        request = Request(command="prove", scenarios=load_all([path]), out=out / turn, seed=1, cells=cells or {})
        finished = Campaign(request, Steps()).run()
        if exit_code(finished.result) != Exit.INCONCLUSIVE:
            break
    assert finished is not None
    return finished


def trial_of(finished: Finished, variant: str) -> Trial:
    """The first trial of a variant."""
    return next(s.trials[0] for s in finished.result.scenarios if s.variant == variant)


def verdicts(trial: Trial) -> dict[str, str]:
    """The verdict of each expectation by its id."""
    return {f.id: f.verdict for f in trial.expectations}


def said(finished: Finished) -> list[str]:
    """Everything that did not hold, and why trials were invalid."""
    trials = [t for s in finished.result.scenarios for t in s.trials]
    return [f.because for t in trials for f in t.expectations if f.verdict != "pass"] + [
        why for t in trials for why in t.invalid_because
    ]
