"""What could be seen of an incident: signs in a trial's record, each with who saw it, since when, and what it names."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeVar

from shaketable.checks.kernel_lists import read_entries
from shaketable.checks.listed import Copy, copies
from shaketable.checks.periods import control
from shaketable.checks.readings import Gauge, gauges, stretches
from shaketable.model.claims import Appears, ExactlyOnce, NotBlocked, Returns, WritesKept
from shaketable.model.history import TrialHistory
from shaketable.model.kernel import End, Limit
from shaketable.model.scenario import WAITS, Scenario
from shaketable.reports import status
from shaketable.reports.locks import NOTABLE, joined, locks, sentence

Kind = Literal[
    "function", "alert", "gauge", "absent", "gone", "came", "unread", "locks", "ended", "limit", "start", "gate"
]
_TOGETHER: Final = 1.0
"""Seconds: what comes again that soon is one sign, not several."""
_Entry = TypeVar("_Entry", End, Limit)


@dataclass(frozen=True, slots=True)
class Cause:
    """The faults of one kind on the same targets; moments are absolute seconds."""

    kind: str
    targets: tuple[str, ...]
    ids: tuple[str, ...]
    sent: float
    injected: float
    """When the first of them took effect."""
    heal_began: float
    healed: float
    """When the last of them was undone; infinity, both, while one is not."""
    clean: bool

    def is_on(self, entry: str) -> bool:
        """Whether an entry is a target, or a part of one."""
        return any(entry == target or entry.startswith(f"{target}/") for target in self.targets)

    def is_in(self, text: str) -> bool:
        """Whether a text names a target: `host-3` is in `down host-3/web`, not in `down host-33`."""
        return any(re.search(rf"(?<![\w./-]){re.escape(target)}(?![\w.-])", text) for target in self.targets)


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that could be seen from `start` to `end`, absolute seconds within the trial and not before the fault."""

    start: float
    end: float
    kind: Kind
    what: str
    """The function, alert, gauge, list, session, instance or stage that it is about."""
    by: tuple[str, ...] = ()
    """Who saw it: holders, the first one first; empty for users."""
    entries: tuple[str, ...] = ()
    detail: str = ""
    peak: float | None = None
    limit: float | None = None
    unwell: bool = False
    """Whether an incident is not over before this is."""
    names: tuple[Cause, ...] = ()
    """The causes that it names."""


def causes(history: TrialHistory) -> tuple[Cause, ...]:
    """Gather the faults by kind and targets, in the order in which they were first sent."""
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for number, fault in sorted(enumerate(history.faults), key=lambda pair: pair[1].sent):
        found.setdefault((fault.kind, fault.targets), []).append(number)
    grouped = []
    for (kind, targets), numbers in found.items():
        mine = [history.faults[number] for number in numbers]
        undone = all(f.healed > 0 for f in mine)
        grouped.append(
            Cause(
                kind=kind,
                targets=targets,
                ids=tuple(f.id for f in mine),
                sent=min(min(f.sent, f.injected) for f in mine),
                injected=min(f.injected for f in mine),
                heal_began=max(f.heal_began for f in mine) if undone else math.inf,
                healed=max(f.healed for f in mine) if undone else math.inf,
                clean=all(f.clean for f in mine),
            )
        )
    return tuple(grouped)


def signs(history: TrialHistory, scenario: Scenario, of: Sequence[Cause]) -> tuple[Sign, ...]:
    """Gather every sign but those of functions, by the moment at which it could first be seen.

    What was so before the first fault was sent is no sign of it. A sign names a cause if it came between the sending of
    that fault and its undo, and shows a target of it: an entry, an instance, a session or a text.
    """
    since = min((cause.sent for cause in of), default=history.began)
    found = [
        *_alerts(history, scenario, of),
        *_gauges(history, scenario, since, of),
        *_lists(history, scenario, since, of),
        *_locks(history, scenario, of),
        *_processes(history, scenario, since, of),
        *_limits(history, scenario, since, of),
        *_starts(history, scenario, since, of),
        *_gate(history, of),
    ]
    timely = (replace(s, names=tuple(c for c in s.names if c.sent <= s.start < c.heal_began)) for s in found)
    return tuple(
        sorted((s for s in timely if since <= s.start <= history.ended), key=lambda s: (s.start, s.kind, s.what))
    )


