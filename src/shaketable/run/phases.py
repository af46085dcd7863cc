"""The life of a trial as a pure function: from the situation, what to do next. No I/O, no clock of its own.

Level-triggered: every decision is made from the whole situation, so nothing depends on which event came first, and a
fault that is held is healed whatever else has happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Do = Literal["wait", "arm", "disarm", "inject", "heal", "finish"]


@dataclass(frozen=True, slots=True)
class Event:
    """One fault of the schedule. Times in seconds."""

    id: str
    delay: float
    """From its marker (steady state, if it has none) to the fault, drawn from the seed."""
    lasts: float
    marked: bool = False
    """Whether it waits for a marker of its own."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What the scenario and the seed say, seconds."""

    hold: float
    steady_within: float
    events: tuple[Event, ...]
    tails: Mapping[str, float]
    """By fault, how long after it the last deadline of an expectation about it passes."""
    recover_within: float
    marker_within: float = 30.0
    """How long to wait for the marker of a fault, from the first fault on."""
    watch_after_heal: float = 0.0
    """How long after the last heal to go on, recovered or not: what is claimed of that time must have been seen."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the decision depends on; times are the engine machine's monotonic seconds, by fault where there are many."""

    now: float
    began: float
    steady_since: float | None = None
    armed: float | None = None
    """When steady state had held and the countdown to the first fault began."""
    injected: Mapping[str, float] = field(default_factory=dict)
    healed: Mapping[str, float] = field(default_factory=dict)
    markers: Mapping[str, float] = field(default_factory=dict)
    """When the marker of a fault that waits for one was seen."""
    stop: bool = False
    """The trial is to end early: interrupted, or something broke."""

    @property
    def first(self) -> float:
        """When the first fault was injected; infinity before."""
        return min(self.injected.values(), default=float("inf"))

    @property
    def last_heal(self) -> float:
        """When the last fault so far was healed; minus infinity before any was."""
        return max(self.healed.values(), default=float("-inf"))


@dataclass(frozen=True, slots=True)
class Next:
    """What to do, and for `inject` and `heal` to which faults: those that are due together are named together."""

    do: Do
    faults: tuple[str, ...] = ()


def recovered(s: Situation, t: Timing) -> float | None:
    """Start of the steady stretch after the last heal, once it has held for the hold time."""
    if len(s.healed) < len(t.events) or s.steady_since is None:
        return None
    since = max(s.steady_since, s.last_heal)
    return since if s.now - since >= t.hold else None


def _due(event: Event, s: Situation) -> float | None:
    """When an event is to begin; None while that is not known."""
    base = s.markers.get(event.id) if event.marked else s.armed
    return None if base is None else base + event.delay


def next_step(s: Situation, t: Timing) -> Next:
    """What to do now."""
    held = [e for e in t.events if e.id in s.injected and e.id not in s.healed]
    over = tuple(e.id for e in held if s.stop or s.now >= s.injected[e.id] + e.lasts)
    if over:
        return Next("heal", over)
    if s.stop:
        return Next("finish")
    if not s.injected:
        return _before_the_first(s, t)
    if waiting := [e for e in t.events if e.id not in s.injected]:
        return _between(s, t, waiting, held)
    if held:
        return Next("wait")
    return _after_the_last(s, t)


def _between(s: Situation, t: Timing, waiting: Sequence[Event], held: Sequence[Event]) -> Next:
    due = tuple(e.id for e in waiting if (at := _due(e, s)) is not None and s.now >= at)
    if due:
        return Next("inject", due)
    pending = any(_due(e, s) is not None for e in waiting)
    if held or pending or s.now < max(s.first, s.last_heal) + t.marker_within:
        return Next("wait")
    return Next("finish")  # the marker of what still waits never came


def _after_the_last(s: Situation, t: Timing) -> Next:
    tails = (s.injected[name] + tail for name, tail in t.tails.items() if name in s.injected)
    deadline = max([s.last_heal + t.watch_after_heal, *tails])
    if recovered(s, t) is not None and s.now >= deadline:
        return Next("finish")
    return Next("finish" if s.now > max(s.last_heal + t.recover_within, deadline) + 2 * t.hold else "wait")


def _before_the_first(s: Situation, t: Timing) -> Next:
    steady = s.steady_since is not None and s.now - s.steady_since >= t.hold
    if s.armed is None:
        if steady:
            return Next("arm")
        return Next("finish" if s.now > s.began + t.steady_within else "wait")
    if s.steady_since is None or s.steady_since > s.armed:
        return Next("disarm")  # what held when the countdown began holds no longer: a fault now would prove nothing
    due = tuple(e.id for e in t.events if (at := _due(e, s)) is not None and s.now >= at)
    if due:
        return Next("inject", due)
    if not any(_due(e, s) is not None for e in t.events) and s.now > s.armed + t.marker_within:
        return Next("finish")
    return Next("wait")
