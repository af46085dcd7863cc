"""Helpers of the tests that run whole campaigns on the back office."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from shaketable.faults import CATALOGUE, FaultKind
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
