"""The stretches of a trial that claims are about: while nothing is wrong, and from a fault or a heal until what follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shaketable.model.claims import FunctionsRecover, Returns
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Period:
    """What is judged: from when until when, absolute seconds, and what these moments are."""

    start: float
    end: float
    since: str
    until: str

    def after(self, moment: float) -> float:
        """Seconds since the start, 0 for anything before it."""
        return max(0.0, moment - self.start)


def period(e: FunctionsRecover | Returns, history: TrialHistory, fault: FaultRecord) -> Period | None:
    """After a fault until heal, which may disturb by itself; after heal until the trial's end, or the next fault.

    Without a fault that the claim names, heal is that of the last one. None if there was no heal.
    """
    if e.since == "fault":
        if fault.heal_began <= fault.injected:
            return None
        return Period(fault.injected, fault.heal_began, f"the {fault.kind}", "it was healed")
    healed = fault.healed if e.fault else history.healed
    if healed <= fault.injected:
        return None
    following = min((f.sent for f in history.faults if f.sent >= healed), default=math.inf)
    if following < history.ended:
        return Period(healed, following, "heal", "the next fault began")
    return Period(healed, history.ended, "heal", "the trial ended")


def well_since(history: TrialHistory, scenario: Scenario) -> float:
    """Since when nothing is wrong: steady state had held for its hold time when the countdown to the fault began."""
    return history.began if history.steady is None else max(history.began, history.steady - scenario.steady.hold)


def control(history: TrialHistory, scenario: Scenario) -> tuple[float, float]:
    """The control window: from when nothing is wrong until the first fault is sent, absolute seconds."""
    start = well_since(history, scenario)
    return start, max(start, min((min(f.sent, f.injected) for f in history.faults), default=history.ended))
