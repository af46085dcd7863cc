"""The axis of time that all rows of a trial share, and where on it a holder was not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shaketable.checks.listed import Copy
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration

Blind = list[tuple[int, int, str]]
"""(start, end, why) of stretches in which nothing is known."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Engine seconds to milliseconds since `zero`."""

    zero: float

    def __call__(self, moment: float) -> int:
        """Place a moment on the axis."""
        return round((moment - self.zero) * 1000)


def blind(history: TrialHistory, scenario: Scenario, holder: str, mine: Sequence[Copy], ms: Scale) -> Blind:
    """Find where a holder could not be read, or was not looked at, as far as these copies of it are concerned."""
    limit = scenario.observers.max_gap + (scenario.observers.holders[holder].pace or 0)
    return [*_unreadable(mine, ms), *_unwatched(history, holder, limit, ms)]


def _unreadable(mine: Sequence[Copy], ms: Scale) -> Iterator[tuple[int, int, str]]:
    for start, end in sorted({(s.start, s.end) for copy in mine for s in copy.spans if s.entries is None}):
        yield ms(start), ms(end), "could not be read"


def _unwatched(history: TrialHistory, holder: str, limit: float, ms: Scale) -> Iterator[tuple[int, int, str]]:
    """Where the largest gap between two looks was above the limit; a beat tells only that it lay before it."""
    previous = history.began
    for beat in history.look_beats:
        if beat.holder == holder:
            if beat.max_gap > limit:
                yield (
                    ms(min(previous, beat.at - beat.max_gap)),
                    ms(beat.at),
                    f"no look for {show_duration(beat.max_gap)}",
                )
            previous = beat.at
