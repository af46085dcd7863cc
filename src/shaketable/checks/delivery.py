"""Acknowledged writes that have to arrive somewhere else: each in time, once, and in order."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from shaketable.checks.findings import finding
from shaketable.checks.writes import acknowledged_writes
from shaketable.model.claims import ExactlyOnce
from shaketable.model.history import FaultRecord, Look, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

_UNIT = "writes"
_DRAWN = 50
"""How many writes of one kind are evidence: more would say the same."""


@dataclass(frozen=True, slots=True)
class _Dark:
    """From `start` until `end`, absolute seconds, a holder could not be read; `blind` if what came may be gone again."""

    start: float
    end: float
    blind: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    """An entry where it was first listed: the number of the look among the holder's, and when it was taken."""

    look: int
    at: float
    earliest: float
    """It cannot have come before this: the beginning of an unreadable stretch that the look ended, or `at`."""


@dataclass(frozen=True, slots=True)
class _Destination:
    """What one holder's looks say of all that arrived."""

    holder: str
    first: Mapping[str, _Seen]
    doubled: Mapping[str, tuple[float, int]]
    """When an entry was first listed more than once, and how often at most."""
    darks: Sequence[_Dark]

    def hides(self, request: Request) -> _Dark | None:
        """The longest stretch in which what this request wrote could have come and gone unseen."""
        blind = [dark for dark in self.darks if dark.blind and dark.end > request.started]
        return max(blind, key=lambda dark: dark.end - dark.start, default=None)


@dataclass(slots=True)
class _Kind:
    """The writes that are wrong in one way, and those that nobody can tell."""

    allowed: int
    found: dict[str, _Wrong] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)

    def add(self, wrong: _Wrong) -> None:
        """The worst of all holders is told."""
        known = self.found.get(wrong.write)
        if known is None or wrong.much > known.much:
            self.found[wrong.write] = wrong

    @property
    def exceeded(self) -> bool:
        """Whether there are more than there may be, whatever nobody could see."""
        return len(self.found) > self.allowed

    @property
    def doubtful(self) -> bool:
        """Whether there could be more than there may be."""
        return len(self.found.keys() | self.unsure) > self.allowed


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One write that is wrong in one holder."""

    write: str
    holder: str
    start: float
    end: float
    text: str
    much: float
    """By how much: seconds, or how often."""


def exactly_once(e: ExactlyOnce, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every acknowledged write whose time was over when the trial ended is listed in time, once, and in order.

    A list may drop its oldest entries again, so every look counts, not the last one alone. A write is there twice if
    one look lists it more than once. While a holder could not be read, something may have come and gone, unless an
    entry that was listed before is listed afterwards as well: then what came after it was not dropped either. A write
    that could have come and gone unseen is neither lost nor there once: nobody knows. Whatever arrives before its
    answer is in time.
    """
    limit = float(e.lost_at_most + e.doubled_at_most + e.late_at_most + e.out_of_order_at_most)
    acknowledged = {
        r.wrote: r for r in sorted(acknowledged_writes(history, e.list), key=lambda r: r.ended, reverse=True)
    }
    if not acknowledged:
        return finding(e, "unknown", f"no write to {e.list} was acknowledged", None, limit, unit=_UNIT)
    due = [r for r in acknowledged.values() if r.ended + e.within <= history.ended + 1e-9]
    if not due:
        because = f"the trial ended before any of {len(acknowledged)} acknowledged writes had had its {show(e.within)}"
        return finding(e, "unknown", because, None, limit, unit=_UNIT)
    due.sort(key=lambda r: (r.started, r.wrote))
    ordered = [r for r in due if e.in_order and all(key in r.labels for key in e.in_order)]
    if e.in_order and not ordered:
        because = f"no acknowledged write came from a user who has a {' and a '.join(e.in_order)}"
        return finding(e, "unknown", because, None, limit, unit=_UNIT)
    destinations = list(_destinations(history, scenario, e.list))
    kinds = {name: _Kind(most) for name, most in _allowed(e).items()}
    for destination in destinations:
        _arrivals(e, due, destination, kinds, history.ended)
        _order(e, ordered, destination, kinds["order"])
    return _said(e, due, destinations, kinds, fault)


def _allowed(e: ExactlyOnce) -> Mapping[str, int]:
    return {
        "lost": e.lost_at_most,
        "doubled": e.doubled_at_most,
        "late": e.late_at_most,
        "order": e.out_of_order_at_most,
    }


