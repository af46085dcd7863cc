"""Units as people write them: `200ms`, `5 s`, `99 %`, `24 /s`, `0s..500ms`. A number without a unit is refused.

Text is read with `FROM_TEXT` as pydantic's validation context: then only the written forms count, and even `3.0` is
refused. Python code, which states its units in the names and docstrings, passes numbers (seconds, per second, 0..1).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema

FROM_TEXT: Final[Mapping[str, bool]] = {"from_text": True}
"""Validation context of a loader: numbers must come with a unit."""

_SECONDS: Final = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_RATES: Final = {"/s": Fraction(1), "/min": Fraction(1, 60), "/h": Fraction(1, 3600)}
_SHARES: Final = {"%": Fraction(1, 100)}
_SIZES: Final = {
    "B": Fraction(1),
    **{f"{p}iB": Fraction(1024**n) for n, p in enumerate("KMGT", 1)},
    **{f"{p}B": Fraction(1000**n) for n, p in enumerate(("k", "M", "G", "T"), 1)},
}
_BANDWIDTHS: Final = {f"{p}bit/s": Fraction(1000**n) for n, p in enumerate(("", "k", "M", "G"))}
_NUMBER: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([A-Za-z/%]+)\s*")


def _scaled(text: object, units: Mapping[str, Fraction], what: str, example: str) -> float:
    """Read number times unit, rounded once. Raises ValueError naming the units that are possible."""
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in units:
        bare = isinstance(text, int | float) and not isinstance(text, bool)
        wrong = f"{text} has no unit" if bare else f"{_shown(text)} is not a {what}"
        unit = f"{'one of ' if len(units) > 1 else ''}{', '.join(units)}"
        raise ValueError(f"{wrong}; write a {what} as a number and {unit}, as in {example!r}")
    return float(Fraction(match[1]) * units[match[2]])


def _shown(value: object) -> str:
    """`value` short enough for a message, in the words of the file rather than of Python."""
    if isinstance(value, Mapping | list | tuple):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}...{text[0]}"


def parse_duration(text: object) -> float:
    """Read seconds from `200ms`, `5s`, `2 min`, `1h`, `7d`. Raises ValueError."""
    return _scaled(text, _SECONDS, "duration", "200ms")


def parse_rate(text: object) -> float:
    """Read arrivals per second from `24 /s`, `90 /min`. Raises ValueError."""
    return _scaled(text, _RATES, "rate", "24 /s")


def parse_share(text: object) -> float:
    """Read a share, 0..1, from `99 %`. Raises ValueError."""
    share = _scaled(text, _SHARES, "share", "99 %")
    if share > 1:
        raise ValueError(f"{text!r} is more than 100 %")
    return share


def parse_size(text: object) -> float:
    """Read bytes from `256 MiB` (or kB, MB, GB: powers of 1000). Raises ValueError."""
    return _scaled(text, _SIZES, "size", "256 MiB")


def parse_bandwidth(text: object) -> float:
    """Read bits per second from `10 Mbit/s`. Raises ValueError."""
    return _scaled(text, _BANDWIDTHS, "bandwidth", "10 Mbit/s")


def parse_window(text: object) -> tuple[float, float]:
    """Read (earliest, latest) in seconds from `500ms` (both the same) or `0s..500ms`. Raises ValueError."""
    if isinstance(text, str) and ".." in text:
        first, _, last = text.partition("..")
        low, high = parse_duration(first), parse_duration(last)
    else:
        low = high = parse_duration(text)
    if high < low:
        raise ValueError(f"{text!r} ends before it begins")
    return low, high


def _three_digits(number: float) -> str:
    """Three significant digits without an exponent or trailing zeros: `1.3`, `52`, `1230`."""
    if number == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(number))))
    text = f"{number:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def show_duration(seconds: float) -> str:
    """`1.3 s`, `52 ms` or `40 us`: three significant digits, the way reports and messages show a time."""
    size = abs(seconds)
    if not math.isfinite(seconds) or size >= 0.9995 or size < 5e-10:
        return f"{_three_digits(seconds) if 5e-10 <= size < math.inf else f'{abs(round(seconds, 9)):g}'} s"
    return f"{_three_digits(seconds * 1e3)} ms" if size >= 0.9995e-3 else f"{_three_digits(seconds * 1e6)} us"


def show_span(seconds: float) -> str:
    """`16 h`: a time as `show_duration` does, but one of two minutes or more in minutes, hours or days."""
    for unit, factor in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * factor and math.isfinite(seconds):
            return f"{_three_digits(seconds / factor)} {unit}"
    return show_duration(seconds)


def show_share(share: float) -> str:
    """`45 %` or `99.9 %`: three significant digits, but never rounded up to 100 % or down to 0 %."""
    text = _three_digits(share * 100)
    if (text == "100" and share < 1) or (text == "0" and share > 0):
        text = f"{share * 100:.12g}"
    return f"{text} %"


def show_rate(per_second: float) -> str:
    """`24 /s`: three significant digits."""
    return f"{_three_digits(per_second)} /s"


def show_size(size: float) -> str:
    """`32 MiB`: three significant digits, the largest unit that leaves at least one whole."""
    sign, rest = ("-" if size < 0 else ""), abs(size)
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if rest >= factor:
            return f"{sign}{_three_digits(rest / factor)} {unit}"
    return f"{sign}{rest:g} B"


def show_bandwidth(bits: float) -> str:
    """`10 Mbit/s`: three significant digits, the largest unit that leaves at least one whole."""
    for unit, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if bits >= factor:
            return f"{_three_digits(bits / factor)} {unit}"
    return f"{_three_digits(bits)} bit/s"


def show_window(window: tuple[float, float]) -> str:
    """`500 ms` or `0 s..500 ms`."""
    low, high = window
    return show_duration(low) if low == high else f"{show_duration(low)}..{show_duration(high)}"


def _number_or(parse: Callable[[object], float]) -> Callable[[object, ValidationInfo], float]:
    """Make a validator: numbers from Python code as they are (finite, not negative), anything else through `parse`."""

    def validate(value: object, info: ValidationInfo) -> float:
        if _from_text(info) or isinstance(value, bool) or not isinstance(value, int | float):
            return parse(value)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{value} is not a finite number of 0 or more")
        return float(value)

    return validate


def _window(value: object, info: ValidationInfo) -> Any:
    """Take a pair of numbers from Python code as it is, anything else through `parse_window`."""
    return parse_window(value) if _from_text(info) or not isinstance(value, tuple | list) else tuple(value)


def _from_text(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("from_text"))


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


_DIGITS: Final = r"[0-9]+(\.[0-9]+)? *"
_DURATION: Final = _DIGITS + "(us|ms|s|min|m|h|d)"

Duration = Annotated[float, BeforeValidator(_number_or(parse_duration)), _schema(_DURATION, "200ms", "5s", "2 min")]
Rate = Annotated[float, BeforeValidator(_number_or(parse_rate)), _schema(_DIGITS + "(/s|/min|/h)", "24 /s", "90 /min")]
Share = Annotated[float, BeforeValidator(_number_or(parse_share)), _schema(_DIGITS + "%", "99 %", "99.9 %")]
Size = Annotated[
    float, BeforeValidator(_number_or(parse_size)), _schema(_DIGITS + "(B|[kMGT]B|[KMGT]iB)", "256 MiB", "64 kB")
]
Bandwidth = Annotated[
    float, BeforeValidator(_number_or(parse_bandwidth)), _schema(_DIGITS + "[kMG]?bit/s", "10 Mbit/s", "256 kbit/s")
]
Window = Annotated[
    tuple[float, float],
    BeforeValidator(_window),
    _schema(rf"{_DURATION}( *\.\. *{_DURATION})?", "500ms", "0s..500ms"),
]
