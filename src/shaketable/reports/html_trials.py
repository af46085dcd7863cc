"""The trials as the page lists them: what went wrong first, then one that passed for each cell, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import quote

from shaketable.checks.functions import Function
from shaketable.model.history import TrialHistory
from shaketable.model.result import Cell, Finding, Result, ScenarioResult, Trial
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration
from shaketable.reports.cohorts import Compared, compared
from shaketable.reports.digest import cell_name
from shaketable.reports.functions_by_cell import Found, trial_key
from shaketable.reports.html_claims import claim
from shaketable.reports.html_locks import LocksView, locks_views
from shaketable.reports.html_matrix import OUTCOME_MARKS
from shaketable.reports.html_strip import Strip, strip
from shaketable.reports.html_timeline import by_trial, timeline, to_script
from shaketable.reports.html_words import fault_facts, relation, show_value
from shaketable.reports.locks import locks
from shaketable.reports.status_words import Line, lines

Group = Literal["failed", "invalid", "example", "passed"]
GROUPS: Final[Mapping[Group, str]] = {
    "failed": "failed",
    "invalid": "invalid",
    "example": "passed, one for each cell",
    "passed": "passed, the others",
}
MAX_TRIALS: Final = 400
"""Trials on the page; beyond it, passed ones are the first to be left out."""
_ALL_ARRIVALS: Final = 160_000
"""Arrivals on the page, about 3 MB; shared out evenly."""


@dataclass(frozen=True, slots=True)
class FindingView:
    """What one expectation came to."""

    id: str
    claim: str
    verdict: str
    mark: str
    value: str
    limit: str
    because: str


@dataclass(frozen=True, slots=True)
class WatchView:
    """How closely a holder was watched; `share` is percent of the limit, at most 100."""

    holder: str
    looks: int
    gap: str
    limit: str
    share: float
    good: bool


@dataclass(frozen=True, slots=True)
class _Record:
    """What is shown of a trial's history; all of it empty where there is none."""

    drawing: str = ""
    """The timeline as JSON for a script."""
    status: tuple[Line, ...] = ()
    """The trial in the sentences of a status page."""
    strip: Strip | None = None
    cohorts: tuple[Compared, ...] = ()
    locks: tuple[LocksView, ...] = ()
    """Who blocked whom, as a list."""


_UNRECORDED: Final = _Record()


@dataclass(frozen=True, slots=True)
class TrialView:
    """One trial as the page shows it."""

    anchor: str
    group: Group
    scenario: str
    variant: str
    axis: Mapping[str, str]
    cell: str
    index: int
    outcome: str
    mark: str
    unexpected: bool
    """Whether it is one of those that make its cell other than expected."""
    target: str
    headline: str
    more: int
    """Findings that failed beside the one in the headline."""
    invalid_because: tuple[str, ...]
    failed: tuple[FindingView, ...]
    others: tuple[FindingView, ...]
    facts: tuple[tuple[str, str], ...]
    watch: tuple[WatchView, ...]
    record: _Record


def anchor(part: ScenarioResult, trial: Trial) -> str:
    """Name a trial for a direct link, the same in each report of a run."""
    return f"trial-{quote(f'{part.name}/{part.variant}/{trial.index}')}"


@dataclass(frozen=True, slots=True)
class _Ranked:
    """A trial, and the place its importance gives it."""

    group: Group
    part: ScenarioResult
    cell: Cell | None
    trial: Trial

    @property
    def order(self) -> tuple[int, bool, bool, bool]:
        """What a reader must see comes first: failures that were not expected, failures, invalid trials, examples."""
        expected = self.cell is not None and self.cell.as_expected
        either = self.cell is not None and self.cell.expected == "any"
        return (list(GROUPS).index(self.group), expected, either, self.part.expected == "fail")


def chosen(result: Result) -> tuple[list[_Ranked], int]:
    """Choose the trials of the page in their order, and count those that are left out."""
    ranked: list[_Ranked] = []
    for part in result.scenarios:
        cells = {tuple(cell.axis.items()): cell for cell in part.cells}
        shown: set[tuple[tuple[str, str], ...]] = set()
        for trial in part.trials:
            axis = tuple(trial.axis.items())
            group: Group = "failed" if trial.outcome == "fail" else "invalid"
            if trial.outcome == "pass":
                group = "passed" if axis in shown else "example"
                shown.add(axis)
            ranked.append(_Ranked(group, part, cells.get(axis), trial))
    ranked.sort(key=lambda one: one.order)
    return ranked[:MAX_TRIALS], max(0, len(ranked) - MAX_TRIALS)


