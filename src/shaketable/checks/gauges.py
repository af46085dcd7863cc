"""Claims about a number that some holder reads: how high it goes, how far it counts, when it is back, whether it warns."""

from __future__ import annotations

import math
from collections.abc import Sequence

from shaketable.checks.findings import finding, names
from shaketable.checks.functions import Function, by_name, functions
from shaketable.checks.periods import Period, control, period
from shaketable.checks.readings import Gauge, Reading, gauges, stretches
from shaketable.checks.told import Told, judged, nobody
from shaketable.model.claims import Ceiling, Growth, Returns, WarnsEarly
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


def ceiling(e: Ceiling, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """From the fault until the trial's end never above its number for longer than it may be."""
    told = [_highest(e, gauge, fault, history.ended) for gauge in gauges(history, scenario, e.gauge)]
    return judged(e, told, fault, e.longest or e.at_most, "s" if e.longest else e.gauge)


def _highest(e: Ceiling, gauge: Gauge, fault: FaultRecord, end: float) -> Told:
    seen = tuple(gauge.within(fault.injected, end))
    above = sorted(stretches(seen, e.at_most), key=lambda s: s[1] - s[0], reverse=True)
    peak = max((r.value for r in seen if r.value is not None), default=-math.inf)
    longest = above[0][1] - above[0][0] if above else 0.0
    value = longest if e.longest else max(peak, 0.0) if math.isinf(peak) else peak
    spans = tuple((a, b, f"{gauge.name} up to {p:g}") for a, b, p in sorted(above))
    if longest > e.longest + 1e-9:
        start, stop, high = above[0]
        limit = f" (limit {show(e.longest)})" if e.longest else ""
        words = (
            f"{gauge} was above {e.at_most:g} for {show(stop - start)}{limit}, {_from(start, fault)}, up to {high:g}"
        )
        more = f", and {len(above) - 1} more times" if above[1:] else ""
        return Told(gauge, value, f"{words}{more}", wrong=True, spans=spans)
    unread = [b - a for a, b, _ in stretches(seen, e.at_most, unread=True)]
    dark = max((r.end - r.start for r in seen if r.value is None), default=0.0)
    unseen = ""
    if not seen or math.isinf(peak):
        unseen = f"nobody said what {gauge} was after the {fault.kind}"
    elif max(unread, default=0.0) > e.longest + 1e-9:
        unseen = f"{gauge} could not be read for {show(dark)} after the {fault.kind}"
    words = f"{gauge} was at most {peak:g} (limit {e.at_most:g})"
    if longest:
        words = f"{gauge} was above {e.at_most:g} for {show(longest)} at a time (limit {show(e.longest)})"
    return Told(gauge, value, words, unseen=unseen, spans=spans)


def _from(moment: float, fault: FaultRecord) -> str:
    return f"from {show(max(0.0, moment - fault.injected))} after the {fault.kind} on"


def growth(e: Growth, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """What counts up is not much higher at the trial's end. When it falls, it was begun anew at 0, and counts on."""
    told = [_grown(e, gauge, fault, history.ended) for gauge in gauges(history, scenario, e.gauge)]
    return judged(e, told, fault, e.at_most, e.gauge)


def _grown(e: Growth, gauge: Gauge, fault: FaultRecord, end: float) -> Told:
    sent = min(fault.sent, fault.injected)
    known = [r for r in gauge.within(-math.inf, end) if r.value is not None]
    before = [r for r in known if r.start <= sent]
    if not before:
        return Told(gauge, 0.0, "", unseen=f"nobody said what {gauge} was before the {fault.kind}")
    total, last = 0.0, _number(before[-1])
    rises: list[tuple[float, float, str]] = []
    for reading in known[len(before) :]:
        value = _number(reading)
        by = value - last if value >= last else value
        total, last = total + by, value
        if by:
            rises.append((reading.start, reading.start, f"{gauge.name} rose by {by:g}"))
    first = f"; the first rise {show(rises[0][0] - fault.injected)} after it" if rises else ""
    words = f"{gauge} rose by {total:g} after the {fault.kind} was sent (at most {e.at_most:g}){first}"
    if total > e.at_most + 1e-9:
        return Told(gauge, total, words, wrong=True, spans=tuple(rises))
    unseen = ""
    if before[-1].end < sent:
        unseen = f"{gauge} could not be read when the {fault.kind} was sent"
    elif (final := known[-1]).end < end:
        unseen = f"{gauge} could not be read in the last {show(end - final.end)} of the trial"
    return Told(gauge, total, words, unseen=unseen, spans=tuple(rises))


def _number(reading: Reading) -> float:
    return math.nan if reading.value is None else reading.value


def returns(e: Returns, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """From the limit on at the latest it is at most what it was before the first fault, and a margin."""
    time = period(e, history, fault)
    if time is None:
        return finding(e, "unknown", f"the {fault.kind} was never healed", None, e.within)
    before = control(history, scenario)
    told = [_back(e, gauge, time, before) for gauge in gauges(history, scenario, e.gauge)]
    return judged(e, told, fault, e.within, "s")


def _back(e: Returns, gauge: Gauge, time: Period, before: tuple[float, float]) -> Told:
    rest = max((r.value for r in gauge.within(*before) if r.value is not None), default=None)
    if rest is None:
        return Told(gauge, 0.0, "", unseen=f"nobody said what {gauge} was before the first fault")
    most, deadline = rest + e.margin + 1e-9, time.start + e.within
    seen = tuple(gauge.within(time.start, time.end))
    above = tuple(stretches(seen, most))
    spans = tuple((a, b, f"{gauge.name} up to {p:g}, {rest:g} before") for a, b, p in above)
    margin = f" and a margin of {e.margin:g}" if e.margin else ""
    allowed = f"(before the first fault {rest:g}{margin})"
    until = above[-1][1] if above else time.start
    value = time.after(until)
    if value > e.within + 1e-9:
        start, stop, high = above[-1]
        last = next(_number(r) for r in reversed(seen) if r.value is not None and r.end <= stop and r.value > most)
        state = f"still {last:g}" if stop >= time.end - 1e-9 else f"up to {high:g} until then"
        when = f"{show(value)} after {time.since}"
        ended = f" when {time.until}" if stop >= time.end - 1e-9 else f", from {show(time.after(start))} on"
        words = f"{gauge} was {state} {when}{ended} {allowed}; limit {show(e.within)}"
        return Told(gauge, value, words, wrong=True, spans=spans)
    unseen = ""
    dark = max((r.end - max(r.start, deadline) for r in seen if r.value is None), default=0.0)
    if time.end < deadline - 1e-9:
        unseen = f"{time.until} {show(time.after(time.end))} after {time.since}, before the limit of {show(e.within)}"
    elif dark > 0:
        unseen = f"{gauge} could not be read for {show(dark)} after the limit"
    elif not any(r.value is not None for r in seen):
        unseen = f"nobody said what {gauge} was after {time.since}"
    words = f"{gauge} was back {show(value)} after {time.since} {allowed}"
    if not above:
        words = f"{gauge} was never higher after {time.since} {allowed}"
    return Told(gauge, value, words, unseen=unseen, spans=spans)


def warns_early(e: WarnsEarly, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """The first time above the number is early enough before the first function is degraded, and none is before the fault."""
    held = gauges(history, scenario, e.gauge)
    if not held:
        return finding(e, "unknown", nobody(e.gauge), None, e.lead)
    start, sent = control(history, scenario)
    if false := _first(held, e, start, sent):
        when = f"{show(max(0.0, sent - false[0]))} before the first fault, when nothing was wrong"
        return finding(e, "fail", f"{false[1]} was above {e.above:g} already {when}", None, e.lead)
    hurt = _degraded(history, fault)
    if hurt is None and not any(r.scheduled >= fault.injected for r in history.requests):
        return finding(e, "unknown", f"nobody asked for anything after the {fault.kind}", None, e.lead)
    warned = _first(held, e, sent, history.ended)
    if hurt is None:
        said = f"{warned[1]} was above {e.above:g} {_from(warned[0], fault)}" if warned else "nor did it warn"
        return finding(e, "pass", f"no function was degraded; {said}", None, e.lead)
    return _lead(e, held, warned, hurt, fault)


def _first(held: Sequence[Gauge], e: WarnsEarly, start: float, end: float) -> tuple[float, Gauge] | None:
    """When a gauge was first above its number within [start, end], and which."""
    found = [(first[0], g) for g in held if (first := next(stretches(g.within(start, end), e.above), None))]
    return min(found, key=lambda pair: pair[0], default=None)


def _lead(
    e: WarnsEarly,
    held: Sequence[Gauge],
    warned: tuple[float, Gauge] | None,
    hurt: tuple[float, str],
    fault: FaultRecord,
) -> Finding:
    """How long before users felt it."""
    moment, name = hurt
    felt = f"{name} was degraded {_from(moment, fault)}"
    lead = moment - warned[0] if warned else -math.inf
    unread = [(r.end - r.start, g) for g in held for r in g.within(fault.injected, moment - e.lead) if r.value is None]
    if lead < e.lead - 1e-9 and unread:
        dark, gauge = max(unread, key=lambda pair: pair[0])
        return finding(e, "unknown", f"{gauge} could not be read for {show(dark)}, and {felt}", None, e.lead)
    if warned is None:
        said = f"{names([str(gauge) for gauge in held])} was never above {e.above:g}"
        return finding(e, "fail", f"{felt}, and {said}", None, e.lead)
    evidence = [
        Evidence(
            where=warned[1].holder,
            start=warned[0] - fault.injected,
            end=warned[0] - fault.injected,
            text=f"{e.gauge} above {e.above:g}",
        ),
        Evidence(where="pages", start=moment - fault.injected, end=moment - fault.injected, text=f"{name} is degraded"),
    ]
    order = f"{show(abs(lead))} {'before' if lead >= 0 else 'after'} {name} was degraded"
    said = f"{warned[1]} was above {e.above:g} {_from(warned[0], fault)}, {order}"
    good = lead >= e.lead - 1e-9
    because = said if good else f"{said} (asked {f'{show(e.lead)} ' if e.lead else ''}before)"
    return finding(e, "pass" if good else "fail", because, lead, e.lead, evidence=evidence)


def _degraded(history: TrialHistory, fault: FaultRecord) -> tuple[float, str] | None:
    """When the first arrival after the fault was due that failed or was slow in a window that is degraded, and of what."""
    named = by_name(history.requests)
    found = [first for f in functions(history) if (first := _felt(f, named[f.name], fault)) is not None]
    return min(found, default=None)


def _felt(function: Function, mine: Sequence[Request], fault: FaultRecord) -> tuple[float, str] | None:
    """When the first arrival was due, after a fault, that a degraded function failed or kept waiting."""
    slow = function.baseline.slow if function.baseline else math.inf
    due = [
        r.scheduled
        for spell in function.spells
        for r in mine
        if max(spell.start, fault.injected) <= r.scheduled < spell.end and (not r.ok or r.latency > slow)
    ]
    return (min(due), function.name) if due else None
