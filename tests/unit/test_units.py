"""The rules of numbers with units."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shaketable.model.units import (
    FROM_TEXT,
    Duration,
    Rate,
    Share,
    Window,
    parse_duration,
    parse_rate,
    parse_share,
    parse_size,
    parse_window,
    show_duration,
    show_rate,
    show_share,
    show_window,
)

SECONDS = st.floats(1e-6, 1e6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("5 s", 5.0), ("1.5s", 1.5), ("2 min", 120.0), ("2m", 120.0), ("1h", 3600.0), ("7d", 604800.0)],
)
def test_durations_are_read_exactly(text: str, seconds: float) -> None:
    """A duration is the float nearest to what is written: `200ms` is 0.2 and nothing beside it."""
    assert parse_duration(text) == seconds


def test_shares_and_rates_are_read_exactly() -> None:
    """`7 %` is 0.07, though 7 times 0.01 is not."""
    assert parse_share("7 %") == 0.07
    assert parse_rate("90 /min") == 1.5
    assert parse_size("256 MiB") == 256 * 1024**2
    assert parse_size("64kB") == 64_000


@given(SECONDS)
def test_a_shown_duration_reads_back(seconds: float) -> None:
    """What a message shows can be written into a scenario, and means the same within three digits."""
    assert math.isclose(parse_duration(show_duration(seconds)), seconds, rel_tol=0.006)


@given(st.floats(0, 1).filter(lambda share: share == 0 or share > 1e-9))
def test_a_shown_share_reads_back(share: float) -> None:
    """A share reads back within three digits, and is shown as 0 % or 100 % only if it is."""
    shown = show_share(share)
    assert math.isclose(parse_share(shown), share, rel_tol=0.006)
    assert (shown == "100 %") == (share == 1) or share > 1 - 1e-12
    assert (shown == "0 %") == (share == 0)


@given(st.floats(0.001, 1e6))
def test_a_shown_rate_reads_back(rate: float) -> None:
    """A rate reads back within three digits."""
    assert math.isclose(parse_rate(show_rate(rate)), rate, rel_tol=0.006)


@given(SECONDS, SECONDS)
def test_a_shown_window_reads_back(one: float, other: float) -> None:
    """A window reads back, a moment as both its ends."""
    low, high = sorted((one, other))
    assert parse_window(show_window((low, high))) == pytest.approx((low, high), rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.9999, "1 s"),
        (0.052, "52 ms"),
        (4e-5, "40 us"),
        (1.3, "1.3 s"),
        (-0.2, "-200 ms"),
        (1234, "1234 s"),
    ],
)
def test_durations_are_shown_without_exponents(seconds: float, shown: str) -> None:
    """A person never has to read `1e+03 ms`."""
    assert show_duration(seconds) == shown


NONSENSE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.lists(st.integers()), st.dictionaries(st.text(), st.text())
)


@given(NONSENSE | st.text())
def test_what_is_no_duration_is_refused_with_the_units(value: object) -> None:
    """Whatever the value, it is read or refused by a ValueError that names the units."""
    said = ""
    try:
        parse_duration(value)
    except ValueError as error:
        said = str(error)
    assert not said or "one of us, ms, s, min, m, h, d" in said


@given(NONSENSE)
@pytest.mark.parametrize("kind", [Duration, Rate, Share, Window])
def test_a_number_without_a_unit_in_a_file_is_refused(kind: Any, value: object) -> None:
    """From text, neither `3` nor `3.0` nor a pair of numbers passes for a number with a unit."""
    with pytest.raises(ValidationError):
        TypeAdapter[Any](kind).validate_python(value, context=dict(FROM_TEXT))


@pytest.mark.parametrize(("kind", "value"), [(Duration, 3.0), (Duration, 3), (Rate, 20.0), (Share, 0.99)])
def test_python_code_may_pass_plain_numbers(kind: Any, value: float) -> None:
    """Outside of files the unit is known from the docstring: seconds, per second, 0..1."""
    assert TypeAdapter[Any](kind).validate_python(value) == value


def test_python_code_may_pass_a_window() -> None:
    """A window from code, or from stored JSON, is a pair of seconds."""
    assert TypeAdapter(tuple[float, float]).validate_python((0.0, 0.5)) == (0.0, 0.5)
    assert TypeAdapter(Window).validate_json("[0.0, 0.5]") == (0.0, 0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, True])
def test_python_code_cannot_pass_what_is_no_time(value: object) -> None:
    """Not a number, endless and negative times are mistakes wherever they come from."""
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


@pytest.mark.parametrize("text", ["5s..1s", "..", "1s..", "1s..2", "1s..2s..3s", "1..2s"])
def test_a_broken_window_is_refused(text: str) -> None:
    """Both ends of a window have a unit, and it ends after it begins."""
    with pytest.raises(ValueError, match=r"duration|before"):
        parse_window(text)


def test_a_share_above_the_whole_is_refused() -> None:
    """No more than 100 % of anything."""
    with pytest.raises(ValueError, match="more than 100 %"):
        parse_share("101 %")