def _destinations(history: TrialHistory, scenario: Scenario, name: str) -> Iterator[_Destination]:
    """Every holder that has the list, or should have it, by its name."""
    looks: dict[str, list[Look]] = {
        h: [] for h, described in scenario.observers.holders.items() if name in described.lists
    }
    for look in history.looks:
        if look.list == name:
            looks.setdefault(look.holder, []).append(look)
    for holder in sorted(looks):
        described = scenario.observers.holders.get(holder)
        pace = (described.pace if described else None) or scenario.observers.every
        yield _destination(holder, looks[holder], history, scenario.observers.max_gap + pace)


def _destination(holder: str, looks: Sequence[Look], history: TrialHistory, gap: float) -> _Destination:
    """Read a holder's looks. A break of at most `gap` seconds is none: looks may be that far apart."""
    first: dict[str, _Seen] = {}
    doubled: dict[str, tuple[float, int]] = {}
    darks: list[_Dark] = []
    before: Sequence[str] = ()
    since: float | None = history.began
    for number, look in enumerate(looks):
        if look.entries is None:
            since = look.at if since is None else since
            continue
        earliest = look.at
        if since is not None and look.at - since > gap:
            darks.append(_Dark(since, look.at, blind=not set(before) & set(look.entries)))
            earliest = since
        for entry, times in Counter(look.entries).items():
            first.setdefault(entry, _Seen(number, look.at, earliest))
            if times > 1:
                at, most = doubled.get(entry, (look.at, times))
                doubled[entry] = (at, max(most, times))
        before, since = look.entries, None
    if since is not None and history.ended - since > gap:
        darks.append(_Dark(since, history.ended, blind=True))
    return _Destination(holder, first, doubled, darks)


def _arrivals(
    e: ExactlyOnce, due: Sequence[Request], there: _Destination, kinds: Mapping[str, _Kind], ended: float
) -> None:
    """Sort the writes by what one holder says of them."""
    for r in due:
        hidden = there.hides(r) is not None
        seen, often = there.first.get(r.wrote), there.doubled.get(r.wrote)
        if often is not None:
            at, times = often
            kinds["doubled"].add(_Wrong(r.wrote, there.holder, at, at, f"{r.wrote} {times} times", times))
        elif hidden:
            kinds["doubled"].unsure.add(r.wrote)
        if seen is None and hidden:
            kinds["lost"].unsure.add(r.wrote)
            kinds["late"].unsure.add(r.wrote)
        elif seen is None:
            kinds["lost"].add(_Wrong(r.wrote, there.holder, r.ended, ended, f"{r.wrote} never arrived", 0.0))
        elif (least := seen.earliest - r.ended) > e.within + 1e-9:
            text = f"{r.wrote} came {show(least)} after its answer"
            kinds["late"].add(_Wrong(r.wrote, there.holder, r.ended, seen.at, text, least))
        elif seen.at - r.ended > e.within + 1e-9:
            kinds["late"].unsure.add(r.wrote)


def _order(e: ExactlyOnce, ordered: Sequence[Request], there: _Destination, kind: _Kind) -> None:
    """Find every write that one of the same cohort, sent after its answer, overtook.

    It did if a look lists the later one and not yet the earlier. Which of two came first that one look is the first to
    list is not known; that matters only where the look ended an unreadable stretch, for others are close together.
    """

    def whose(r: Request) -> tuple[str, ...]:
        return tuple(r.labels[key] for key in e.in_order)

    for _, same in groupby(sorted(ordered, key=lambda r: (whose(r), r.started, r.wrote)), key=whose):
        seen = [(r, found) for r in same if (found := there.first.get(r.wrote)) is not None]
        starts = [r.started for r, _ in seen]
        overtaker: list[tuple[int, str]] = [(len(there.first) + 1, "")] * (len(seen) + 1)
        for number in range(len(seen) - 1, -1, -1):
            r, found = seen[number]
            overtaker[number] = min((found.look, r.wrote), overtaker[number + 1])
        for r, found in seen:
            look, other = overtaker[bisect_right(starts, r.ended)]
            if not other or look > found.look:
                continue
            if look == found.look:
                if found.earliest < found.at:
                    kind.unsure.add(r.wrote)
                continue
            text = f"{other} overtook {r.wrote}"
            kind.add(_Wrong(r.wrote, there.holder, there.first[other].at, found.at, text, found.at))


