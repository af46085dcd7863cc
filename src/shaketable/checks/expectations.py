"""Each expectation as a pure function of the history: a verdict, a value beside its limit, and a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shaketable.checks.listed import Copy, belongs, copies, unreadable
from shaketable.checks.statistics import quantile
from shaketable.model.history import FaultRecord, Look, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import (
    Appears,
    Availability,
    Expectation,
    Latency,
    Leaves,
    NotCalled,
    Recovers,
    Scenario,
    Stays,
    WritesKept,
)
from shaketable.model.units import show_duration as show


def evaluate(expectation: Expectation, history: TrialHistory, scenario: Scenario) -> Finding:
    """Judge one expectation. `unknown` means the history cannot tell, and says why."""
    fault = history.fault(expectation.fault)
    if fault is None:
        return _finding(
            expectation,
            "unknown",
            f"{expectation.fault or 'no fault'} was {'not ' if expectation.fault else ''}injected",
        )
    check: Callable[..., Finding] = _CHECKS[expectation.kind]
    return check(expectation, history, fault, scenario)


def _finding(
    expectation: Expectation,
    verdict: Any,
    because: str,
    value: float | None = None,
    limit: float | None = None,
    *,
    unit: str = "s",
    evidence: Sequence[Evidence] = (),
) -> Finding:
    return Finding(
        id=expectation.id,
        kind=expectation.kind,
        verdict=verdict,
        value=None if value is None else round(value, 6),
        limit=limit,
        unit=unit,
        because=because,
        evidence=tuple(evidence),
    )


def _names(hosts: Sequence[str]) -> str:
    return " and ".join(hosts)


def leaves(e: Leaves, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every entry of the target leaves every holder within the limit and stays away until heal.

    What was seen to be listed fails, whatever could not be seen elsewhere. Listed means listed when the fault was sent:
    a host that is stopped says goodbye before its last instance has ended.
    """
    t0, deadline = fault.injected, fault.injected + e.within
    evidence: list[Evidence] = []
    wrong: list[tuple[float, str]] = []
    last = 0.0
    seen, blind = False, ""
    for copy in copies(history, e.list):
        blind = blind or _blind(copy, e.within, fault, scenario)
        seen = seen or any(belongs(entry, fault.targets) for entry in copy.known_at(min(fault.sent, t0)))
        for entry, start, ends, known in _listed_while_down(copy, fault):
            begins = max(start, t0)
            evidence.append(
                Evidence(where=copy.holder, start=begins - t0, end=ends - t0, text=f"{copy.holder} lists {entry}")
            )
            if known <= deadline:
                last = max(last, ends - t0)
            elif start <= deadline:
                still = " when it was healed" if known >= fault.heal_began else ""
                what = f"still listed {entry} {show(known - t0)} after the {fault.kind}{still}"
                wrong.append((known - t0, f"{copy.holder} {what}"))
            else:
                what = f"listed {entry} again {show(start - t0)} after the {fault.kind}"
                wrong.append((known - t0, f"{copy.holder} {what}"))
    if wrong:
        wrong.sort(reverse=True)
        more = f", and {len(wrong) - 1} more" if wrong[1:] else ""
        return _finding(
            e, "fail", f"{wrong[0][1]} (limit {show(e.within)}){more}", wrong[0][0], e.within, evidence=evidence
        )
    if not seen:
        return _finding(e, "unknown", f"no holder listed {_names(fault.targets)} when the fault began", None, e.within)
    if not blind and fault.heal_began <= deadline:
        healed = f"healed {show(fault.heal_began - t0)} after the fault" if fault.heal_began > t0 else "never healed"
        blind = f"{_names(fault.targets)} was {healed}, so the limit was not reached"
    if blind:
        return _finding(e, "unknown", blind, None, e.within, evidence=evidence)
    return _finding(
        e,
        "pass",
        f"the last entry of {_names(fault.targets)} left after {show(last)}",
        last,
        e.within,
        evidence=evidence,
    )


def _listed_while_down(copy: Copy, fault: FaultRecord) -> Iterator[tuple[str, float, float, float]]:
    """Each time an entry of the target was listed between the fault and heal: entry, since when, until when.

    The end is given twice: when it was first seen to be gone, and until when it was last seen to be there.
    """
    for entry in sorted(entry for entry in copy.entries() if belongs(entry, fault.targets)):
        for start, end in copy.listed(entry):
            begins, ends = max(start, fault.injected), min(end, fault.heal_began)
            if ends > begins:
                yield entry, start, ends, copy.last_seen(entry, begins, ends)


def _blind(copy: Copy, within: float, fault: FaultRecord, scenario: Scenario) -> str:
    """Why a holder could have listed the target unseen, at the limit or after it; empty if it could not."""
    deadline = fault.injected + within
    if (span := copy.at(deadline)) is None or span.entries is None:
        return f"{copy.holder} could not be read {show(within)} after the fault"
    if (dark := copy.blind(deadline, fault.heal_began)) > scenario.observers.max_gap:
        return f"{copy.holder} could not be read for {show(dark)} between the limit and heal"
    return ""


