"""What a status page tells of a trial beside its functions: what ran, which alerts fired, and how far work fell behind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shaketable.checks.listed import Copy, copies
from shaketable.model.claims import Alerted, Ceiling, FunctionsRecover, Quiet, RunawayEnds, WarnsEarly
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.reports.digest import one_line

WARNS: Final = "warns above"
RUNS_AWAY: Final = "runs away above"
"""What a gauge's number may be, beside what it is held to: above it, it warns of what comes, or shows a runaway."""


@dataclass(frozen=True, slots=True)
class Absence:
    """From `start` to `end` (seconds) these services of a host did not run."""

    start: float
    end: float
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostRun:
    """What ran on one host: of `services`, the ones that ran before the fault, which were absent when, and new starts."""

    host: str
    services: tuple[str, ...]
    absences: tuple[Absence, ...]
    starts: tuple[tuple[float, str], ...]
    """(moment, service) of each start within the trial, seconds."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as its receiver listed it."""

    text: str
    spans: tuple[tuple[float, float], ...]
    early: bool
    """It fired while nothing was wrong, and an expectation forbids that."""
    asked: bool
    """It is one that an expectation asks for after the fault."""


@dataclass(frozen=True, slots=True)
class AlertList:
    """One list of alerts at one holder."""

    holder: str
    list: str
    alerts: tuple[Alert, ...]
    within: float | None
    """Seconds after the fault, by which one that is asked for must have come; None where none is."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number at one holder over the trial; `at` seconds, a value holds until the next."""

    holder: str
    name: str
    at: tuple[float, ...]
    values: tuple[float | None, ...]
    """None while it could not be read."""
    limit: float | None
    """What it may be; None where nothing is asked."""
    asked: str = "when steady"
    """When it may be that, in words."""


def first_effect(history: TrialHistory) -> float:
    """Where a trial's times count from: the effect of its fault, or its begin where there was none."""
    fault = history.fault()
    return fault.injected if fault else history.began


def alert_lists(scenario: Scenario) -> tuple[str, ...]:
    """Name the lists that hold alerts: those that an expectation treats as such."""
    return tuple(dict.fromkeys(e.list for e in scenario.expectations if isinstance(e, Alerted | Quiet)))


def host_runs(history: TrialHistory, scenario: Scenario) -> tuple[HostRun, ...]:
    """Gather what ran on each host, in the words of the holders of kind `containers`, in the order of their names."""
    names = [
        (holder, name, what)
        for holder, described in scenario.observers.holders.items()
        if described.kind == "containers"
        for name, what in described.lists.items()
    ]
    running = [
        c for holder, name, what in names if what == "names" for c in copies(history, name) if c.holder == holder
    ]
    started = [
        c for holder, name, what in names if what == "starts" for c in copies(history, name) if c.holder == holder
    ]
    sent = min((fault.sent for fault in history.faults), default=None)
    hosts: dict[str, set[str]] = {}
    for copy in running:
        for entry in copy.known_at(sent) if sent is not None else copy.entries():
            hosts.setdefault(_host(entry), set()).add(entry)
    starts = sorted({start for copy in started for entry in copy.entries() for start in _start(entry, history)})
    return tuple(
        HostRun(
            host=host,
            services=tuple(sorted(map(_service, entries))),
            absences=tuple(absence for copy in running for absence in _absences(copy, entries, history)),
            starts=tuple((at, _service(entry)) for at, entry in starts if _host(entry) == host),
        )
        for host, entries in sorted(hosts.items())
    )


def _host(entry: str) -> str:
    return entry.partition("/")[0]


def _service(entry: str) -> str:
    host, _, service = entry.partition("/")
    return service or host


def _start(entry: str, history: TrialHistory) -> Iterator[tuple[float, str]]:
    """Read `host/service <seconds>`; what began before the trial, or cannot be read, is not news."""
    name, _, text = entry.rpartition(" ")
    at = _number(text)
    if name and at is not None and history.began <= at <= history.ended:
        yield at, name