def trial_views(
    ranked: Sequence[_Ranked], histories: Sequence[TrialHistory], scenarios: Mapping[str, Scenario], found: Found
) -> list[TrialView]:
    """Make the views of the chosen trials; one without a history or scenario is shown without a timeline."""
    recorded = by_trial(histories)
    share = max(200, _ALL_ARRIVALS // max(1, len(ranked)))

    def view(one: _Ranked) -> TrialView:
        name, scenario = trial_key(one.part, one.trial), scenarios.get(one.part.name)
        history = recorded.get(name)
        if history is None or scenario is None:
            return _view(one, scenario, _UNRECORDED)
        return _view(one, scenario, _recorded(history, scenario, found.get(name, ()), share))

    return [view(one) for one in ranked]


def _recorded(history: TrialHistory, scenario: Scenario, functions: Sequence[Function], share: int) -> _Record:
    blocked = locks(history, scenario)
    return _Record(
        drawing=to_script(timeline(history, scenario, functions, share, blocked)),
        status=lines(history, scenario, functions, blocked),
        strip=strip(history, functions),
        cohorts=tuple(compared(history, scenario)),
        locks=locks_views(blocked),
    )


def _view(one: _Ranked, scenario: Scenario | None, record: _Record) -> TrialView:
    part, trial = one.part, one.trial
    claims = {} if scenario is None else {e.id: claim(e) for e in scenario.expectations}
    findings = [_finding(finding, claims) for finding in trial.expectations]
    failed = tuple(finding for finding in findings if finding.verdict == "fail")
    reasons = trial.invalid_because or (("no reason is recorded",) if trial.outcome == "invalid" else ())
    headline = {
        "fail": failed[0].because if failed else "failed",
        "invalid": reasons[0] if reasons else "",
        "pass": "every expectation held",
    }[trial.outcome]
    return TrialView(
        anchor=anchor(part, trial),
        group=one.group,
        scenario=part.name,
        variant=part.variant,
        axis=trial.axis,
        cell=cell_name(trial.axis),
        index=trial.index,
        outcome=trial.outcome,
        mark=OUTCOME_MARKS[trial.outcome],
        unexpected=one.cell is not None and not one.cell.as_expected and trial.outcome == one.cell.verdict,
        target=", ".join(target for fault in trial.faults for target in fault.targets),
        headline=headline,
        more=max(0, len(failed if trial.outcome == "fail" else reasons) - 1),
        invalid_because=reasons,
        failed=failed,
        others=tuple(finding for finding in findings if finding.verdict != "fail"),
        facts=tuple(fault_facts(trial)),
        watch=tuple(_watches(trial, scenario)),
        record=record,
    )


def _finding(finding: Finding, claims: Mapping[str, str]) -> FindingView:
    limit = "" if finding.limit is None else show_value(finding.limit, finding.unit)
    return FindingView(
        id=finding.id,
        claim=claims.get(finding.id, finding.kind),
        verdict=finding.verdict,
        mark={"pass": "✓", "fail": "✕", "unknown": "?"}[finding.verdict],
        value=show_value(finding.value, finding.unit),
        limit=f"{relation(finding)} {limit}" if limit not in {"", "none"} else limit,
        because=finding.because,
    )


def _watches(trial: Trial, scenario: Scenario | None) -> list[WatchView]:
    found = []
    for watch in trial.watch:
        holder = scenario.observers.holders.get(watch.holder) if scenario else None
        limit = scenario.observers.max_gap + ((holder.pace if holder else None) or 0) if scenario else None
        found.append(
            WatchView(
                holder=watch.holder,
                looks=watch.looks,
                gap=show_duration(watch.max_gap_s),
                limit="" if limit is None else show_duration(limit),
                share=0.0 if not limit else min(100.0, watch.max_gap_s / limit * 100),
                good=limit is None or watch.max_gap_s <= limit,
            )
        )
    return found
