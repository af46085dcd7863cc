"""When arrivals are due: an open model's schedule, a function of the seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator


def arrivals(rate: float, kind: str, seed: str) -> Iterator[float]:
    """Seconds from the start at which arrivals are due, without end.

    Args:
        rate: Arrivals per second, on average.
        kind: `poisson` (exponential gaps, as of many independent people) or `constant`.
        seed: Equal seeds give equal schedules.

    Raises:
        ValueError: The rate is not above 0, or the kind is unknown.

    """
    if not rate > 0:
        raise ValueError(f"a rate of {rate} arrivals a second is not above 0")
    if kind == "constant":
        return _constant(rate)
    if kind == "poisson":
        return _poisson(rate, seed)
    raise ValueError(f"there are no {kind!r} arrivals, only 'poisson' and 'constant'")


def _constant(rate: float) -> Iterator[float]:
    number = 0
    while True:
        number += 1
        yield number / rate


def _poisson(rate: float, seed: str) -> Iterator[float]:
    draws = random.Random(f"{seed}/arrivals")  # reproducible on purpose
    due = 0.0
    while True:
        due += draws.expovariate(rate)
        yield due
