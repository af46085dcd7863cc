"""Bystanders: what is not downstream of a fault is held against the control window of the same trial."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inbox_histories import BEGAN, INJECTED, STEADY, arrivals, failed, fault, found, slowed, trial

from shaketable.checks.bystanders import CONTROL, ERROR, needed
from shaketable.checks.statistics import at_least_share
from shaketable.model.claims import Bystanders
from shaketable.model.history import Request, TrialHistory
from shaketable.model.result import Finding

SENT = fault().sent


def at(of: TrialHistory, **described: Any) -> Finding:
    """The finding of a trial; 1.5 s of its control window of 1.8 s are asked for unless told."""
    return found(Bystanders.model_validate({"kind": "bystanders", "id": "b", "control": 1.5, **described}), of)


def judged(*parts: Sequence[Request], **described: Any) -> Finding:
    """The finding of a trial with these arrivals."""
    return at(trial(requests=[r for part in parts for r in part]), **described)


def some(name: str, count: int, *, bad: int = 0, cohort: str = "") -> list[Request]:
    """20 /s before the fault, all good, then so many within 40 s, the first of them failed."""
    after = arrivals(name, INJECTED, INJECTED + 40, rate=count / 40, cohort=cohort)
    assert len(after) == count
    return [*arrivals(name, end=SENT, cohort=cohort), *failed(after[:bad], 0, 99), *after[bad:]]


def test_who_fares_as_before_passes() -> None:
    """With how much more often the worst of them failed."""
    finding = judged(some("ticket", 400, bad=2), slowed(some("chat", 400), 0, 99, 0.02))
    assert (finding.verdict, finding.value, finding.limit) == ("pass", pytest.approx(0.5), 2.0)
    assert finding.unit == "percentage points"
    assert finding.because == (
        "none of 2 functions fared worse than before the fault, beyond chance; of the worst, "
        "2 of 400 arrivals of ticket failed after it, 0 of 36 in the control window; "
        "of the slowest, chat, p95 was 20 ms (limit 260 ms; in the control window 10 ms)"
    )


def test_one_that_fails_does_not_hide_behind_the_others() -> None:
    """Each name is judged by itself, and the sentence says how many, of whom, and by how much at least."""
    finding = judged(some("ticket", 40, bad=10), some("chat", 1000))
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(25.0))
    assert finding.because.startswith(
        "ticket is not downstream of the kill, yet 10 of 40 arrivals of ticket failed after it, "
        "0 of 36 in the control window: at least 6.74 "
    )
    assert finding.because.endswith("percentage points more (limit 2)")
    assert {e.where for e in finding.evidence} == {"pages"}


def test_chance_is_no_harm() -> None:
    """2 of 40 are 5 %, and that much can be chance where 2 % may fail."""
    assert judged(some("ticket", 40, bad=2)).verdict == "pass"


@given(st.integers(2, 400), st.data())
def test_it_fails_just_beyond_the_exact_bound(count: int, data: st.DataObject) -> None:
    """That of Clopper and Pearson, half of the error for failing and half for slow ones."""
    bad = data.draw(st.integers(0, count))
    beyond = at_least_share(bad, count, ERROR / 2) > 0.02
    assert judged(some("ticket", count, bad=bad)).verdict == ("fail" if beyond else "pass")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.floats(0, 0.02))
def test_what_fails_as_often_as_it_may_is_rarely_said_to_be_harmed(seed: int, usual: float) -> None:
    """By chance less than once in a thousand trials."""
    draws = random.Random(seed)
    rows = [r if draws.random() >= usual else failed([r], -99, 99)[0] for r in some("ticket", 200)]
    kept = [r for r in rows if r.ok or r.scheduled >= INJECTED]
    assert judged(kept).verdict == "pass" or sum(not r.ok for r in kept) > 10


def test_slower_is_harm() -> None:
    """P95 is above twice the control's and above a quarter of a second more; both have to be so."""
    rows = some("ticket", 400)
    finding = judged(slowed(rows, 0, 20, 0.4))
    assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("fail", 0.4, pytest.approx(0.26), "s")
    assert finding.because == (
        "ticket is not downstream of the kill, yet p95 was 400 ms (limit 260 ms; in the control window 10 ms); "
        "200 of 400 arrivals were slower than the limit"
    )
    assert judged(slowed(rows, 0, 20, 0.25)).verdict == "pass"
    assert judged(slowed(rows, 0, 20, 0.4), slower=0.5).verdict == "pass"
    assert judged(slowed(rows, 0, 20, 0.4), times=50).verdict == "pass"
    assert judged(slowed(rows, 0, 1.5, 0.4)).verdict == "pass", "15 of 400 are less than 5 %"