def _with(of: Sequence[Cause], *entries: str) -> tuple[Cause, ...]:
    """Choose the causes that one of the entries is a target of."""
    return tuple(cause for cause in of if any(map(cause.is_on, entries)))


def _in(of: Sequence[Cause], text: str) -> tuple[Cause, ...]:
    """Choose the causes that a text names a target of."""
    return tuple(cause for cause in of if cause.is_in(text))


def _alerts(history: TrialHistory, scenario: Scenario, of: Sequence[Cause]) -> Iterator[Sign]:
    for told in status.alerts(history, scenario):
        for alert in told.alerts:
            named = _in(of, alert.text)
            for start, end in alert.spans:
                yield Sign(start, end, "alert", alert.text, (told.holder,), names=named)


def _gauges(history: TrialHistory, scenario: Scenario, since: float, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield each stretch above what a claim, else steady state, says of a gauge; one it only warns of is not unwell.

    Of one that has to return to what it was, that is the most before the fault and its margin.
    """
    limits = {g.name: (g.limit, g.asked) for g in status.gauges(history, scenario)}
    returns = {e.gauge: e.margin for e in scenario.expectations if isinstance(e, Returns)}
    for name, (asked_for, asked) in limits.items():
        for gauge in gauges(history, scenario, name):
            holder = scenario.observers.holders.get(gauge.holder)
            place = (holder.instance if holder.kind == "database" else holder.gauges.get(name, "")) if holder else ""
            named = tuple(dict.fromkeys([*_in(of, name), *_with(of, (place or "").rpartition(" ")[2])]))
            limit = asked_for
            if limit is None and name in returns:
                limit = _before(gauge, history, scenario, returns[name])
            if limit is None:
                continue
            seen = [s for s in stretches(gauge.readings, limit) if s[1] > since]
            for start, end, peak in _near(seen):
                sign = Sign(start, end, "gauge", name, (gauge.holder,), peak=peak, limit=limit, names=named)
                yield replace(sign, unwell=asked != status.WARNS)


def _before(gauge: Gauge, history: TrialHistory, scenario: Scenario, margin: float) -> float | None:
    """What a gauge that must return may be: the most that it was while nothing was wrong, and a margin."""
    known = [r.value for r in gauge.within(*control(history, scenario)) if r.value is not None]
    return max(known) + margin if known else None


def _near(found: Iterable[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """Join stretches that follow one another soon."""
    kept: list[tuple[float, float, float]] = []
    for start, end, peak in found:
        if kept and start - kept[-1][1] <= _TOGETHER:
            kept[-1] = (kept[-1][0], end, max(kept[-1][2], peak))
        else:
            kept.append((start, end, peak))
    return kept


def _lists(history: TrialHistory, scenario: Scenario, since: float, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield what left lists and came to them; of lists that steady state says nothing of, only what names a target."""
    asked = {e.list: e for e in scenario.expectations if isinstance(e, Appears)}
    others = set(status.alert_lists(scenario))  # and what users wrote: that it arrives is no sign of anything
    others |= {e.list for e in scenario.expectations if isinstance(e, WritesKept | ExactlyOnce)}
    plain: dict[str, str] = {}
    for described in scenario.observers.holders.values():
        for name, word in described.lists.items():
            listing = (
                word == "names" if described.kind == "containers" else (described.kind, word) != ("database", WAITS)
            )
            if listing and name not in others:
                plain[name] = described.kind
    for name, kind in plain.items():
        away: Kind = "absent" if kind == "containers" else "gone"
        found: list[Sign] = []
        for copy in copies(history, name):
            found += _changes(copy, since, of, _Meant(scenario.steady.lists.get(name), away, asked.get(name)))
        gap = scenario.observers.max_gap
        yield from (s for s in _by_all(found) if s.kind != "unread" or s.end - s.start > gap)


@dataclass(frozen=True, slots=True)
class _Meant:
    """What a list is: how long when steady, if that is told, what an entry that left it is, and what must come to it."""

    size: int | None
    away: Kind
    asked: Appears | None


def _changes(copy: Copy, since: float, of: Sequence[Cause], meant: _Meant) -> Iterator[Sign]:
    known = copy.known_at(since)
    for span in copy.spans:
        start, end = max(span.start, since), span.end
        if end <= since:
            continue
        if span.entries is None:
            if meant.size is not None and span.start >= since:
                yield Sign(start, end, "unread", copy.list, (copy.holder,), unwell=True)
            continue
        wrong = meant.size is not None and len(span.entries) != meant.size
        for what, entries in ((meant.away, known - span.entries), ("came", span.entries - known)):
            mine = {entry: _with(of, entry) for entry in entries}
            if what == "came" and meant.asked is not None:
                mine |= {entry: named for entry in entries if (named := _asked_for(entry, meant.asked, of))}
            kept = entries if wrong else {entry for entry, named in mine.items() if named}
            if kept:
                named = tuple(dict.fromkeys(c for entry in sorted(kept) for c in mine[entry]))
                sign = Sign(start, end, what, copy.list, (copy.holder,), tuple(sorted(kept)), names=named)
                yield replace(sign, unwell=wrong)


def _asked_for(entry: str, asked: Appears, of: Sequence[Cause]) -> tuple[Cause, ...]:
    """Find the causes that an entry is a claim's own word for."""
    mine = [cause for cause in of if asked.fault is None or asked.fault in cause.ids]
    return tuple(c for c in mine if any(asked.contains.replace("{target}", t) in entry for t in c.targets))


def _by_all(found: Iterable[Sign]) -> list[Sign]:
    """Make one sign of what several holders saw of one list at a time, or one of them again and again."""
    kept: list[Sign] = []
    for sign in sorted(found, key=lambda s: (s.start, s.by)):
        at = next((n for n, s in enumerate(kept) if s.kind == sign.kind and sign.start - s.end <= _TOGETHER), None)
        if at is None or (sign.names and not kept[at].names):
            kept.append(sign)
            continue
        one = kept[at]
        kept[at] = replace(
            one,
            end=max(one.end, sign.end),
            by=tuple(dict.fromkeys([*one.by, *sign.by])),
            entries=tuple(dict.fromkeys([*one.entries, *sign.entries])),
            unwell=one.unwell or sign.unwell,
            names=tuple(dict.fromkeys([*one.names, *sign.names])),
        )
    return kept


def _locks(history: TrialHistory, scenario: Scenario, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield who blocked others for too long: from when a wait was so long, or, of a target's session, from the first."""
    for found in locks(history, scenario):
        claimed = [e.longest for e in scenario.expectations if isinstance(e, NotBlocked) and e.list == found.list]
        limit = min(claimed, default=NOTABLE)
        place = scenario.observers.holders[found.holder].instance or ""
        for one in found.blocking:
            if not one.bad:
                continue
            its_own = _in(of, one.blocker.who.replace("/", " "))
            late = [s + limit for b in (*one.behind, *one.rest) for s, e in joined(b.waiting) if e - s > limit]
            start = one.chains[0].start if its_own else min(late, default=one.chains[0].start)
            named = its_own or _with(of, place)
            sign = Sign(start, max(start, one.chains[-1].end), "locks", one.blocker.id, (found.holder,), names=named)
            yield replace(sign, detail=sentence(one), unwell=True)


def _entries(copy: Copy, model: type[_Entry]) -> Iterator[tuple[float, _Entry]]:
    """Yield what the kernel's lists say, with the moment of the look that was the first to say so."""
    seen: set[str] = set()
    for span in copy.spans:
        new = (span.entries or frozenset()) - seen
        seen |= new
        yield from ((span.start, one) for one in read_entries(model, new)[0])


def _of_kind(history: TrialHistory, scenario: Scenario, word: str) -> Iterator[Copy]:
    for holder, described in scenario.observers.holders.items():
        for name, what in described.lists.items():
            if described.kind == "containers" and what.partition(" ")[0] == word:
                yield from (copy for copy in copies(history, name) if copy.holder == holder)


def _processes(history: TrialHistory, scenario: Scenario, since: float, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield, for each instance, the processes of it that were ended by force before all was undone."""
    until = max((cause.heal_began for cause in of), default=math.inf)
    ends: dict[str, dict[tuple[int, float], tuple[End, str]]] = {}
    for copy in _of_kind(history, scenario, "ends"):
        for _, end in _entries(copy, End):
            if since <= end.at < until and end.by != "itself" and not _installing(end, of):
                ends.setdefault(end.of, {}).setdefault((end.pid, end.at), (end, copy.holder))
    for instance, found in ends.items():
        mine = sorted((end for end, _ in found.values()), key=lambda end: end.at)
        by = Counter((end.by, end.who) for end in mine)
        said = ", ".join(f"{n} by {_ender(*ender)}" for ender, n in by.most_common(3))
        commands = tuple(dict.fromkeys(end.command for end in mine))
        named = _with(of, instance)
        holders = tuple(dict.fromkeys(holder for _, holder in found.values()))
        yield Sign(mine[0].at, mine[-1].at, "ended", instance, holders, commands, said, float(len(mine)), names=named)


def _installing(end: End, of: Sequence[Cause]) -> bool:
    """Whether it ended while a release was installed: that ends what ran before, and shows nobody that it is bad."""
    return any(c.kind == "deploy" and c.is_on(end.of) and c.sent <= end.at < c.injected for c in of)


def _ender(by: str, who: str) -> str:
    return who or {"guard": "a guard of its own", "limit": "a memory limit"}.get(by, f"the {by}")


def _limits(history: TrialHistory, scenario: Scenario, since: float, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield each limit at which the kernel held an instance for the first time since the fault."""
    told: set[tuple[str, str]] = set()
    for copy in _of_kind(history, scenario, "limits"):
        before: dict[tuple[str, str], float] = {}
        for at, limit in _entries(copy, Limit):
            key = (limit.of, limit.limit)
            if at > since and limit.hits > before.get(key, 0.0) and key not in told:
                told.add(key)
                named = _with(of, limit.of)
                yield Sign(at, at, "limit", limit.of, (copy.holder,), (limit.limit,), names=named)
            before[key] = max(limit.hits, before.get(key, 0.0))


def _starts(history: TrialHistory, scenario: Scenario, since: float, of: Sequence[Cause]) -> Iterator[Sign]:
    """Yield the containers that were started anew, those of one host together."""
    holders = tuple(h for h, d in scenario.observers.holders.items() if "starts" in d.lists.values())
    for run in status.host_runs(history, scenario):
        named_in_full = [(at, run.host if s == run.host else f"{run.host}/{s}") for at, s in run.starts]
        starts = [start for start in named_in_full if start[0] >= since]
        if starts:
            entries = tuple(dict.fromkeys(entry for _, entry in starts))
            named = _with(of, *entries)
            yield Sign(starts[0][0], starts[-1][0], "start", run.host, holders, entries, names=named)


def _gate(history: TrialHistory, of: Sequence[Cause]) -> Iterator[Sign]:
    if (trip := history.tripped) is not None:
        named = tuple(cause for cause in of if trip.stage in cause.ids)
        yield Sign(trip.at, trip.at, "gate", trip.stage, detail=f"{trip.bad} of {trip.arrivals}", names=named)
