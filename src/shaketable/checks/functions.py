"""Each function of the system, as its users name it: when it was degraded, by the arrivals of that name.

An arrival counts when it was due, not when it ended: that is when somebody wanted the function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from shaketable.checks.statistics import quantile
from shaketable.model.history import Request, TrialHistory

WINDOW = 1.0
"""Seconds over which arrivals are taken together."""
FAILED = 0.05
"""Share of failed arrivals of a window above which a function is degraded."""
_QUANTILE = 0.95
_TIMES, _MORE = 3.0, 0.25
"""A window is slow at so many times the baseline, and so many seconds above it at least."""


@dataclass(frozen=True, slots=True)
class Level:
    """What a function is like when all is well; latencies in seconds from the scheduled start."""

    arrivals: int
    p50: float
    p95: float

    @property
    def slow(self) -> float:
        """Above this p95 of a window, seconds, the function is degraded."""
        return max(_TIMES * self.p95, self.p95 + _MORE)


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch in which a function was degraded, absolute seconds: whole windows, clipped to the trial."""

    start: float
    end: float
    failed: int
    arrivals: int
    worst_latency: float


@dataclass(frozen=True, slots=True)
class Function:
    """One function over a whole trial."""

    name: str
    arrivals: int
    failed: int
    baseline: Level | None
    """None if none of its arrivals ended in the steady stretch before the first fault."""
    spells: tuple[Spell, ...]


def functions(history: TrialHistory) -> tuple[Function, ...]:
    """Every function that anybody asked for in the trial, by name.

    It is degraded in windows in which more than 5 % of its arrivals failed or their p95 is slow against the baseline.
    A window without arrivals continues the state before.
    """
    return tuple(_function(history, name, mine) for name, mine in sorted(by_name(history.requests).items()))


def functions_for(history: TrialHistory, key: str) -> dict[str, tuple[Function, ...]]:
    """The same for each cohort by itself, by its value of one key, as `functions` has them for all; without it, none.

    Where arrivals are few, one that failed is a large share of a window: whoever made it could not use the function.
    """
    by_value: dict[str, list[Request]] = {}
    for request in history.requests:
        if (value := request.labels.get(key)) is not None:
            by_value.setdefault(value, []).append(request)
    return {
        value: tuple(_function(history, name, mine) for name, mine in sorted(by_name(whose).items()))
        for value, whose in sorted(by_value.items())
    }


def _function(history: TrialHistory, name: str, mine: Sequence[Request]) -> Function:
    level = baseline(history, mine)
    bad = partial(is_bad, failed=FAILED, slow=level.slow if level else None)
    return Function(name, len(mine), sum(not r.ok for r in mine), level, degraded(history, mine, bad))


def by_name(requests: Iterable[Request]) -> dict[str, list[Request]]:
    """Arrivals by the name of their request, each in the order given."""
    found: dict[str, list[Request]] = {}
    for request in requests:
        found.setdefault(request.name, []).append(request)
    return found


def baseline(history: TrialHistory, mine: Iterable[Request]) -> Level | None:
    """What these arrivals were like before the first fault, from the last arrival on that failed.

    What came before that failure came to a system that was not well, and would make any later latency look good.
    """
    until = min((fault.sent for fault in history.faults), default=history.ended)
    since = max((r.ended for r in history.requests if not r.ok and r.ended <= until), default=-math.inf)
    latencies = [r.latency for r in mine if r.ok and r.scheduled >= since and r.ended <= until]
    if not latencies:
        return None
    return Level(len(latencies), quantile(latencies, 0.5), quantile(latencies, _QUANTILE))


def is_bad(window: Sequence[Request], failed: float, slow: float | None) -> bool:
    """Whether more than the share `failed` of a window's arrivals failed, or their p95 is above `slow` seconds."""
    if sum(not r.ok for r in window) > failed * len(window) + 1e-9:
        return True
    return slow is not None and quantile([r.latency for r in window], _QUANTILE) > slow


def degraded(
    history: TrialHistory,
    mine: Iterable[Request],
    bad: Callable[[Sequence[Request]], bool],
    *,
    width: float = WINDOW,
    anchor: float | None = None,
) -> tuple[Spell, ...]:
    """Stretches of bad windows, each `width` seconds wide, in time order.

    One window begins at `anchor`, which is the first fault's effect unless told, so that none holds arrivals of both
    before and after it.
    """
    if anchor is None:
        anchor = min((fault.injected for fault in history.faults), default=history.began)
    spells: list[Spell] = []
    run: list[Request] = []
    began = 0.0
    for start, window in windows(mine, width, anchor):
        if bad(window):
            began = began if run else max(start, history.began)
            run += window
        elif run:
            spells.append(_spell(began, start, run))
            run = []
    if run:
        spells.append(_spell(began, history.ended, run))
    return tuple(spells)


def windows(mine: Iterable[Request], width: float, anchor: float) -> Iterator[tuple[float, list[Request]]]:
    """Arrivals by window, with the moment at which it begins, in time order; windows without any are left out."""
    found: dict[int, list[Request]] = {}
    for request in mine:
        found.setdefault(math.floor((request.scheduled - anchor) / width), []).append(request)
    for number in sorted(found):
        yield anchor + number * width, found[number]


def _spell(start: float, end: float, arrivals: Sequence[Request]) -> Spell:
    failed = sum(not r.ok for r in arrivals)
    return Spell(start, max(start, end), failed, len(arrivals), max(r.latency for r in arrivals))
