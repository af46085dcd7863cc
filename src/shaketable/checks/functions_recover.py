"""Recovery counts when every function is well again and every queue is drained, not when the first page loads."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shaketable.checks.findings import finding, names
from shaketable.checks.functions import baseline, by_name, is_bad, windows
from shaketable.checks.listed import Copy, copies, gauged
from shaketable.checks.periods import Period, period
from shaketable.model.claims import FunctionsRecover
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


@dataclass(frozen=True, slots=True)
class _State:
    """One function or gauge: when it was well for good, and how much of that was seen."""

    name: str
    where: str
    """The lane of the timeline that shows it."""
    well: float
    """From when on it was seen to be well until the end, absolute; infinity if it was not."""
    bad: float
    """Until when it was last seen not to be well, absolute; minus infinity if it never was."""
    last: str
    """What was wrong when it was last not well, in a few words."""
    unseen: str = ""
    """Why nobody can tell whether it is well; empty if one can."""


def functions_recover(e: FunctionsRecover, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every function is good, and every gauge small enough, from the limit on at the latest.

    What was seen to be wrong after the limit fails, whatever could not be seen elsewhere.
    """
    time = period(e, history, fault)
    if time is None:
        return finding(e, "unknown", f"the {fault.kind} was never healed", None, e.within)
    states = [*_functions(e, history, time, scenario), *_gauges(e, history, time, scenario)]
    shift = fault.injected
    evidence = [
        Evidence(where=s.where, start=time.start - shift, end=min(s.well, time.end) - shift, text=f"{s.name}: {s.last}")
        for s in states
        if s.bad > time.start
    ]
    deadline = time.start + e.within + 1e-9
    late = sorted((s for s in states if s.bad > deadline), key=lambda s: (s.bad, s.well), reverse=True)
    if late:
        said = f"{late[0].name} was not well {show(time.after(late[0].bad))} after {time.since}: {late[0].last}"
        others = f"; nor {_list([f'{s.name} ({show(time.after(s.bad))})' for s in late[1:]])}" if late[1:] else ""
        because = f"{said} (limit {show(e.within)}){others}"
        return finding(e, "fail", because, time.after(late[0].bad), e.within, evidence=evidence)
    unseen = _unseen(e, states, time, deadline)
    if unseen:
        return finding(e, "unknown", unseen, None, e.within, evidence=evidence)
    return _recovered(e, states, time, evidence)


def _unseen(e: FunctionsRecover, states: Sequence[_State], time: Period, deadline: float) -> str:
    """Why nobody can tell whether all were well from the limit on; empty if one can."""
    if not states:
        return f"nobody asked for anything after {time.since}"
    for state in states:
        seen = time.end - max(state.well, time.start)
        if state.unseen:
            return state.unseen
        if state.well > deadline:
            return (
                f"nobody saw {state.name} from {show(time.after(state.bad))} after {time.since} until after the limit"
            )
        if seen < e.hold - 1e-9:
            return f"{state.name} was seen well for {show(seen)} only, of {show(e.hold)}, when {time.until}"
    return ""


def _recovered(e: FunctionsRecover, states: Sequence[_State], time: Period, evidence: Sequence[Evidence]) -> Finding:
    took = sorted(((time.after(s.well), s.name) for s in states), reverse=True)
    slow = [(seconds, name) for seconds, name in took if seconds > 0]
    if not slow:
        because = f"all {len(states)} were well all the time after {time.since}"
        return finding(e, "pass", because, 0.0, e.within, evidence=evidence)
    said = _list([f"{name} {show(seconds)}" for seconds, name in slow])
    because = f"all {len(states)} are well again; after {time.since} it took {said}"
    return finding(e, "pass", because, slow[0][0], e.within, evidence=evidence)


def _list(items: Sequence[str]) -> str:
    """The first three, and how many more."""
    more = [f"{len(items) - 3} more"] if len(items) > 3 else []
    return names([", ".join(items[:3]), *more])


def _functions(e: FunctionsRecover, history: TrialHistory, time: Period, scenario: Scenario) -> Iterator[_State]:
    named = by_name(history.requests)
    for name in e.requests or sorted(named):
        mine = named.get(name, [])
        level = baseline(history, mine)
        slow = e.at_most if e.at_most is not None else level.slow if level else None
        patience = scenario.load.timeout if slow is None else slow
        due = [r for r in mine if r.scheduled < time.end and not _under_way(r, time.end, patience)]
        state = _function(name, due, e, time, slow)
        if not state.unseen and slow is None:
            why = f"nobody knows how fast {name} is when all is well: none of its arrivals came before the fault"
            state = replace(state, unseen=why)
        yield state


def _under_way(request: Request, end: float, patience: float) -> bool:
    """Whether an arrival had not ended at the end, and had not taken long by then: what became of it is no evidence."""
    return request.ended > end and end - request.scheduled <= patience


def _function(name: str, arrivals: Sequence[Request], e: FunctionsRecover, time: Period, slow: float | None) -> _State:
    well, bad, last, seen = time.start, -math.inf, "", False
    for start, window in windows(arrivals, e.window, time.start):
        now = start >= time.start - 1e-9
        if is_bad(window, 1 - e.at_least, slow):
            well, last = math.inf, _words(window, slow)
            bad = min(start + e.window, time.end) if now else bad
        elif math.isinf(well):
            well = max(start, time.start)
        seen = seen or now
    return _State(name, "pages", well, bad, last, "" if seen else f"nobody asked for {name} after {time.since}")


def _words(window: Sequence[Request], slow: float | None) -> str:
    failed = [r for r in window if not r.ok]
    if failed:
        return (
            f"{len(failed)} of {len(window)} arrivals failed, as by {failed[0].error or f'status {failed[0].status}'}"
        )
    limit = f", more than {show(slow)}" if slow is not None else ""
    return f"up to {show(max(r.latency for r in window))}{limit}"


def _gauges(e: FunctionsRecover, history: TrialHistory, time: Period, scenario: Scenario) -> Iterator[_State]:
    for name, most in e.gauges.items():
        found = copies(history, name)
        if not found:
            yield _State(name, "", math.inf, -math.inf, "", f"nobody ever said what {name} is")
        for copy in found:
            yield _gauge(copy, most, e, time, scenario.observers.max_gap)


def _gauge(copy: Copy, most: float, e: FunctionsRecover, time: Period, max_gap: float) -> _State:
    well, bad, last = time.start, -math.inf, ""
    for span in copy.spans:
        if span.start >= time.end:
            break
        if span.entries is None:
            continue
        value = gauged(span.entries)
        if not value <= most:
            well, last = math.inf, f"{value:g} (at most {most:g})"
            bad = min(span.end, time.end) if span.end > time.start else bad
        elif math.isinf(well):
            well = max(span.start, time.start)
    dark = copy.blind(time.start + e.within, time.end)
    unseen = f"{copy.holder} could not be read for {show(dark)} after the limit" if dark > max_gap else ""
    if copy.at(time.start) is None:
        unseen = f"nobody said what {copy.list} was right after {time.since}"
    return _State(copy.list, copy.holder, well, bad, last, unseen)
