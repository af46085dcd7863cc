"""The numbers that holders tell over time: what each gauge was read to be, and when it could not be read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shaketable.checks.listed import Copy, copies, gauged
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Reading:
    """From `start` until `end`, absolute seconds, a gauge had this value; None: nobody could tell."""

    start: float
    end: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Gauge:
    """One number as one holder tells it, over a whole trial without a gap; what is no finite number could not be read."""

    holder: str
    name: str
    readings: tuple[Reading, ...]

    def __str__(self) -> str:
        return f"{self.name} of {self.holder}"

    def within(self, start: float, end: float) -> Iterator[Reading]:
        """What it was between two moments, clipped to them."""
        for reading in self.readings:
            if reading.start < end and reading.end > start:
                yield replace(reading, start=max(reading.start, start), end=min(reading.end, end))

    def at(self, moment: float) -> Reading | None:
        """What it was at a moment; None outside the trial."""
        return next((r for r in reversed(self.readings) if r.start <= moment <= r.end), None)


def gauges(history: TrialHistory, scenario: Scenario, name: str) -> tuple[Gauge, ...]:
    """A gauge in every holder that should read it, by the holder's name; one that never did has no value all the time.

    A break that is no longer than the looks may be apart is none: it was then what it was before.
    """
    holders = scenario.observers.holders
    told = {copy.holder: copy for copy in copies(history, name)}
    meant = {holder for holder, described in holders.items() if name in described.gauges}
    found = []
    for holder in sorted(meant | told.keys()):
        every = (holders[holder].pace if holder in holders else None) or scenario.observers.every
        readings = _readings(told.get(holder), history)
        found.append(Gauge(holder, name, tuple(merged(_bridged(readings, scenario.observers.max_gap + every)))))
    return tuple(found)


def _readings(copy: Copy | None, history: TrialHistory) -> Iterator[Reading]:
    began = history.began
    spans = copy.spans if copy else ()
    if (first := spans[0].start if spans else history.ended) > began:
        yield Reading(began, first, None)
    for span in spans:
        value = gauged(span.entries) if span.entries is not None else math.inf
        yield Reading(span.start, max(span.start, span.end), value if math.isfinite(value) else None)


def merged(readings: Iterable[Reading]) -> Iterator[Reading]:
    """The same, with neighbours that have one value as one."""
    last: Reading | None = None
    for reading in readings:
        if last is not None and last.value == reading.value:
            last = replace(last, end=reading.end)
            continue
        if last is not None:
            yield last
        last = reading
    if last is not None:
        yield last


def _bridged(readings: Iterable[Reading], gap: float) -> Iterator[Reading]:
    """A break of at most `gap` seconds between two values has the value before it."""
    told: Sequence[Reading] = tuple(merged(readings))
    for number, reading in enumerate(told):
        short = reading.value is None and reading.end - reading.start <= gap
        inside = 0 < number < len(told) - 1
        yield replace(reading, value=told[number - 1].value) if short and inside else reading


def stretches(
    readings: Iterable[Reading], over: float, *, unread: bool = False
) -> Iterator[tuple[float, float, float]]:
    """(start, end, highest value) of every stretch above a number; with `unread`, what nobody could tell is above, too."""
    start, end, peak = 0.0, -math.inf, -math.inf
    for reading in readings:
        above = unread if reading.value is None else reading.value > over
        if above and reading.start <= end:
            end, peak = reading.end, max(peak, -math.inf if reading.value is None else reading.value)
        elif above:
            if end > -math.inf:
                yield start, end, peak
            start, end = reading.start, reading.end
            peak = -math.inf if reading.value is None else reading.value
    if end > -math.inf:
        yield start, end, peak
