"""Cohorts beside one another: a few who fail must not hide among the many, and chance must not decide."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inbox_histories import INJECTED, arrivals, failed, found, trial

from shaketable.checks.cohorts import ERROR, Cohort, Count, cohorts
from shaketable.model.claims import CohortsAlike
from shaketable.model.history import Request, TrialHistory
from shaketable.model.result import Finding

RETURNING, FRESH = "app=2.0,plan=free,profile=returning", "app=2.0,plan=free,profile=fresh"
OLD = "app=1.9,plan=paid,profile=returning"


def judged(*parts: Sequence[Request], **described: Any) -> Finding:
    """The finding, by app and profile and with a limit of 5 % unless told."""
    return at(trial(requests=[r for part in parts for r in part]), **described)


def at(of: TrialHistory, **described: Any) -> Finding:
    """The finding of a trial."""
    plain = {"kind": "cohorts-alike", "id": "same", "by": ["app", "profile"], **described}
    return found(CohortsAlike.model_validate(plain), of)


def some(count: int, cohort: str, *, bad: int = 0, name: str = "refresh") -> list[Request]:
    """So many arrivals of a cohort after the fault, the first of them failed."""
    rows = arrivals(name, INJECTED, INJECTED + 40, rate=count / 40, cohort=cohort)
    assert len(rows) == count
    return [*failed(rows[:bad], -99, 99), *rows[bad:]]


def test_cohorts_that_are_alike_pass() -> None:
    """With how much the worst of them fails more than all others."""
    finding = judged(some(400, RETURNING, bad=4), some(40, FRESH), some(300, OLD, bad=3))
    assert finding.verdict == "pass"
    assert (finding.limit, finding.unit) == (5.0, "percentage points")
    assert finding.because.startswith("none of 3 cohorts stands out beyond chance")


def test_a_small_cohort_that_fails_is_found_though_all_looks_well() -> None:
    """The incident: fresh profiles on the new version fail, and 97 % of all arrivals succeed."""
    finding = judged(some(388, RETURNING), some(12, FRESH, bad=12), some(100, OLD))
    assert finding.verdict == "fail"
    assert finding.value == pytest.approx(100.0)
    assert finding.because.startswith(
        "12 of 12 arrivals of app=2.0,profile=fresh failed, and 0 of 488 arrivals of all others failed; 2.4 % of all: "
        "at least "
    )


@settings(deadline=None)
@given(st.integers(300, 3000), st.integers(0, 2**32), st.floats(0, 0.015))
def test_three_percent_that_fail_wholly_are_found(count: int, seed: int, usual: float) -> None:
    """Whatever the size of the trial, and whoever else fails now and then: under 5 % of all fail, and the cohort is named."""
    fresh = round(0.03 * count)
    draws = random.Random(seed)
    others = [failed([r], -99, 99)[0] if draws.random() < usual else r for r in some(count - fresh, RETURNING)]
    rows = [*others, *some(fresh, FRESH, bad=fresh)]
    overall = sum(not r.ok for r in rows) / count
    finding = judged(rows)
    if overall < 0.05:
        assert finding.verdict == "fail"
        assert f"{fresh} of {fresh} arrivals of app=2.0,profile=fresh" in finding.because


def pmf(k: int, n: int, p: float) -> float:
    """The chance of k of n."""
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1), st.floats(0, 0.2), st.floats(0, 1))
def test_chance_does_not_decide(own: int, others: int, share: float, at_most: float, part: float) -> None:
    """A cohort whose true excess is at most the limit is flagged in at most the error level of all trials: summed exactly."""
    mine = min(1.0, share + part * at_most)
    flagged = math.fsum(
        pmf(k, own, mine) * pmf(m, others, share)
        for k in range(own + 1)
        for m in range(others + 1)
        if Cohort("a", Count(k, own), Count(m, others)).excess(ERROR) > at_most
    )
    assert flagged <= ERROR + 1e-12


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.floats(0, 0.3), st.lists(st.integers(5, 200), min_size=2, max_size=6))
def test_cohorts_that_fail_equally_are_not_flagged(seed: int, share: float, sizes: list[int]) -> None:
    """However many there are and however small: what chance does to equal ones is within the limit and the error level."""
    draws = random.Random(seed)
    rows = [
        failed([r], -99, 99)[0] if draws.random() < share else r
        for number, size in enumerate(sizes)
        for r in some(size, f"app={number},profile=fresh")
    ]
    assert judged(rows).verdict in ("pass", "unknown")


def test_only_the_named_requests_count() -> None:
    """What fails on one page only is found there, and not looked for elsewhere."""
    rows = [
        *some(200, RETURNING),
        *some(100, FRESH),
        *some(60, RETURNING, name="privacy"),
        *some(10, FRESH, bad=10, name="privacy"),
    ]
    assert judged(rows, requests=["privacy"]).verdict == "fail"
    assert judged(rows, requests=["refresh"]).verdict == "pass"


def test_keys_that_are_not_asked_for_are_taken_together() -> None:
    """By plan alone, the fresh ones are a few of the free."""
    rows = [*some(300, RETURNING), *some(12, FRESH, bad=12), *some(100, OLD)]
    assert judged(rows, by=["plan"]).verdict == "pass"
    assert judged(rows, by=["profile"]).verdict == "fail"


def test_arrivals_of_no_cohort_are_others_to_all() -> None:
    """A user who does not say who it is counts on the other side."""
    found = cohorts([*some(20, FRESH, bad=5), *some(30, ""), *some(10, "app=2.0", bad=1)], ["app", "profile"])
    assert found == (Cohort("app=2.0,profile=fresh", Count(5, 20), Count(1, 40)),)
    assert judged(some(300, ""), some(20, FRESH, bad=20)).verdict == "fail"


def test_before_the_fault_and_after_recovery_nothing_counts() -> None:
    """The window is that of availability."""
    early = failed(arrivals("refresh", cohort=FRESH), -99, 0)
    late = failed(arrivals("refresh", cohort=FRESH), 44, 99)
    usual = arrivals("refresh", cohort=RETURNING)
    assert judged(early, usual).verdict == "pass"
    assert judged(late, usual).verdict == "pass"
    assert at(trial(requests=[*late, *usual], recovered=None)).verdict == "fail"


UNSEEN: dict[str, tuple[list[Request], dict[str, Any], str]] = {
    "nobody came": ([], {}, "no arrival fell into the window"),
    "nobody says who it is": (some(300, ""), {}, "no arrival says its app and profile"),
    "a key that nobody has": (some(300, FRESH), {"by": ["ap"]}, "no arrival says its ap"),
    "one cohort alone": (
        some(300, FRESH),
        {},
        "all arrivals are of app=2.0,profile=fresh, so there is nothing to comp",
    ),
    "too few of one": (
        [*some(300, RETURNING), *some(2, FRESH, bad=2)],
        {},
        "too few arrivals to tell: 2 of app=2.0,profile=fresh, 300 of others",
    ),
    "too few of all": (
        [*some(3, RETURNING), *some(2, FRESH)],
        {},
        "too few arrivals to tell: 2 of app=2.0,profile=fresh",
    ),
    "a page that nobody saw": (
        [*some(300, RETURNING), *some(20, FRESH)],
        {"requests": ["refresh", "privacy"]},
        "no arrival of privacy fell into the window",
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_told_is_unknown(name: str) -> None:
    """Nothing unseen passes: a cohort of which too few came may fail, for all one knows."""
    rows, described, because = UNSEEN[name]
    finding = judged(rows, **described)
    assert (finding.verdict, finding.value) == ("unknown", None), finding.because
    assert because in finding.because


def test_a_cohort_that_stands_out_fails_though_another_is_too_small() -> None:
    """A failure that was seen stands."""
    finding = judged(some(300, RETURNING), some(20, FRESH, bad=20), some(1, OLD))
    assert finding.verdict == "fail"
