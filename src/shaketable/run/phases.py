"""The life of a trial as a pure function: from the situation, what to do next. No I/O, no clock of its own.

Level-triggered: every decision is made from the whole situation, so nothing depends on which event came first, and a
fault that is held is healed whatever else has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Next = Literal["wait", "arm", "disarm", "inject", "heal", "finish"]


@dataclass(frozen=True, slots=True)
class Timing:
    """What the scenario and the seed say, seconds."""

    hold: float
    steady_within: float
    delay: float
    """From steady state to the fault, drawn from the seed."""
    lasts: float
    tail: float
    """How long after the fault the last deadline of an expectation passes."""
    recover_within: float


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the decision depends on; times are the engine machine's monotonic seconds."""

    now: float
    began: float
    steady_since: float | None = None
    armed: float | None = None
    """When steady state had held and the countdown to the fault began."""
    injected: float | None = None
    healed: float | None = None
    stop: bool = False
    """The trial is to end early: interrupted, or something broke."""


def recovered(s: Situation, t: Timing) -> float | None:
    """Start of the steady stretch after heal, once it has held for the hold time."""
    if s.healed is None or s.steady_since is None:
        return None
    since = max(s.steady_since, s.healed)
    return since if s.now - since >= t.hold else None


def next_step(s: Situation, t: Timing) -> Next:
    """What to do now."""
    if s.injected is not None and s.healed is None:
        return "heal" if s.stop or s.now >= s.injected + t.lasts else "wait"
    if s.stop:
        return "finish"
    if s.injected is None or s.healed is None:
        return _before_the_fault(s, t)
    if recovered(s, t) is not None and s.now >= s.injected + t.tail:
        return "finish"
    return "finish" if s.now > max(s.healed + t.recover_within, s.injected + t.tail) + 2 * t.hold else "wait"


def _before_the_fault(s: Situation, t: Timing) -> Next:
    steady = s.steady_since is not None and s.now - s.steady_since >= t.hold
    if s.armed is None:
        if steady:
            return "arm"
        return "finish" if s.now > s.began + t.steady_within else "wait"
    if s.steady_since is None or s.steady_since > s.armed:
        return "disarm"  # what held when the countdown began holds no longer: a fault now would prove nothing
    return "inject" if s.now >= s.armed + t.delay else "wait"
