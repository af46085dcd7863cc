"""Which trials of a run are told as incidents, and why these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shaketable.checks.judge import judge
from shaketable.model.history import TrialHistory
from shaketable.model.result import Trial
from shaketable.model.scenario import Scenario

Judged = tuple[TrialHistory, Trial]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One trial to tell."""

    history: TrialHistory
    scenario: Scenario
    trial: Trial
    why: str
    """In a few words: `the first of 3 that failed, of 5 trials`."""


def chosen(
    histories: Iterable[TrialHistory], scenarios: Mapping[str, Scenario], index: int | None = None
) -> tuple[Chosen, ...]:
    """Choose a trial of each scenario and variant, in the order of the record: that with the number, if one is given.

    Else the one that stands for its variant: the first valid trial that failed if one did, else the first valid one;
    where none is valid, the first. A trial that has no such number is left out.
    """
    variants: dict[tuple[str, str], list[Judged]] = {}
    for history in histories:
        judged = (history, judge(history, scenarios[history.scenario]))
        variants.setdefault((history.scenario, history.variant), []).append(judged)
    found = []
    for (name, _), trials in variants.items():
        trials.sort(key=lambda judged: judged[0].index)
        one = _standing(trials) if index is None else _numbered(trials, index)
        if one is not None:
            (history, trial), why = one
            found.append(Chosen(history, scenarios[name], trial, why))
    return tuple(found)


def _numbered(trials: Sequence[Judged], index: int) -> tuple[Judged, str] | None:
    return next(((judged, f"one of {len(trials)}") for judged in trials if judged[0].index == index), None)


def _standing(trials: Sequence[Judged]) -> tuple[Judged, str]:
    of = f"{len(trials)} trial{'s' if trials[1:] else ''}"
    if failed := [judged for judged in trials if judged[1].outcome == "fail"]:
        first = "the only one" if not failed[1:] else f"the first of {len(failed)}"
        return failed[0], "the only one" if not trials[1:] else f"{first} that failed, of {of}"
    if valid := [judged for judged in trials if judged[1].outcome == "pass"]:
        return valid[0], "the only one" if not trials[1:] else f"the first of {len(valid)} that passed, of {of}"
    return trials[0], "the only one" if not trials[1:] else f"the first of {of}, none of which is valid"
