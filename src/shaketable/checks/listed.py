"""What each holder listed when: the looks of a trial as intervals."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from shaketable.model.history import Look, TrialHistory

Intervals = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` until `end` (seconds) a holder's list had these entries; None: it could not be read."""

    start: float
    end: float
    entries: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Copy:
    """One holder's copy of one list over the whole trial."""

    holder: str
    list: str
    spans: tuple[Span, ...]

    def at(self, moment: float) -> Span | None:
        """The span that covers a moment; None before the first look."""
        return next((s for s in reversed(self.spans) if s.start <= moment), None)

    def known_at(self, moment: float) -> frozenset[str]:
        """What was listed when it was last read at or before a moment."""
        return next(
            (s.entries for s in reversed(self.spans) if s.start <= moment and s.entries is not None), frozenset()
        )

    def last_seen(self, entry: str, start: float, end: float) -> float:
        """Until when within [start, end] the entry is known to have been listed: no later than it could be read."""
        known = [min(s.end, end) for s in self.spans if s.start < end and s.end > start and entry in (s.entries or ())]
        return known[-1] if known else start

    def blind(self, start: float, end: float) -> float:
        """The longest time without a break within [start, end] for which it could not be read, seconds."""
        longest = run = 0.0
        for span in self.spans:
            seconds = max(0.0, min(span.end, end) - max(span.start, start))
            run = run + seconds if span.entries is None else 0.0
            longest = max(longest, run)
        return longest

    def entries(self) -> set[str]:
        """Every entry that was ever listed."""
        return {entry for span in self.spans for entry in span.entries or ()}

    def listed(self, entry: str) -> Intervals:
        """Intervals in which the entry was listed; an unreadable stretch neither begins nor ends one."""
        intervals: Intervals = []
        inside = False
        for span in self.spans:
            if span.entries is None:
                if inside:
                    intervals[-1] = (intervals[-1][0], span.end)
                continue
            if entry in span.entries:
                if inside:
                    intervals[-1] = (intervals[-1][0], span.end)
                else:
                    intervals.append((span.start, span.end))
            inside = entry in span.entries
        return intervals


def copies(history: TrialHistory, name: str) -> list[Copy]:
    """Every holder's copy of a list."""
    by_holder: dict[str, list[Look]] = {}
    for look in history.looks:
        if look.list == name:
            by_holder.setdefault(look.holder, []).append(look)
    return [Copy(holder, name, tuple(_spans(looks, history.ended))) for holder, looks in sorted(by_holder.items())]


def _spans(looks: Sequence[Look], ended: float) -> Iterator[Span]:
    for look, following in zip(looks, [*looks[1:], None], strict=True):
        entries = None if look.entries is None else frozenset(look.entries)
        yield Span(look.at, following.at if following else ended, entries)


def belongs(entry: str, hosts: Sequence[str]) -> bool:
    """Whether a list entry is one of the hosts, or a service on one of them."""
    return entry in hosts or entry.split("/", 1)[0] in hosts


def unreadable(copy: Copy, start: float, end: float) -> float:
    """Seconds within [start, end] for which the copy could not be read."""
    return sum(
        max(0.0, min(s.end, end) - max(s.start, start)) for s in copy.spans if s.entries is None and s.end > start
    )


def absences(copy: Copy, entry: str, start: float, end: float) -> Intervals:
    """Stretches of [start, end] in which the entry was not listed."""
    gaps, at = [], start
    for begins, ends in copy.listed(entry):
        if begins > at and begins > start:
            gaps.append((at, min(begins, end)))
        at = max(at, ends)
    if at < end:
        gaps.append((at, end))
    return [(a, b) for a, b in gaps if b > a and a < end]


def gauged(entries: Collection[str]) -> float:
    """The number of a gauge from its one entry; infinity for anything that is none, which is never small enough."""
    try:
        (text,) = entries
        return float(text)
    except ValueError:
        return math.inf
