"""Units as people write them: `200ms`, `5 s`, `99 %`, `24 /s`, `0s..500ms`. A number without a unit is refused."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RATES = {"/s": 1.0, "/min": 1 / 60.0, "/h": 1 / 3600.0}
_NUMBER = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z/%]+)\s*$")


def _scaled(text: Any, units: dict[str, float], what: str, example: str) -> float:
    match = _NUMBER.match(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"{text!r} is not a {what}; write a number and one of {', '.join(units)}, as in {example!r}")
    return float(match[1]) * units[match[2]]


def parse_duration(text: Any) -> float:
    """Seconds from `200ms`, `5s`, `2 min`, `1h`, `7d`. Raises ValueError."""
    return _scaled(text, _SECONDS, "duration", "200ms")


def parse_rate(text: Any) -> float:
    """Arrivals per second from `24 /s`, `90 /min`. Raises ValueError."""
    return _scaled(text, _RATES, "rate", "24 /s")


def parse_share(text: Any) -> float:
    """A share, 0..1, from `99 %`. Raises ValueError."""
    share = _scaled(text, {"%": 0.01}, "share", "99 %")
    if share > 1:
        raise ValueError(f"{text!r} is more than 100 %")
    return share


def parse_window(text: Any) -> tuple[float, float]:
    """(earliest, latest) in seconds from `500ms` (both the same) or `0s..500ms`. Raises ValueError."""
    first, dots, last = text.partition("..") if isinstance(text, str) else (text, "", "")
    low = parse_duration(first)
    high = parse_duration(last) if dots else low
    if high < low:
        raise ValueError(f"{text!r} ends before it begins")
    return low, high


def show_duration(seconds: float) -> str:
    """`1.3 s` or `52 ms`: three significant digits, the way reports and messages show a time."""
    if seconds == 0:
        return "0 s"
    if abs(seconds) < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if abs(seconds) < 1000 else f"{seconds:.0f} s"


Duration = Annotated[float, BeforeValidator(lambda v: v if isinstance(v, float) else parse_duration(v))]
Rate = Annotated[float, BeforeValidator(lambda v: v if isinstance(v, float) else parse_rate(v))]
Share = Annotated[float, BeforeValidator(lambda v: v if isinstance(v, float) else parse_share(v))]
Window = Annotated[
    tuple[float, float], BeforeValidator(lambda v: tuple(v) if isinstance(v, tuple | list) else parse_window(v))
]
