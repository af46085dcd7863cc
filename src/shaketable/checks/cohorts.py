"""Cohorts beside one another: what fails for a few of them must not hide in the share of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shaketable.checks.arrivals import chosen, since_fault
from shaketable.checks.findings import finding, names
from shaketable.checks.statistics import at_least_share, at_most_share
from shaketable.model.claims import CohortsAlike
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_share

ERROR = 0.001
"""How often, at most, a trial in which all cohorts are alike is said to show that they are not."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of some arrivals failed."""

    failed: int
    arrivals: int

    @property
    def share(self) -> float:
        """Share of them that failed, 0 where there are none."""
        return self.failed / self.arrivals if self.arrivals else 0.0

    def __sub__(self, other: Count) -> Count:
        return Count(self.failed - other.failed, self.arrivals - other.arrivals)


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort against all other arrivals."""

    name: str
    own: Count
    others: Count

    def excess(self, error: float) -> float:
        """By how much it fails more often than the others at least: more is claimed wrongly with a chance of `error`.

        Both shares are known only by chance, so each has half of the error: the exact one-sided bounds of Clopper and
        Pearson, the lower one of the cohort's against the upper one of the others'.
        """
        least = at_least_share(self.own.failed, self.own.arrivals, error / 2)
        return least - at_most_share(self.others.failed, self.others.arrivals, error / 2)

    def untold(self, at_most: float, error: float) -> bool:
        """Whether there are too few arrivals to tell even if all of the cohort's had failed."""
        return Cohort(self.name, Count(self.own.arrivals, self.own.arrivals), self.others).excess(error) <= at_most


def cohorts(requests: Sequence[Request], by: Sequence[str]) -> tuple[Cohort, ...]:
    """The cohorts that the values of these keys make, by name (`app=2.0,plan=free`), each against all other arrivals.

    An arrival without one of the keys is of no cohort, and one of the others to all.
    """
    counts: dict[str, Count] = {}
    total = Count(sum(not r.ok for r in requests), len(requests))
    for request in requests:
        if (name := _name(request.labels, by)) is not None:
            known = counts.get(name, Count(0, 0))
            counts[name] = Count(known.failed + (not request.ok), known.arrivals + 1)
    return tuple(Cohort(name, own, total - own) for name, own in sorted(counts.items()))


def _name(labels: Mapping[str, str], by: Sequence[str]) -> str | None:
    return ",".join(f"{key}={labels[key]}" for key in by) if labels.keys() >= set(by) else None


def cohorts_alike(e: CohortsAlike, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """No cohort fails more often than all other arrivals, by more than the limit and beyond chance."""
    window = chosen(since_fault(history, fault), e.requests, {})
    found = cohorts(window, e.by)
    unseen = _unseen(e, window, found)
    error = ERROR / max(1, len(found))
    worst = max(found, key=lambda cohort: (cohort.excess(error), cohort.own.share - cohort.others.share), default=None)
    if worst is None or (unseen and worst.excess(error) <= e.at_most):
        return finding(e, "unknown", unseen, None, 100 * e.at_most, unit=_UNIT)
    value = max(0.0, worst.own.share - worst.others.share)
    overall = Count(worst.own.failed + worst.others.failed, worst.own.arrivals + worst.others.arrivals)
    said = (
        f"{_said(worst.name, worst.own)}, and {_said('all others', worst.others)}; {show_share(overall.share)} of all"
    )
    if (least := worst.excess(error)) > e.at_most:
        because = f"{said}: at least {100 * least:.3g} percentage points more, whatever chance did"
        return finding(e, "fail", because, 100 * value, 100 * e.at_most, unit=_UNIT)
    because = f"none of {len(found)} cohorts stands out beyond chance; of the worst, {said}"
    return finding(e, "pass", because, 100 * value, 100 * e.at_most, unit=_UNIT)


_UNIT = "percentage points"


def _said(name: str, count: Count) -> str:
    return f"{count.failed} of {count.arrivals} arrivals of {name} failed"


def _unseen(e: CohortsAlike, window: Sequence[Request], found: Sequence[Cohort]) -> str:
    """Why a cohort that fails wholly could go unseen; empty if it could not."""
    what = f" of {names(e.requests)}" if e.requests else ""
    seen = {r.name for r in window}
    if missing := [name for name in e.requests if name not in seen]:
        return f"no arrival of {names(missing)} fell into the window"
    if not window:
        return "no arrival fell into the window"
    if not found:
        return f"no arrival{what} says its {names(e.by)}"
    if len(found) == 1 and not found[0].others.arrivals:
        return f"all arrivals{what} are of {found[0].name}, so there is nothing to compare"
    error = ERROR / len(found)
    if few := [cohort for cohort in found if cohort.untold(e.at_most, error)]:
        least = min(few, key=lambda cohort: cohort.own.arrivals)
        return (
            f"too few arrivals{what} to tell: {least.own.arrivals} of {least.name}, {least.others.arrivals} of others"
        )
    return ""
