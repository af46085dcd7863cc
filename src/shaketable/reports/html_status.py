"""The status-page view as the page draws it, in the numbers of the timeline: whole milliseconds since the fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypedDict

from shaketable.checks.functions import WINDOW, Function
from shaketable.checks.listed import copies
from shaketable.model.claims import FunctionsRecover
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration
from shaketable.reports.digest import one_line
from shaketable.reports.html_axis import Blind, Scale, blind
from shaketable.reports.status import AlertList, Gauge, HostRun, alerts, gauges, host_runs
from shaketable.reports.status_words import failing, spell_words

SLOW, FAILING = range(2)
"""What degraded a function: it was late, or too many arrivals failed."""
_MAX_FUNCTIONS: Final = 40
_MAX_HOSTS: Final = 16
_MAX_ALERTS: Final = 12
_MAX_POINTS: Final = 240


class FunctionRow(TypedDict):
    """One function; outside its `spells` it was fine."""

    name: str
    since: int
    """Before this nobody had asked for it."""
    spells: list[tuple[int, int, int, str]]
    """(start, end, SLOW or FAILING, in words)."""


class HostRow(TypedDict):
    """One host with containers that were absent for a while."""

    host: str
    of: int
    absent: list[tuple[int, int, list[str]]]
    starts: list[tuple[int, str]]


class HostsLane(TypedDict):
    """What ran, by the word of all holders that tell it."""

    rows: list[HostRow]
    """Only hosts with absent containers."""
    hidden: int
    whole: int
    """Containers of the hosts on which all ran throughout."""
    starts: list[tuple[int, str]]
    """Starts on those hosts."""
    blind: Blind


class AlertRow(TypedDict):
    """One alert, and when it was firing."""

    text: str
    early: bool
    spans: list[tuple[int, int]]


class AlertsLane(TypedDict):
    """One list of alerts at its receiver."""

    list: str
    holder: str
    rows: list[AlertRow]
    hidden: int
    deadline: tuple[int, str] | None
    blind: Blind


class GaugeLane(TypedDict):
    """One number over time: each value holds from its moment until the next; None where it could not be read."""

    name: str
    holder: str
    at: list[int]
    value: list[float | None]
    limit: float | None
    asked: str
    """What the limit is, in words: `when steady`."""
    blind: Blind


class Status(TypedDict):
    """All rows of the status-page view."""

    functions: list[FunctionRow]
    hidden: int
    """Functions left out because there were too many; degraded ones are the last to be left out."""
    deadline: tuple[int, str] | None
    """Until when all functions must have recovered."""
    hosts: HostsLane | None
    alerts: list[AlertsLane]
    gauges: list[GaugeLane]


def status(history: TrialHistory, scenario: Scenario, functions: Sequence[Function], ms: Scale) -> Status:
    """Gather the rows of the status-page view; `ms` turns engine seconds into the timeline's milliseconds."""
    kept = sorted(range(len(functions)), key=lambda n: (not functions[n].spells, n))[:_MAX_FUNCTIONS]
    return Status(
        functions=[_function(functions[n], history, ms) for n in sorted(kept)],
        hidden=len(functions) - len(kept),
        deadline=_deadline(history, scenario, ms),
        hosts=_hosts(history, scenario, ms),
        alerts=[_alerts(found, history, scenario, ms) for found in alerts(history, scenario)],
        gauges=[_gauge(gauge, history, scenario, ms) for gauge in gauges(history, scenario)],
    )


def _function(function: Function, history: TrialHistory, ms: Scale) -> FunctionRow:
    first = min((r.scheduled for r in history.requests if r.name == function.name), default=history.ended)
    since = history.began if first - history.began < WINDOW else first
    return FunctionRow(
        name=one_line(function.name),
        since=ms(since),
        spells=[
            (ms(spell.start), ms(spell.end), FAILING if failing(spell) else SLOW, spell_words([spell]))
            for spell in function.spells
        ],
    )


