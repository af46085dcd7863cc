"""How each cohort of users fared, where a scenario compares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shaketable.model.history import Request, TrialHistory
from shaketable.model.scenario import CohortsAlike, Scenario
from shaketable.model.units import show_share
from shaketable.reports.digest import one_line


@dataclass(frozen=True, slots=True)
class Cohort:
    """One cohort's arrivals after the fault; `share` of them failed, 0..1."""

    name: str
    arrivals: int
    failed: int

    @property
    def share(self) -> float:
        """Share of the arrivals that failed."""
        return self.failed / self.arrivals if self.arrivals else 0.0

    @property
    def percent(self) -> str:
        """The share in words."""
        return show_share(round(self.share, 4)) if self.arrivals else "-"


@dataclass(frozen=True, slots=True)
class Compared:
    """The cohorts that one expectation compares, the worst first, and all of their arrivals together."""

    expectation: str
    by: tuple[str, ...]
    cohorts: tuple[Cohort, ...]
    all: Cohort


def compared(history: TrialHistory, scenario: Scenario) -> Iterator[Compared]:
    """Count by cohort for each expectation that compares cohorts, in the window in which it is judged."""
    for e in scenario.expectations:
        if not isinstance(e, CohortsAlike) or (fault := history.fault(e.fault)) is None:
            continue
        end = history.recovered if history.recovered is not None else history.ended
        window = [
            r
            for r in history.requests
            if fault.injected <= r.scheduled <= end and (not e.requests or r.name in e.requests)
        ]
        groups: dict[str, list[Request]] = {}
        for request in window:
            groups.setdefault(_name(request, e.by), []).append(request)
        cohorts = sorted((_cohort(name, mine) for name, mine in groups.items()), key=lambda c: (-c.share, c.name))
        yield Compared(e.id, tuple(map(one_line, e.by)), tuple(cohorts), _cohort("all", window))


def _name(request: Request, by: Sequence[str]) -> str:
    """Name a cohort by its values: `2.0, fresh`; `-` where a user did not say."""
    return one_line(", ".join(request.labels.get(label, "-") for label in by))


def _cohort(name: str, mine: Sequence[Request]) -> Cohort:
    return Cohort(name, len(mine), sum(not request.ok for request in mine))