def test_only_those_that_are_named_count() -> None:
    """The target's own pod is downstream; its cohort is not among those that are named."""
    rows = [*some("chat", 400, bad=200, cohort="pod=canary"), *some("chat", 400, cohort="pod=pod-18")]
    assert judged(rows, cohort={"pod": "pod-18"}).verdict == "pass"
    finding = judged(rows, cohort={"pod": "canary"})
    assert finding.because.startswith("chat by pod=canary is not downstream of the kill, yet")
    assert judged(rows, some("ticket", 400), requests=["ticket"]).verdict == "pass"


def test_what_came_before_steady_state_is_no_control() -> None:
    """A topology that still comes up is no measure of what is usual."""
    early = failed(arrivals("ticket", BEGAN, STEADY - 0.4), -99, 0)
    late = [r for r in some("ticket", 400, bad=40) if r.scheduled > STEADY - 0.3]
    finding = judged(early, late)
    assert (finding.verdict, "0 of 36 in the control window" in finding.because) == ("fail", True)


def test_too_short_a_control_window_is_unknown() -> None:
    """Whatever came after; the sentence says what to do."""
    finding = judged(some("ticket", 400, bad=200), control=2.0)
    assert (finding.verdict, finding.value) == ("unknown", None)
    assert finding.because == "the control window was 1.8 s long, of 2 s asked: let steady.hold be as long as that"


def test_too_few_arrivals_are_unknown() -> None:
    """In the control window, after it, or none at all of a name."""
    after = arrivals("ticket", INJECTED)
    few = arrivals("ticket", SENT - 1, SENT, rate=CONTROL - 1)
    finding = judged(few, after)
    assert (finding.verdict, finding.because[:48]) == (
        "unknown",
        f"the control window has {CONTROL - 1} arrivals of ticket, of ",
    )
    assert judged(arrivals("ticket", SENT - 1, SENT, rate=CONTROL), after).verdict == "pass"
    assert judged(arrivals("ticket", end=SENT)).verdict == "unknown"
    assert judged(some("ticket", 1)).verdict == "unknown"
    assert judged(some("ticket", 400), requests=["ticket", "chat"]).verdict == "unknown"
    assert judged().verdict == "unknown"


def test_harm_that_was_seen_counts_whatever_was_not() -> None:
    """A name without a control does not save another."""
    assert judged(some("ticket", 400, bad=200), arrivals("chat", INJECTED)).verdict == "fail"


def many(count: int, *, slow: int = 0, latency: float = 0.4) -> list[Request]:
    """100 /s before the fault, all of 10 ms, then so many within 40 s, the first of them slow."""
    after = arrivals("page", INJECTED, INJECTED + 40, rate=count / 40)
    return [*arrivals("page", end=SENT, rate=100), *slowed(after[:slow], 0, 99, latency), *after[slow:]]


def test_another_quantile() -> None:
    """Of 400 arrivals 15 slow ones are beyond what chance makes of the 1 % above p99, and less than the 5 % above p95."""
    rows = many(400, slow=15)
    finding = judged(rows, quantile=0.99)
    assert (finding.verdict, finding.value, finding.limit) == ("fail", 0.4, pytest.approx(0.26))
    assert finding.because == (
        "page is not downstream of the kill, yet p99 was 400 ms (limit 260 ms; in the control window 10 ms); "
        "15 of 400 arrivals were slower than the limit"
    )
    assert judged(rows).verdict == "pass"
    assert judged(many(400, slow=8), quantile=0.99).verdict == "pass", "8 of 400 can be chance"
    close = {"quantile": 0.99, "times": 1.2, "slower": 0.0}
    assert judged(many(400, slow=40, latency=0.0121), **close).verdict == "fail"
    assert judged(many(400, slow=40, latency=0.0119), **close).verdict == "pass"


@given(st.sampled_from([0.5, 0.75, 0.9, 0.95, 0.99]), st.integers(2, 400), st.data())
def test_slowness_fails_just_beyond_the_exact_bound_of_any_quantile(
    share: float, count: int, data: st.DataObject
) -> None:
    """That of the share that may be above the quantile."""
    slow = data.draw(st.integers(0, count))
    beyond = at_least_share(slow, count, ERROR / 2) > 1 - share
    verdict = judged(many(count, slow=slow), quantile=share).verdict
    assert (verdict == "fail") == beyond


def test_a_quantile_far_out_asks_for_a_control_window_that_has_it() -> None:
    """100 arrivals for p99; of fewer the slowest says too little of what is usual."""
    assert [needed(q) for q in (0.5, 0.95, 0.99, 0.999)] == [CONTROL, CONTROL, 100, 1000]
    finding = judged(some("ticket", 400), quantile=0.99)
    assert (finding.verdict, finding.because) == (
        "unknown",
        (
            "the control window has 36 arrivals of ticket, of 100 at least: "
            "ask for a longer one (control, steady.hold) or for more load"
        ),
    )