def _absences(copy: Copy, entries: set[str], history: TrialHistory) -> Iterator[Absence]:
    """Find the stretches in which some of the entries were absent; an unreadable stretch neither begins nor ends one."""
    open_since, absent = 0.0, frozenset[str]()
    for span in copy.spans:
        now = absent if span.entries is None else frozenset(entries - span.entries)
        if now != absent:
            if absent and span.start > history.began:
                yield Absence(open_since, span.start, tuple(sorted(map(_service, absent))))
            open_since, absent = max(span.start, history.began), now
    if absent and history.ended > open_since:
        yield Absence(open_since, history.ended, tuple(sorted(map(_service, absent))))


def alerts(history: TrialHistory, scenario: Scenario) -> tuple[AlertList, ...]:
    """Gather every alert that a receiver listed, in the order in which they came."""
    found = []
    for name in alert_lists(scenario):
        claims = [e for e in scenario.expectations if isinstance(e, Alerted | Quiet) and e.list == name]
        limits = [e.within for e in claims if isinstance(e, Alerted)]
        for copy in copies(history, name):
            listed = [(entry, _clipped(copy.listed(entry), history)) for entry in copy.entries()]
            rows = [_alert(entry, spans, claims, history, scenario) for entry, spans in listed if spans]
            rows.sort(key=lambda alert: (alert.spans[0], alert.text))
            found.append(AlertList(copy.holder, name, tuple(rows), min(limits, default=None)))
    return tuple(found)


def _alert(
    entry: str,
    spans: tuple[tuple[float, float], ...],
    claims: Sequence[Alerted | Quiet],
    history: TrialHistory,
    scenario: Scenario,
) -> Alert:
    about = [e for e in claims if any(text in entry for text in _texts(e, history))]
    well = history.began if history.steady is None else max(history.began, history.steady - scenario.steady.hold)
    sent = min((min(fault.sent, fault.injected) for fault in history.faults), default=-math.inf)
    return Alert(
        text=one_line(entry),
        spans=spans,
        early=bool(about) and any(start < sent and end > well for start, end in spans),
        asked=any(isinstance(e, Alerted) for e in about),
    )


def _texts(e: Alerted | Quiet, history: TrialHistory) -> list[str]:
    """List the texts an entry must have one of."""
    fault = history.fault(e.fault)
    targets = fault.targets if fault else history.targets
    return [e.contains.replace("{target}", target) for target in targets] or [e.contains]


def _clipped(spans: Iterable[tuple[float, float]], history: TrialHistory) -> tuple[tuple[float, float], ...]:
    inside = [(max(start, history.began), min(end, history.ended)) for start, end in spans]
    return tuple((start, end) for start, end in inside if end > start)


def gauges(history: TrialHistory, scenario: Scenario) -> tuple[Gauge, ...]:
    """Gather the numbers that holders tell, each with what it may be: after the fault if that is asked, else when steady."""
    found = []
    for holder, described in scenario.observers.holders.items():
        for name in described.gauges:
            looks = [look for look in history.looks if look.holder == holder and look.list == name]
            limit, asked = _limit(name, scenario)
            values = tuple(_number(look.entries[0]) if look.entries else None for look in looks)
            at = tuple(max(look.at, history.began) for look in looks)
            found.append(Gauge(holder, one_line(name), at, values, limit, asked))
    return tuple(found)


def _limit(name: str, scenario: Scenario) -> tuple[float | None, str]:
    """What a gauge may be, and when: what is claimed of it by itself goes before what is asked of the whole."""
    claims = [e for e in scenario.expectations if isinstance(e, Ceiling | WarnsEarly) and e.gauge == name]
    if most := [e.at_most for e in claims if isinstance(e, Ceiling)]:
        return min(most), "at most"
    if runaway := [e.gauges[name] for e in scenario.expectations if isinstance(e, RunawayEnds) and name in e.gauges]:
        return min(runaway), RUNS_AWAY
    if warned := [e.above for e in claims if isinstance(e, WarnsEarly)]:
        return min(warned), WARNS
    steady = [scenario.steady.gauges[name]] if name in scenario.steady.gauges else []
    rest = [e.gauges[name] for e in scenario.expectations if isinstance(e, FunctionsRecover) and name in e.gauges]
    return min([*steady, *rest], default=None), "when steady"


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
