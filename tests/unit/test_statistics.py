"""Exact statistics: the interval beside every verdict."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaketable.checks.statistics import (
    at_least_share,
    at_most,
    at_most_share,
    clean_trials_needed,
    interval,
    poisson_at_most,
    quantile,
)


@pytest.mark.parametrize(
    ("failed", "valid", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 20, 0.0, 0.16843),
        (20, 20, 0.83157, 1.0),
        (0, 59, 0.0, 0.06061),
        (4, 20, 0.05733, 0.43661),
        (50, 100, 0.39832, 0.60168),
        (1, 1, 0.025, 1.0),
    ],
)
def test_known_values(failed: int, valid: int, low: float, high: float) -> None:
    """The interval is that of Clopper and Pearson, as tables have it."""
    assert interval(failed, valid) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("p", "n"), [(0.20, 14), (0.10, 29), (0.05, 59), (0.01, 299)])
def test_clean_trials_needed(p: float, n: int) -> None:
    """So many clean trials exclude a failure probability this high at 95 %, one-sided, and one fewer does not."""
    assert clean_trials_needed(p) == n
    assert (1 - p) ** n <= 0.05 < (1 - p) ** (n - 1)


@given(st.integers(1, 25), st.floats(0.001, 0.999))
def test_coverage(n: int, p: float) -> None:
    """Whatever the true probability, the interval contains it in at least 95 % of all campaigns."""
    covered = math.fsum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1) if interval(k, n)[0] <= p <= interval(k, n)[1]
    )
    assert covered >= 0.95 - 1e-9


@given(st.integers(1, 25), st.floats(0.001, 0.999), st.floats(0.0001, 0.3))
def test_one_sided_bounds_err_no_more_often_than_they_say(n: int, p: float, error: float) -> None:
    """Whatever the true probability, each bound is on its wrong side in at most a share `error` of all trials."""

    def chance(wrong: list[int]) -> float:
        return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in wrong)

    assert chance([k for k in range(n + 1) if at_most_share(k, n, error) < p]) <= error + 1e-9
    assert chance([k for k in range(n + 1) if at_least_share(k, n, error) > p]) <= error + 1e-9


def test_one_sided_bounds_of_all_and_of_none() -> None:
    """All failed leaves no upper bound, and nothing seen leaves neither."""
    assert at_most_share(12, 12, 0.001) == 1.0
    assert at_least_share(12, 12, 0.001) == pytest.approx(0.001 ** (1 / 12))
    assert (at_least_share(0, 0, 0.001), at_most_share(0, 0, 0.001)) == (0.0, 1.0)


@given(st.integers(1, 400), st.data())
def test_more_failures_never_lower_the_interval(n: int, data: st.DataObject) -> None:
    """Both ends rise with the number of failures, and the observed rate lies between them."""
    k = data.draw(st.integers(0, n - 1))
    here, next_ = interval(k, n), interval(k + 1, n)
    assert here[0] <= next_[0]
    assert here[1] <= next_[1]
    assert here[0] <= k / n <= here[1]


def test_impossible_counts_are_refused() -> None:
    """More failures than trials is a mistake of the caller, not an interval."""
    with pytest.raises(ValueError, match="3 failures of 2"):
        interval(3, 2)


def test_large_campaigns_stay_exact() -> None:
    """No overflow and no loss at a hundred thousand trials."""
    low, high = interval(1, 100_000)
    assert 0 < low < 1e-5 < high < 6e-5
    assert at_most(100_000, 100_000, 0.5) == pytest.approx(1.0)


def test_poisson_tail() -> None:
    """P(X <= 0) is e^-mean, and everything is at most something large."""
    assert poisson_at_most(0, 2.0) == pytest.approx(math.exp(-2))
    assert poisson_at_most(500, 100.0) == pytest.approx(1.0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_a_quantile_is_one_of_the_values_and_never_too_low(values: list[float], q: float) -> None:
    """At least a share q of the values is at most the quantile."""
    found = quantile(values, q)
    assert found in values
    assert sum(v <= found for v in values) >= q * len(values) - 1e-6