def stays(e: Stays, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No bystander's entry disappears from any holder between the fault and the end of the trial."""
    t0 = fault.injected
    gone: list[tuple[float, str]] = []
    evidence: list[Evidence] = []
    watched = 0
    for copy in copies(history, e.list):
        if (blind := unreadable(copy, t0, history.ended)) > scenario.observers.max_gap:
            return _finding(
                e, "unknown", f"{copy.holder} could not be read for {show(blind)}", None, 0.0, unit="entries"
            )
        for entry in sorted(x for x in copy.known_at(t0) if not belongs(x, history.targets)):
            watched += 1
            for start, end in _absences(copy, entry, t0, history.ended):
                gone.append(
                    (end - start, f"{copy.holder} did not list {entry} for {show(end - start)}, though it was healthy")
                )
                evidence.append(Evidence(where=copy.holder, start=start - t0, end=end - t0, text=gone[-1][1]))
    if not watched:
        return _finding(e, "unknown", "no bystander was listed when the fault began", None, 0.0, unit="entries")
    if gone:
        gone.sort(reverse=True)
        more = f", and {len(gone) - 1} more" if gone[1:] else ""
        return _finding(e, "fail", gone[0][1] + more, float(len(gone)), 0.0, unit="entries", evidence=evidence)
    return _finding(e, "pass", f"all {watched} healthy entries stayed", 0.0, 0.0, unit="entries")


def _absences(copy: Copy, entry: str, start: float, end: float) -> list[tuple[float, float]]:
    """Stretches of [start, end] in which the entry was not listed."""
    gaps, at = [], start
    for begins, ends in copy.listed(entry):
        if begins > at and begins > start:
            gaps.append((at, min(begins, end)))
        at = max(at, ends)
    if at < end:
        gaps.append((at, end))
    return [(a, b) for a, b in gaps if b > a and a < end]


def not_called(e: NotCalled, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """No request that starts after the limit and before heal is sent on to the target."""
    start, end = fault.injected + e.after, fault.heal_began
    window = [r for r in history.requests if start < r.started < end]
    if not window:
        return _finding(
            e,
            "unknown",
            f"no request started between {show(e.after)} after the fault and heal",
            None,
            0.0,
            unit="requests",
        )
    if not any(r.upstreams for r in history.requests):
        return _finding(e, "unknown", "no answer names the instances that were called", None, 0.0, unit="requests")
    bad = [(r, u) for r in window for u in r.upstreams if belongs(u, fault.targets)]
    if bad:
        first, upstream = bad[0]
        by = f" by {first.served_by}" if first.served_by else ""
        because = (
            f"{upstream} was called{by} {show(first.started - fault.injected)} after the {fault.kind}; "
            f"{len(bad)} such calls in {len(window)} requests"
        )
        evidence = [
            Evidence(where="pages", start=r.started - fault.injected, end=r.ended - fault.injected, text=f"called {u}")
            for r, u in bad[:50]
        ]
        return _finding(e, "fail", because, float(len(bad)), 0.0, unit="requests", evidence=evidence)
    return _finding(
        e, "pass", f"none of {len(window)} requests was sent on to {_names(fault.targets)}", 0.0, 0.0, unit="requests"
    )


def _window(history: TrialHistory, fault: FaultRecord, except_first: float) -> list[Request]:
    start = fault.injected + except_first
    end = history.recovered if history.recovered is not None else history.ended
    return [r for r in history.requests if start <= r.scheduled <= max(end, start)]


def availability(e: Availability, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """The share of arrivals that succeeded."""
    window = _window(history, fault, e.except_first)
    if not window:
        return _finding(e, "unknown", "no arrival fell into the window", None, e.at_least, unit="share")
    bad = [r for r in window if not r.ok]
    share = 1 - len(bad) / len(window)
    because = (
        f"{len(window) - len(bad)} of {len(window)} arrivals succeeded ({share:.1%}, at least {e.at_least:.3g} asked)"
    )
    if bad:
        because += f"; the first to fail: {bad[0].error or f'status {bad[0].status}'} after {show(bad[0].latency)}"
    return _finding(e, "pass" if share >= e.at_least - 1e-12 else "fail", because, share, e.at_least, unit="share")


def latency(e: Latency, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """A quantile of the latency, failed arrivals included, from the scheduled start."""
    window = _window(history, fault, e.except_first)
    if not window:
        return _finding(e, "unknown", "no arrival fell into the window", None, e.at_most)
    value = quantile([r.latency for r in window], e.quantile)
    slow = sum(r.latency > e.at_most for r in window)
    because = f"p{e.quantile * 100:g} of {len(window)} arrivals was {show(value)} (limit {show(e.at_most)}), {slow} were slower"
    return _finding(e, "pass" if value <= e.at_most else "fail", because, value, e.at_most)


def appears(e: Appears, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """A new entry with the text appears in the list within the limit."""
    t0 = fault.injected
    wanted = [e.contains.replace("{target}", host) for host in fault.targets]
    found: list[tuple[float, str, str]] = []
    for copy in copies(history, e.list):
        new = [entry for entry in copy.entries() - copy.known_at(t0) if any(text in entry for text in wanted)]
        found += [(copy.listed(entry)[0][0] - t0, copy.holder, entry) for entry in new]
    if found and (first := min(found))[0] <= e.within:
        evidence = [Evidence(where=first[1], start=first[0], end=first[0], text=first[2])]
        return _finding(e, "pass", f'"{first[2]}" after {show(first[0])}', first[0], e.within, evidence=evidence)
    for copy in copies(history, e.list):
        if (dark := copy.blind(t0, t0 + e.within)) > scenario.observers.max_gap:
            return _finding(e, "unknown", f"{copy.holder} could not be read for {show(dark)}", None, e.within)
    if found:
        return _finding(
            e,
            "fail",
            f'"{min(found)[2]}" came only after {show(min(found)[0])} (limit {show(e.within)})',
            min(found)[0],
            e.within,
        )
    if history.ended < t0 + e.within:
        return _finding(
            e,
            "unknown",
            f"the trial ended {show(history.ended - t0)} after the fault, before the limit",
            None,
            e.within,
        )
    return _finding(
        e, "fail", f"nothing about {_names(wanted)} appeared in {e.list} within {show(e.within)}", None, e.within
    )


def writes_kept(e: WritesKept, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """Writes acknowledged before heal are listed afterwards by every holder of the list, each once.

    Only writes made for the list count: those that a holder ever listed, or that nobody lists and whose request has the
    name of one that was listed. A write that was not acknowledged may be there or not.
    """
    last = _last_looks(history, e.list)
    listed = {x for look in history.looks if look.list == e.list for x in look.entries or ()}
    names = {r.name for r in history.requests if r.wrote in listed}
    acknowledged = [r for r in history.requests if r.ok and r.wrote and r.name in names and r.ended < fault.heal_began]
    if not acknowledged:
        return _finding(e, "unknown", f"no write to {e.list} was acknowledged before heal", unit="writes")
    for holder, look in last.items():
        if look is None and history.recovered is None:
            because = f"{holder} did not come back: {len(acknowledged)} acknowledged writes are out of reach"
            return _finding(e, "fail", because, float(len(acknowledged)), float(e.lost_at_most), unit="writes")
        if look is None or look.at < fault.healed:
            return _finding(e, "unknown", f"{holder} could not be read after heal", unit="writes")
    lost: dict[str, tuple[str, float]] = {}
    doubled: dict[str, str] = {}
    for holder, look in last.items():
        there = Counter(look.entries if look else ())
        lost |= {r.wrote: (holder, r.ended) for r in acknowledged if not there[r.wrote]}
        doubled |= {r.wrote: holder for r in acknowledged if there[r.wrote] > 1}
    count = len(lost) + len(doubled)
    if lost:
        holder, ended = max(lost.values(), key=lambda one: fault.injected - one[1])
        what = f"{len(lost)} of {len(acknowledged)} acknowledged writes are gone from {holder}"
        because = f"{what}, the oldest acknowledged {show(fault.injected - ended)} before the {fault.kind}"
    elif doubled:
        entry, holder = next(iter(doubled.items()))
        because = f"{len(doubled)} acknowledged writes are there twice, as {entry} in {holder}"
    else:
        because = f"all {len(acknowledged)} acknowledged writes are there, each once"
    wrong = doubled or len(lost) > e.lost_at_most
    return _finding(e, "fail" if wrong else "pass", because, float(count), float(e.lost_at_most), unit="writes")


def _last_looks(history: TrialHistory, name: str) -> dict[str, Look | None]:
    """Each holder's last readable copy of a list, None when what came last could not be read."""
    found: dict[str, Look | None] = {}
    for look in history.looks:
        if look.list == name:
            found[look.holder] = None if look.entries is None else look
    return found


def recovers(e: Recovers, history: TrialHistory, _: FaultRecord, __: Scenario) -> Finding:
    """Steady state is reached, and held, within the limit after the last heal."""
    if history.recovered is None:
        waited = show(max(0.0, history.ended - history.healed))
        return _finding(e, "fail", f"not steady again {waited} after heal (limit {show(e.within)})", None, e.within)
    value = max(0.0, history.recovered - history.healed)
    return _finding(
        e, "pass" if value <= e.within else "fail", f"steady again {show(value)} after heal", value, e.within
    )


_CHECKS: dict[str, Callable[..., Finding]] = {
    "leaves": leaves,
    "stays": stays,
    "not-called": not_called,
    "availability": availability,
    "latency": latency,
    "appears": appears,
    "recovers": recovers,
    "writes-kept": writes_kept,
}
