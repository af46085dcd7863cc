"""The rules of randomness: every value is a function of the seed and its name, and of nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaketable.model.draw import between, derive, draw, pick

NAMES = st.lists(st.text(max_size=8) | st.integers(0, 99), min_size=1, max_size=4)


def test_values_never_change() -> None:
    """A seed printed by one version repeats the same trial in the next: these numbers are part of the contract."""
    assert [draw(7, "crashed-host", 0, "crash", "victim"), draw(7, "crashed-host", 1, "crash", "victim")] == [
        0.22468780342760852,
        0.06163380308280364,
    ]
    assert pick(7, ["crashed-host", 0, "crash", "victim"], ["host-1", "host-2", "host-3"]) == "host-1"
    assert derive(7, "crashed-host", 0) == "d7b8796ac2f683f5"


@given(st.integers(), NAMES)
def test_a_draw_depends_on_its_name_alone(seed: int, names: list[str | int]) -> None:
    """Draws in between, before or after change nothing."""
    first = draw(seed, *names)
    draw(seed, "another")
    assert draw(seed, *names) == first
    assert 0 <= first < 1


@given(st.lists(st.text(max_size=5), min_size=2, max_size=3))
def test_names_are_kept_apart(names: list[str]) -> None:
    """("ab", "c") and ("a", "bc") are different draws."""
    assert draw(1, *names) != draw(1, "".join(names))
    assert draw(1, *names) != draw(1, *names, "")


def test_draws_are_uniform_and_seeds_independent() -> None:
    """Over many names a draw lands anywhere equally often, and neighbouring seeds share nothing."""
    total = 20_000
    tenths = Counter(int(draw(3, "trial", i) * 10) for i in range(total))
    assert all(abs(tenths[tenth] - total / 10) < 200 for tenth in range(10))  # 4.7 standard deviations
    same = sum(int(draw(3, i) * 10) == int(draw(4, i) * 10) for i in range(total))
    assert abs(same - total / 10) < 200


@given(st.integers(), st.lists(st.integers(), min_size=1))
def test_a_pick_is_one_of_the_options(seed: int, options: list[int]) -> None:
    """Nothing but an option is ever picked."""
    assert pick(seed, ["victim"], options) in options


def test_every_option_is_picked_equally_often() -> None:
    """No host is a victim more often than another."""
    picked = Counter(pick(5, ["victim", i], ["a", "b", "c"]) for i in range(9000))
    assert all(abs(picked[host] - 3000) < 210 for host in "abc")


def test_nothing_to_pick_from_is_an_error() -> None:
    """Zero targets is an error, never a quiet success."""
    with pytest.raises(ValueError, match="crash/victim"):
        pick(1, ["crash", "victim"], [])


@given(st.integers(), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_moment_lies_in_its_window(seed: int, one: float, other: float) -> None:
    """A drawn moment is never before or after its window."""
    low, high = sorted((one, other))
    assert low <= between(seed, ["after"], low, high) <= high


def test_a_reversed_window_is_an_error() -> None:
    """A window that ends before it begins is a mistake of the caller."""
    with pytest.raises(ValueError, match="less than"):
        between(1, ["after"], 2.0, 1.0)
