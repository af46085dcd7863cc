"""How each cohort of users fared, where a scenario compares them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shaketable.checks.arrivals import chosen, since_fault
from shaketable.checks.cohorts import cohorts
from shaketable.model.claims import CohortsAlike
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_share
from shaketable.reports.digest import one_line


@dataclass(frozen=True, slots=True)
class CohortRow:
    """One cohort's arrivals after the fault."""

    name: str
    """The values that make it, as `2.0, fresh`."""
    arrivals: int
    failed: int

    @property
    def share(self) -> float:
        """Share of the arrivals that failed, 0..1."""
        return self.failed / self.arrivals if self.arrivals else 0.0

    @property
    def percent(self) -> str:
        """The share in words."""
        return show_share(round(self.share, 3)) if self.arrivals else "-"


@dataclass(frozen=True, slots=True)
class Compared:
    """The cohorts that one expectation compares, the worst first, and all arrivals in its window."""

    expectation: str
    by: tuple[str, ...]
    functions: tuple[str, ...]
    """Only these were asked for; empty for all."""
    cohorts: tuple[CohortRow, ...]
    all: CohortRow


def compared(history: TrialHistory, scenario: Scenario) -> Iterator[Compared]:
    """Count by cohort for each expectation that compares cohorts, over the arrivals that it is judged by."""
    for e in scenario.expectations:
        if not isinstance(e, CohortsAlike) or (fault := history.fault(e.fault)) is None:
            continue
        window = chosen(since_fault(history, fault), e.requests, {})
        rows = [CohortRow(_values(c.name), c.own.arrivals, c.own.failed) for c in cohorts(window, e.by)]
        every = CohortRow("all", len(window), sum(not request.ok for request in window))
        if rest := every.arrivals - sum(row.arrivals for row in rows):
            rows.append(CohortRow("of no cohort", rest, every.failed - sum(row.failed for row in rows)))
        rows.sort(key=lambda row: (-row.share, row.name))
        by, functions = tuple(map(one_line, e.by)), tuple(map(one_line, e.requests))
        yield Compared(e.id, by, functions, tuple(rows), every)


def _values(name: str) -> str:
    """Write `app=2.0,plan=free` without its keys, which head the table."""
    return one_line(", ".join(pair.partition("=")[2] for pair in name.split(",")))
