"""Service level objectives: the error budget of each endpoint by itself, and how fast it burns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import INJECTED, arrivals, failed, found, slowed, trial

from shaketable.checks.slo import burn, is_good
from shaketable.model.claims import Slo
from shaketable.model.history import Request
from shaketable.model.result import Finding


def judged(*parts: Sequence[Request], **described: Any) -> Finding:
    """99 % within 500 ms unless told."""
    claim = Slo.model_validate({"kind": "slo", "id": "s", "objective": 0.99, "at_most": 0.5, **described})
    return found(claim, trial(requests=[r for part in parts for r in part]))


def some(name: str, count: int, *, bad: int = 0, slow: int = 0, cohort: str = "") -> list[Request]:
    """So many arrivals within 40 s after the fault; the first fail, the next are slow."""
    rows = arrivals(name, INJECTED, INJECTED + 40, rate=count / 40, cohort=cohort)
    assert len(rows) == count
    return [*failed(rows[:bad], -99, 99), *slowed(rows[bad : bad + slow], -99, 99, 0.6), *rows[bad + slow :]]


def test_a_good_arrival_succeeds_and_in_time() -> None:
    """At the limit is in time; without a limit only success counts."""
    (fast,), (slow,), (wrong,) = some("x", 1), some("x", 1, slow=1), some("x", 1, bad=1)
    assert is_good(fast, fast.latency)
    assert not is_good(slow, 0.5)
    assert is_good(slow, None)
    assert not is_good(wrong, None)


def test_the_burn_is_how_many_times_faster_than_allowed() -> None:
    """Half of them bad where 1 % may be burns 50 times as fast; of none, nothing burns."""
    assert burn(some("x", 10, bad=3, slow=2), 0.99, 0.5) == pytest.approx(50)
    assert burn(some("x", 10, bad=3, slow=2), 0.99, None) == pytest.approx(30)
    assert burn(some("x", 100, bad=1), 0.99, None) == pytest.approx(1)
    assert burn([], 0.99, None) == 0.0


@given(st.integers(1, 400), st.data(), st.floats(0.01, 0.999))
def test_burn_is_additive_over_windows_of_one_size(count: int, data: st.DataObject, objective: float) -> None:
    """The burn of all is the mean of the parts, weighted by their arrivals: no budget is lost between windows."""
    bad = data.draw(st.integers(0, count))
    cut = data.draw(st.integers(0, count))
    rows = some("x", count, bad=bad)
    parts = (rows[:cut], rows[cut:])
    mean = sum(burn(part, objective, None) * len(part) for part in parts) / count
    assert burn(rows, objective, None) == pytest.approx(mean)


def test_within_the_budget_passes() -> None:
    """All of it may be burnt, failed and slow ones together; the value is in percent of the budget."""
    finding = judged(some("chat", 400, bad=2, slow=2), some("ticket", 400, bad=1))
    assert (finding.verdict, finding.value, finding.limit) == ("pass", pytest.approx(100), 100)
    assert finding.unit == "% of the budget"
    assert finding.because == (
        "of 2 endpoints, the most by chat burnt 100 % of its error budget: of 400 arrivals 2 failed, "
        "2 took longer than 500 ms, where 1 % may"
    )


def test_the_worst_endpoint_decides() -> None:
    """It does not hide among the others; the sentence names it, and the rest that is over."""
    finding = judged(some("chat", 400, bad=20), some("ticket", 400), some("event", 400, bad=5))
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(500))
    assert finding.because.startswith("chat burnt 500 % of its error budget: of 400 arrivals 20 failed, 0 took longer")
    assert finding.because.endswith("where 1 % may; also event (125 %) (limit 100 %)")
    assert {e.where for e in finding.evidence} == {"pages"}
    assert finding.evidence[0].start == pytest.approx(0.0)
    assert finding.evidence[0].end == pytest.approx(2.0)


def test_a_part_of_the_budget() -> None:
    """With `budget` more or less than all of it may be burnt, and the limit itself is allowed."""
    rows = some("chat", 400, bad=2)
    assert judged(rows, budget=0.5).verdict == "pass"
    assert judged(rows, budget=0.49).verdict == "fail"
    assert judged(some("chat", 400, bad=8), budget=2.0).verdict == "pass"


def test_only_those_that_are_named_count() -> None:
    """By the name of the request, and by cohort."""
    rows = [*some("chat", 400, bad=20, cohort="pod=pod-17"), *some("chat", 400, cohort="pod=pod-18")]
    assert judged(rows, some("ticket", 400), requests=["ticket"]).verdict == "pass"
    assert judged(rows, cohort={"pod": "pod-18"}).verdict == "pass"
    finding = judged(rows, cohort={"pod": "pod-17"})
    assert (finding.verdict, "chat by pod=pod-17 burnt" in finding.because) == ("fail", True)


def test_nobody_asked_is_unknown() -> None:
    """For the window, or for an endpoint that is named; what is over its budget fails all the same."""
    assert judged(arrivals("chat", end=INJECTED)).verdict == "unknown"
    finding = judged(some("chat", 400), requests=["chat", "ticket"])
    assert (finding.verdict, finding.because) == ("unknown", "no arrival of ticket fell into the window")
    assert judged(some("chat", 400, bad=9), requests=["chat", "ticket"]).verdict == "fail"


@given(st.integers(100, 1000), st.data())
def test_it_fails_just_if_more_are_bad_than_may_be(count: int, data: st.DataObject) -> None:
    """By count, to the arrival."""
    bad = data.draw(st.integers(0, count // 20))
    assert (judged(some("chat", count, bad=bad)).verdict == "fail") == (bad > count * 0.01 + 1e-6)
