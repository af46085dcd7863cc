"""Long times as people say them, without losing what is missing: `2 d 4 h`, `3 min 7 s`."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

from shaketable.model.units import show_duration

_UNITS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_NEXT: Final = {60: 3600, 3600: 86400}


def show_parts(seconds: float, *, up: bool = False) -> str:
    """Write the two largest units, whole ones, rounded down (or `up`); under a minute as `show_duration` does."""
    if not math.isfinite(seconds) or seconds < 60:
        return show_duration(seconds)
    for (large, whole), (small, part) in pairwise(_UNITS):
        if seconds >= whole:
            count = (math.ceil if up else math.floor)(round(seconds / part, 9))
            first, rest = divmod(count, whole // part)
            if count * part >= _NEXT.get(whole, math.inf):  # rounded up to an hour or a day
                return show_parts(count * part)
            return f"{first} {large} {rest} {small}" if rest else f"{first} {large}"
    raise AssertionError("a minute is a unit")
