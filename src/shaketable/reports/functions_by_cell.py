"""What each function came to over the trials of a cell: in how many it was degraded, and for how long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shaketable.checks.functions import Function, functions
from shaketable.model.history import TrialHistory
from shaketable.model.result import Cell, ScenarioResult, Trial
from shaketable.reports.digest import median_and_max, one_line

Found = Mapping[tuple[str, str, int], tuple[Function, ...]]
"""The functions of each recorded trial, by scenario, variant and number of the trial."""


@dataclass(frozen=True, slots=True)
class InCell:
    """One function over the valid, recorded trials of a cell."""

    name: str
    degraded: int
    """In how many trials."""
    of: int
    times: str
    """Median and maximum of the time for which it was degraded, over the trials in which it was."""

    def __str__(self) -> str:
        return f"{self.degraded} of {self.of}" + (f", {self.times}" if self.degraded else "")


def functions_found(histories: Iterable[TrialHistory]) -> Found:
    """Find the functions of every trial, once for all reports."""
    return {(history.scenario, history.variant, history.index): functions(history) for history in histories}


def in_cell(part: ScenarioResult, cell: Cell, found: Found) -> tuple[InCell, ...]:
    """Gather the functions of one cell, by name; empty without a record of a valid trial."""
    trials = [t for t in part.trials if t.outcome != "invalid" and dict(t.axis) == dict(cell.axis)]
    recorded = [found[key] for trial in trials if (key := trial_key(part, trial)) in found]
    names = sorted({function.name for told in recorded for function in told})
    return tuple(_in_cell(name, [f for told in recorded for f in told if f.name == name]) for name in names)


def _in_cell(name: str, mine: Sequence[Function]) -> InCell:
    spent = [sum(spell.end - spell.start for spell in function.spells) for function in mine if function.spells]
    return InCell(one_line(name), len(spent), len(mine), median_and_max(spent))


def degraded_line(part: ScenarioResult, cell: Cell, found: Found) -> str:
    """Name the functions that were degraded in a cell, the most often first, in one line; empty if there was none."""
    degraded = sorted((f for f in in_cell(part, cell, found) if f.degraded), key=lambda f: -f.degraded)
    said = [f"{f.name} in {f.degraded} of {f.of} ({f.times})" for f in degraded]
    return f"degraded: {', '.join(said)}" if said else ""


def trial_key(part: ScenarioResult, trial: Trial) -> tuple[str, str, int]:
    """Name a trial as `Found` does."""
    return part.name, part.variant, trial.index
