"""When arrivals are due."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest

from shaketable.agent.arrivals import arrivals


@pytest.mark.parametrize("kind", ["poisson", "constant"])
def test_the_schedule_is_a_function_of_the_seed(kind: str) -> None:
    """Rule: equal seeds give equal schedules; another seed another one, if there is chance in it."""
    first = list(islice(arrivals(20, kind, "7/a"), 500))
    assert first == list(islice(arrivals(20, kind, "7/a"), 500))
    assert (first == list(islice(arrivals(20, kind, "7/b"), 500))) == (kind == "constant")
    assert all(earlier < later for earlier, later in pairwise(first))


@pytest.mark.parametrize("kind", ["poisson", "constant"])
def test_the_rate_is_kept(kind: str) -> None:
    """Rule: over many arrivals the rate is the one asked for, and a value known today is the same tomorrow."""
    due = list(islice(arrivals(50, kind, "7"), 20_000))
    assert due[-1] == pytest.approx(400, rel=0.03)
    assert due[0] == pytest.approx(0.02 if kind == "constant" else 0.081514, abs=1e-5)


def test_poisson_gaps_are_exponential() -> None:
    """Rule: the gaps of independent arrivals: as much spread as their mean, and 63 % of them shorter than it."""
    due = list(islice(arrivals(1, "poisson", "7"), 20_000))
    gaps = [later - earlier for earlier, later in zip([0.0, *due], due, strict=False)]
    assert sum(gap < 1 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)
    assert sum(gap * gap for gap in gaps) / len(gaps) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize(("rate", "kind"), [(0, "poisson"), (-1, "constant"), (float("nan"), "poisson"), (1, "burst")])
def test_nonsense_is_refused(rate: float, kind: str) -> None:
    """Rule: a schedule that could never be kept is refused when it is made."""
    with pytest.raises(ValueError, match="arrivals"):
        arrivals(rate, kind, "7")
