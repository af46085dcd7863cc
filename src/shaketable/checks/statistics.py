"""Exact statistics: the Clopper-Pearson interval over trials, what a number of clean trials excludes, Student's t."""

from __future__ import annotations

import math
from functools import lru_cache


def _log_pmf(k: int, n: int, p: float) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)


def at_most(k: int, n: int, p: float) -> float:
    """P(X <= k) for X binomial(n, p), summed from its largest term until the rest is negligible."""
    if k >= n or p <= 0:
        return 1.0
    if k < 0 or p >= 1:
        return 0.0
    return _tail(k, n, p) if k < n * p else 1.0 - _tail(n - k - 1, n, 1 - p)


def _tail(k: int, n: int, p: float) -> float:
    """The terms from k down to 0, where k is below the mean, so that each is smaller than the one before."""
    total = term = 1.0
    odds = (1 - p) / p
    for i in range(k, 0, -1):
        term *= i / (n - i + 1) * odds
        total += term
        if term < total * 1e-18:
            break
    return min(1.0, math.exp(_log_pmf(k, n, p)) * total)


def _solve(n: int, k: int, tail: float) -> float:
    """The p at which P(X <= k) falls to `tail`; P falls as p grows."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(k, n, middle) > tail else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=4096)
def interval(failed: int, valid: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided exact interval of the failure probability (Clopper & Pearson, Biometrika 26, 1934).

    Each side has half of the error; with no failures the upper end is 1 - (alpha/2)^(1/n). No trials: (0, 1).
    Raises ValueError unless 0 <= failed <= valid.
    """
    if not 0 <= failed <= valid:
        raise ValueError(f"{failed} failures of {valid} trials")
    if valid == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    return at_least_share(failed, valid, tail), at_most_share(failed, valid, tail)


def at_most_share(failed: int, valid: int, error: float) -> float:
    """The exact one-sided upper bound of a failure probability: it is higher with a chance of at most `error`."""
    return 1.0 if failed >= valid else _solve(valid, failed, error)


def at_least_share(failed: int, valid: int, error: float) -> float:
    """The exact one-sided lower bound of a failure probability: it is lower with a chance of at most `error`."""
    return 0.0 if failed <= 0 else 1 - _solve(valid, valid - failed, error)


def clean_trials_needed(probability: float, confidence: float = 0.95) -> int:
    """How many trials without a failure exclude a failure probability this high (one-sided): 5 % needs 59."""
    return math.ceil(math.log(1 - confidence) / math.log1p(-probability))


def poisson_at_most(k: int, mean: float) -> float:
    """P(X <= k) for X Poisson with this mean."""
    if mean <= 0:
        return 1.0
    return min(1.0, math.fsum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(k + 1)))


def quantile(values: list[float], q: float) -> float:
    """The ceil(q n)-th smallest value: never less than the true sample quantile. Raises ValueError when empty."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]


def _beta_share(a: float, b: float, x: float) -> float:
    """The regularized incomplete beta function, x below (a + 1) / (a + b + 2): its continued fraction by Lentz's rule.

    Abramowitz & Stegun, Handbook of Mathematical Functions, 26.5.8.
    """
    upper, lower = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    total = lower
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            lower, upper = 1 / (1 + term * lower), 1 + term / upper
            total *= lower * upper
        if abs(lower * upper - 1) < 1e-15:
            break
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * total / a


def _beyond(t: float, freedom: float) -> float:
    """P(|T| > t) for Student's T (Abramowitz & Stegun, 26.7.1 and 26.5.2)."""
    a, b, x, rest = freedom / 2, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t)
    return _beta_share(a, b, x) if x < (a + 1) / (a + b + 2) else 1 - _beta_share(b, a, rest)


@lru_cache(maxsize=4096)
def student(freedom: float, confidence: float = 0.95) -> float:
    """The t that Student's T with so many degrees of freedom, also broken ones, stays within with this chance.

    It is infinite if it were more than 1e150. Raises ValueError unless `freedom` is more than 0.
    """
    if freedom <= 0:
        raise ValueError(f"{freedom} degrees of freedom")
    low, high = -20.0, 150 * math.log(10)  # of the logarithm, for with little freedom t is huge
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _beyond(math.exp(middle), freedom) > 1 - confidence else (low, middle)
    return math.inf if high >= 150 * math.log(10) - 1e-9 else math.exp(high)
