"""How fast something grows: the slope of a straight line through readings one after the other, and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from shaketable.checks.statistics import student

FEWEST: Final = 5
"""Of fewer readings nobody can tell a slope from chance."""


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line: the readings' unit per second, with the interval of that, and where the line is at the end."""

    slope: float
    low: float
    high: float
    """`low` and `high` are infinite where the readings say nothing."""
    end: float


def line(readings: Sequence[tuple[float, float]], confidence: float = 0.95) -> Line:
    """The least squares line through (seconds, value), in time order, with an interval honest for what hangs together.

    What a program uses now depends on what it used just before, so n readings tell less than n independent ones. Their
    number is replaced by an effective one, from r, the correlation of each residual with the next: n (1 - q) / (1 + q),
    q = r + 0.68 / sqrt(n), at most n, in the residuals' variance and in the degrees of freedom of Student's t (Santer et
    al., J. Geophys. Res. 105, 2000, 7337-7356; the term with the root is for few readings, of which r is too small:
    Nychka et al., Confidence intervals for trend estimates with autocorrelated observations, 2000). If hardly more than
    two are left, nothing is known. Raises ValueError for fewer than FEWEST readings.
    """
    count = len(readings)
    if count < FEWEST:
        raise ValueError(f"{count} readings")
    middle, mean = (math.fsum(axis) / count for axis in zip(*readings, strict=True))
    spread = math.fsum((x - middle) ** 2 for x, _ in readings)
    slope = math.fsum((x - middle) * (y - mean) for x, y in readings) / spread
    end = mean + slope * (readings[-1][0] - middle)
    residuals = [y - mean - slope * (x - middle) for x, y in readings]
    squares = math.fsum(rest * rest for rest in residuals)
    if squares <= (1e-12 * max(abs(y) for _, y in readings)) ** 2 * count:  # on one line, but for rounding
        return Line(slope, slope, slope, end)
    freedom = _effective(residuals, squares) - 2
    if freedom <= 0.05:
        return Line(slope, -math.inf, math.inf, end)
    half = student(freedom, confidence) * math.sqrt(squares / freedom / spread)
    return Line(slope, slope - half, slope + half, end)


def _effective(residuals: Sequence[float], squares: float) -> float:
    """As how many independent readings these count."""
    count = len(residuals)
    alike = math.fsum(a * b for a, b in pairwise(residuals)) / squares + 0.68 / math.sqrt(count)
    return min(float(count), count * (1 - alike) / (1 + alike))