def _deadline(history: TrialHistory, scenario: Scenario, ms: Scale) -> tuple[int, str] | None:
    """Until when the strictest expectation wants all functions to be well again."""
    found = []
    for e in scenario.expectations:
        if isinstance(e, FunctionsRecover) and (fault := history.fault(e.fault)) is not None:
            since = fault.injected if e.since == "fault" else history.healed
            after = "" if e.since == "fault" else " after heal"
            found.append((ms(since + e.within), f"limit {show_duration(e.within)}{after}"))
    return min(found, default=None)


def _hosts(history: TrialHistory, scenario: Scenario, ms: Scale) -> HostsLane | None:
    holders = {h: described for h, described in scenario.observers.holders.items() if described.kind == "containers"}
    runs = host_runs(history, scenario)
    if not runs:
        return None
    lacking, whole = [run for run in runs if run.absences], [run for run in runs if not run.absences]
    mine = {h: [c for name in d.lists for c in copies(history, name) if c.holder == h] for h, d in holders.items()}
    return HostsLane(
        rows=[_host(run, ms) for run in lacking[:_MAX_HOSTS]],
        hidden=max(0, len(lacking) - _MAX_HOSTS),
        whole=sum(len(run.services) for run in whole),
        starts=[
            (ms(at), one_line(service if service == run.host else f"{run.host}/{service}"))
            for run in whole
            for at, service in run.starts
        ],
        blind=[stretch for holder, held in mine.items() for stretch in blind(history, scenario, holder, held, ms)],
    )


def _host(run: HostRun, ms: Scale) -> HostRow:
    return HostRow(
        host=one_line(run.host),
        of=len(run.services),
        absent=[(ms(a.start), ms(a.end), list(map(one_line, a.services))) for a in run.absences],
        starts=[(ms(at), one_line(service)) for at, service in run.starts],
    )


def _alerts(found: AlertList, history: TrialHistory, scenario: Scenario, ms: Scale) -> AlertsLane:
    fault = history.fault()
    deadline = None
    if found.within is not None and fault is not None:
        deadline = (ms(fault.injected + found.within), f"limit {show_duration(found.within)}")
    mine = [copy for copy in copies(history, found.list) if copy.holder == found.holder]
    return AlertsLane(
        list=one_line(found.list),
        holder=one_line(found.holder),
        rows=[
            AlertRow(text=alert.text, early=alert.early, spans=[(ms(start), ms(end)) for start, end in alert.spans])
            for alert in found.alerts[:_MAX_ALERTS]
        ],
        hidden=max(0, len(found.alerts) - _MAX_ALERTS),
        deadline=deadline,
        blind=blind(history, scenario, found.holder, mine, ms),
    )


def _gauge(gauge: Gauge, history: TrialHistory, scenario: Scenario, ms: Scale) -> GaugeLane:
    points = list(_thinned([(ms(at), value) for at, value in zip(gauge.at, gauge.values, strict=True)]))
    return GaugeLane(
        name=gauge.name,
        holder=one_line(gauge.holder),
        at=[at for at, _ in points],
        value=[None if value is None else round(value, 3) for _, value in points],
        limit=gauge.limit,
        asked=gauge.asked,
        blind=blind(history, scenario, gauge.holder, [], ms),
    )


def _thinned(points: Sequence[tuple[int, float | None]]) -> Iterator[tuple[int, float | None]]:
    """Keep of each stretch of time where it began, its highest value, and where it could not be read."""
    if len(points) <= _MAX_POINTS:
        yield from points
        return
    width = max(1, (points[-1][0] - points[0][0]) * 3 // _MAX_POINTS)
    stretch: list[tuple[int, float | None]] = []
    for point in [*points, None]:
        if stretch and (point is None or point[0] // width != stretch[0][0] // width):
            known = [p for p in stretch if p[1] is not None]
            unread = [p for p in stretch if p[1] is None]
            highest = max(known, key=lambda p: p[1] or 0.0) if known else stretch[0]
            yield from sorted({stretch[0], highest, stretch[-1], *unread[:1]}, key=lambda p: p[0])
            stretch = []
        if point is not None:
            stretch.append(point)