def _said(
    e: ExactlyOnce,
    due: Sequence[Request],
    destinations: Sequence[_Destination],
    kinds: Mapping[str, _Kind],
    fault: FaultRecord,
) -> Finding:
    """More than may be in any way fails, more than may be if all goes wrong that nobody saw is unknown."""
    t0 = fault.injected
    evidence = [
        Evidence(where=w.holder, start=w.start - t0, end=w.end - t0, text=w.text)
        for kind in kinds.values()
        for w in sorted(kind.found.values(), key=lambda w: w.start)[:_DRAWN]
    ]
    if exceeded := [kind for kind in kinds.values() if kind.exceeded]:
        value = float(sum(len(kind.found) for kind in exceeded))
        limit = float(sum(kind.allowed for kind in exceeded))
        return finding(e, "fail", _wrongs(e, due, kinds, fault), value, limit, unit=_UNIT, evidence=evidence)
    value = float(sum(len(kind.found) for kind in kinds.values()))
    limit = float(sum(kind.allowed for kind in kinds.values()))
    if doubtful := [kind for kind in kinds.values() if kind.doubtful]:
        unsure = set().union(*(kind.unsure for kind in doubtful))
        because = _doubt([r for r in due if r.wrote in unsure], len(due), destinations)
        return finding(e, "unknown", because, None, limit, unit=_UNIT, evidence=evidence)
    if any(kind.found for kind in kinds.values()):
        return finding(e, "pass", _wrongs(e, due, kinds, fault), value, limit, unit=_UNIT, evidence=evidence)
    slowest = max((d.first[r.wrote].at - r.ended for d in destinations for r in due if r.wrote in d.first), default=0.0)
    when = f"the slowest {show(slowest)} after its answer" if slowest > 0 else "each before its answer"
    order = " and in order" if e.in_order else ""
    because = f"all {len(due)} acknowledged writes arrived once{order}, {when} (limit {show(e.within)})"
    return finding(e, "pass", because, value, limit, unit=_UNIT, evidence=evidence)


def _wrongs(e: ExactlyOnce, due: Sequence[Request], kinds: Mapping[str, _Kind], fault: FaultRecord) -> str:
    """Say what is wrong with how many: `7 of 212 acknowledged writes never arrived, as w3, the first acknowledged ...`."""
    told: list[tuple[_Kind, str]] = []
    answers = {r.wrote: r.ended for r in due}
    if lost := sorted(kinds["lost"].found.values(), key=lambda w: (w.start, w.write)):
        first = answers[lost[0].write] - fault.injected
        when = f"{show(abs(first))} {'after' if first >= 0 else 'before'} the {fault.kind}"
        told.append((kinds["lost"], f"never arrived, as {lost[0].write}, the first acknowledged {when}"))
    if doubled := kinds["doubled"].found:
        worst = max(doubled.values(), key=lambda w: (w.much, -w.start))
        often = "twice" if worst.much == 2 else f"up to {worst.much:.0f} times"
        told.append((kinds["doubled"], f"arrived {often}, as {worst.write} in {worst.holder}"))
    if late := kinds["late"].found:
        slowest = max(late.values(), key=lambda w: w.much)
        how = f"the slowest {show(slowest.much)} after its answer (limit {show(e.within)})"
        told.append((kinds["late"], f"arrived late, {how}"))
    if overtaken := sorted(kinds["order"].found.values(), key=lambda w: (w.start, w.write)):
        told.append((kinds["order"], f"arrived out of order: in {overtaken[0].holder} {overtaken[0].text}"))
    parts = []
    for number, (kind, words) in enumerate(told):
        of = "" if number else f" of {len(due)} acknowledged writes"
        may = f" ({kind.allowed} may)" if kind.allowed else ""
        parts.append(f"{len(kind.found)}{of} {words}{may}")
    return "; ".join(parts)


def _doubt(unsure: Sequence[Request], count: int, destinations: Sequence[_Destination]) -> str:
    """Say which holder could not be read, and how many writes may have come or not meanwhile."""
    longest, holder = -math.inf, ""
    for destination in destinations:
        for dark in destination.darks:
            if any(dark.end > r.started for r in unsure) and dark.end - dark.start > longest:
                longest, holder = dark.end - dark.start, destination.holder
    what = f"{len(unsure)} of {count} acknowledged writes"
    return f"{holder} could not be read for {show(longest)}, so nobody knows of {what} when, or how often, they arrived"
