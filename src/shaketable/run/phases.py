"""The life of a trial as a pure function: from the situation, what to do next. No I/O, no clock of its own.

Level-triggered: every decision is made from the whole situation, so nothing depends on which event came first, and a
fault that is held is healed whatever else has happened. The stages of a roll-out are faults whose begin and end depend
on each other and on its gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from shaketable.checks.rollout import with_followers

Do = Literal["wait", "arm", "disarm", "inject", "heal", "finish"]
_SILENCE: Final = 2.0
"""A stage waits so many seconds, after the one before has soaked, for the last arrivals of its soak to be heard of.

A load that is silent for so long makes the trial invalid anyway.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One fault of the schedule. Times in seconds."""

    id: str
    delay: float
    """From its marker (steady state, if it has none) to the fault, drawn from the seed."""
    lasts: float
    marked: bool = False
    """Whether it waits for a marker of its own."""
    waits_for: str = ""
    """The fault that the marker is about, if it is about one."""


@dataclass(frozen=True, slots=True)
class Course:
    """A roll-out: its stages as faults, in order. Times in seconds."""

    stages: tuple[str, ...]
    soak: float
    """From a stage's effect to the next stage."""
    lasts: float
    """From the end of the last stage's soak until all are undone."""

    def before(self, fault: str) -> str | None:
        """The stage before this one; None for the first, and for what is no stage."""
        place = self.stages.index(fault) if fault in self.stages else 0
        return self.stages[place - 1] if place else None


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
    course: Course | None = None
    control: bool = False
    """Whether the hold time must lie within the trial: it is the control window of a claim, and a lane that is still
    warm from the trial before is steady from the first moment on.
    """


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
    heard: float = float("-inf")
    """Up to when arrivals have been heard of, and judged by the gates."""
    tripped: bool = False
    """Whether a gate of the roll-out has tripped."""
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
    """What to do, and for `inject` and `heal` to which faults, in this order: those that are due together."""

    do: Do
    faults: tuple[str, ...] = ()


def unreached(s: Situation, t: Timing) -> frozenset[str]:
    """Faults that will never begin because a gate stopped the roll-out: later stages, and whatever waits for one."""
    if t.course is None or not s.tripped:
        return frozenset()
    waits = {e.id: e.waits_for for e in t.events if e.id not in s.injected}
    return with_followers(set(t.course.stages) - set(s.injected), waits)


def recovered(s: Situation, t: Timing) -> float | None:
    """Start of the steady stretch after the last heal, once it has held for the hold time."""
    if s.steady_since is None or {e.id for e in t.events} - s.healed.keys() - unreached(s, t):
        return None
    since = max(s.steady_since, s.last_heal)
    return since if s.now - since >= t.hold else None


def _due(event: Event, s: Situation, t: Timing) -> float | None:
    """When an event is to begin; None while that is not known."""
    if t.course is not None and (before := t.course.before(event.id)) is not None:
        if before not in s.injected or before in s.healed:
            return None
        soaked = s.injected[before] + t.course.soak
        return soaked if s.heard >= soaked or s.now >= soaked + _SILENCE else None
    base = s.markers.get(event.id) if event.marked else s.armed
    return None if base is None else base + event.delay


def _over(held: Sequence[Event], s: Situation, t: Timing) -> tuple[str, ...]:
    """What is to be undone now; the stages of a roll-out all together, the last first."""
    stages = t.course.stages if t.course else ()
    over = [e.id for e in held if e.id not in stages and (s.stop or s.now >= s.injected[e.id] + e.lasts)]
    if t.course is not None and (s.stop or s.tripped or s.now >= _complete(s, t.course) + t.course.lasts):
        over += [name for name in reversed(stages) if any(e.id == name for e in held)]
    return tuple(over)


def _complete(s: Situation, course: Course) -> float:
    """When the last stage has soaked; infinity while it has not begun."""
    return s.injected.get(course.stages[-1], float("inf")) + course.soak


def next_step(s: Situation, t: Timing) -> Next:
    """What to do now."""
    held = [e for e in t.events if e.id in s.injected and e.id not in s.healed]
    if over := _over(held, s, t):
        return Next("heal", over)
    if s.stop:
        return Next("finish")
    if not s.injected:
        return _before_the_first(s, t)
    never = unreached(s, t)
    if waiting := [e for e in t.events if e.id not in s.injected and e.id not in never]:
        return _between(s, t, waiting, held)
    if held:
        return Next("wait")
    return _after_the_last(s, t)


def _between(s: Situation, t: Timing, waiting: Sequence[Event], held: Sequence[Event]) -> Next:
    due = tuple(e.id for e in waiting if (at := _due(e, s, t)) is not None and s.now >= at)
    if due:
        return Next("inject", due)
    pending = any(_due(e, s, t) is not None for e in waiting)
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
    begun = s.began if t.control else float("-inf")
    steady = s.steady_since is not None and s.now - max(s.steady_since, begun) >= t.hold
    if s.armed is None:
        if steady:
            return Next("arm")
        return Next("finish" if s.now > s.began + t.steady_within else "wait")
    if s.steady_since is None or s.steady_since > s.armed:
        return Next("disarm")  # what held when the countdown began holds no longer: a fault now would prove nothing
    due = tuple(e.id for e in t.events if (at := _due(e, s, t)) is not None and s.now >= at)
    if due:
        return Next("inject", due)
    if not any(_due(e, s, t) is not None for e in t.events) and s.now > s.armed + t.marker_within:
        return Next("finish")
    return Next("wait")
