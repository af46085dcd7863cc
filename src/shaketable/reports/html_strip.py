"""A trial's functions as a strip of a few pixels, so that a list of trials can be looked over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shaketable.checks.functions import Function
from shaketable.model.history import TrialHistory
from shaketable.reports.digest import one_line
from shaketable.reports.status import first_effect
from shaketable.reports.status_words import failing

_MAX_ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class StripRow:
    """One function; `spells` are (start, width, whether too many arrivals failed), in percent of the trial."""

    name: str
    spells: tuple[tuple[float, float, bool], ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """All functions of a trial; `fault` is when the fault took effect, in percent of the trial."""

    rows: tuple[StripRow, ...]
    fault: float

    @property
    def title(self) -> str:
        """Say what the strip shows."""
        degraded = [row.name for row in self.rows if row.spells]
        return f"degraded: {', '.join(degraded)}" if degraded else "no function was degraded"


def strip(history: TrialHistory, functions: Sequence[Function]) -> Strip:
    """Make the strip; where there are too many functions, those that were never degraded are left out first."""
    length = max(history.ended - history.began, 1e-9)

    def percent(moment: float) -> float:
        return round(min(100.0, max(0.0, (moment - history.began) / length * 100)), 1)

    kept = sorted(range(len(functions)), key=lambda n: (not functions[n].spells, n))[:_MAX_ROWS]
    rows = tuple(
        StripRow(
            one_line(functions[n].name),
            tuple(
                (percent(s.start), max(1.5, round(percent(s.end) - percent(s.start), 1)), failing(s))
                for s in functions[n].spells
            ),
        )
        for n in sorted(kept)
    )
    return Strip(rows, percent(first_effect(history)))
