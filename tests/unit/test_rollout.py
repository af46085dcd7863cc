"""The rules of roll-outs: when a gate trips, whether it stopped the release in time, and which soak would have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_histories import (
    BEGAN,
    FIRST,
    PODS,
    after,
    all_stages,
    arrivals,
    history,
    scenario,
    stage,
    without_requests,
)

from shaketable.checks.expectations import evaluate
from shaketable.checks.judge import judge
from shaketable.checks.rollout import first_trip, gated
from shaketable.checks.slo import burn
from shaketable.model.history import Request, TrialHistory, Tripped
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario

GOOD = scenario()
assert GOOD.rollout is not None
ROLLOUT = GOOD.rollout


def request(
    ended: float, *, ok: bool = True, took: float = 0.02, name: str = "accept-chat", pod: str = "canary"
) -> Request:
    """One arrival that ended then."""
    due = ended - took
    return Request(
        due, due, ended, name, ok, 200 if ok else 503, "" if ok else "status 503", pod, (), cohort=f"pod={pod}"
    )


def trip(rows: list[Request], until: float = 200.0, old: Scenario = GOOD) -> Tripped | None:
    """What the canary's gate says of these arrivals; it took effect at 100 s."""
    assert old.rollout is not None
    return gated(old.rollout, "storage-canary", 100.0, until, rows).tripped


TEN = [request(101.0 + n / 10) for n in range(10)]
"""The last ends at 101.9."""


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (TEN, None),
        ([*TEN[:9], request(101.9, ok=False)], None),  # 1 of 10 burns 10 times, which is not above 10
        ([*TEN[:8], request(101.85, ok=False), request(101.9, ok=False)], (101.9, 2, 10)),
        ([request(101.0 + n / 10, ok=False) for n in range(9)], None),  # one less than it takes
        ([request(101.0 + n / 10, ok=False) for n in range(12)], (101.9, 10, 10)),  # when enough are there
        ([*TEN[:8], request(101.85, took=0.6), request(101.9, took=0.6)], (101.9, 2, 10)),  # too slow
        ([*TEN[:8], request(101.85, took=2.0), request(101.9, took=2.0)], None),  # due before the stage took effect
        ([request(101.0 + n, ok=False) for n in range(30)], None),  # never ten within two seconds
        ([*TEN, *(request(105 + n / 10, ok=False, name="other") for n in range(20))], None),
        ([*TEN, *(request(105 + n / 10, ok=False, pod="pod-17") for n in range(20))], None),
        ([*TEN, *(request(103.8 + n / 100, ok=False) for n in range(9))], (103.88, 9, 10)),  # nine are past by then
    ],
)
def test_when_a_gate_trips(rows: list[Request], expected: tuple[float, int, int] | None) -> None:
    """With the first arrival at whose end enough fell into the window and too large a share of them was bad."""
    found = trip(rows)
    assert (None if found is None else (round(found.at, 6), found.bad, found.arrivals)) == expected


def test_a_gate_without_a_cohort_looks_at_all() -> None:
    """Without `by` the arrivals of everybody count."""
    rows = [*TEN[:8], request(101.85, ok=False, pod="x"), request(101.9, ok=False, pod="y")]
    assert trip(rows) is None
    assert trip(rows, old=scenario(("by: pod, ", ""))) is not None


@given(
    st.lists(
        st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 3.0), st.booleans()),
        max_size=80,
    ),
    st.floats(100.0, 125.0),
)
def test_what_is_heard_later_changes_nothing(rows: list[tuple[float, float, bool]], heard: float) -> None:
    """A gate that trips on what was heard by a moment trips at the same moment by the whole record, and only then.

    So a live trial and its record always agree. When it trips, the burn of the window is above the limit.
    """
    all_rows = [request(100.0 + at + took, ok=ok, took=took) for at, took, ok in rows]
    whole, part = trip(all_rows, until=1000.0), trip(all_rows, until=heard)
    if part is not None:
        assert whole == part
    elif whole is not None:
        assert whole.at > heard
    if whole is not None:
        window = [r for r in all_rows if whole.at - 2.0 < r.ended <= whole.at and r.scheduled >= 100.0]
        assert len(window) >= whole.arrivals >= 10
        if sum(r.ended == whole.at for r in window) == 1:
            assert burn(window, 0.99, 0.5) > 10


def test_no_gate_looks_once_the_last_stage_has_soaked() -> None:
    """What goes wrong later is seen by the claims, and by nobody in the trial."""
    rows = arrivals(FIRST + 20, after(7.0, "canary"))
    effects = {f"storage-{pod}": FIRST + 2.0 * n for n, pod in enumerate(PODS)}
    assert first_trip(ROLLOUT, 2.0, effects, FIRST + 20, rows) is None
    found = first_trip(ROLLOUT, 4.0, {name: FIRST + 2 * (at - FIRST) for name, at in effects.items()}, FIRST + 20, rows)
    assert found is not None
    assert found.stage == "storage-canary"


def judged(old: TrialHistory, kind: str, good: Scenario = GOOD) -> Finding:
    """The finding of the claim of this kind."""
    return evaluate(next(e for e in good.expectations if e.kind == kind), old, good)


INCIDENT = history(all_stages(), after(6.0, "canary"))
"""Short soak: all stages are out after 4 s, the canary is bad from 6 s on, all are undone at 14 s."""
CAUGHT = replace(
    history((stage("canary", FIRST, FIRST + 7.2),), after(6.0, "canary"), variant="fixed"),
    tripped=Tripped("storage-canary", FIRST + 6.63, 3, 20),
)
"""Long soak: the canary's gate trips at 6.6 s, and it is undone."""


def test_a_release_that_reaches_all_is_not_stopped() -> None:
    """However many stages saw it, the sentence says when a gate could have known."""
    found = judged(INCIDENT, "rollout-stops")
    assert (found.verdict, found.value, found.limit, found.unit) == ("fail", 3.0, 1.0, "stages")
    assert found.because.startswith("3 of 3 stages saw it (at most 1 asked): 6.")
    assert "after storage-canary took effect" in found.because
    assert "after the roll-out was complete, when no gate was looking; all were undone" in found.because
    assert found.evidence[0].where == "storage-canary"


def test_a_release_that_is_stopped_in_time() -> None:
    """The gate stopped it at the first stage, which was undone soon after it could be known."""
    found = judged(CAUGHT, "rollout-stops")
    assert (found.verdict, found.value) == ("pass", 1.0)
    assert found.because.startswith("the gate stopped it at storage-canary; 1 of 3 stages saw it")
    slow = replace(CAUGHT, faults=(stage("canary", FIRST, FIRST + 13.0),), ended=FIRST + 15)
    late = judged(slow, "rollout-stops")
    assert (late.verdict, late.unit, late.limit) == ("fail", "s", 5.0)
    assert late.value == pytest.approx(13.0 - 6.35, abs=0.5)
    assert "(limit 5 s)" in late.because


def test_where_nothing_was_wrong_nothing_was_stopped() -> None:
    """A release that is not bad proves nothing about what stops a bad one: the trial is invalid, not green."""
    found = judged(history(all_stages()), "rollout-stops")
    assert found.verdict == "unknown"
    assert found.because == "there was nothing to stop: no gate tripped in 360 arrivals of 3 of 3 stages"
    assert judged(history(all_stages()), "soak-catches").verdict == "pass"
    assert judged(history(all_stages()), "soak-catches").because.startswith("nothing was ever wrong")


def test_the_shortest_soak_that_catches_it() -> None:
    """It is computed from the first stage's own arrivals, also those of the time in which later stages ran."""
    found = judged(INCIDENT, "soak-catches")
    assert (found.verdict, found.limit) == ("fail", 2.0)
    assert found.value is not None
    assert 6.3 < found.value < 7.5
    caught = judged(CAUGHT, "soak-catches")
    assert (caught.verdict, caught.limit) == ("pass", 12.0)
    assert caught.value == pytest.approx(found.value), "the same arrivals, the same soak, whatever was done then"
    assert "this one was 12 s" in caught.because


def test_what_the_first_stage_never_saw_is_unknown() -> None:
    """Something was wrong elsewhere, or too few asked: then nobody knows which soak would do."""
    elsewhere = judged(history(all_stages(), after(6.0, "pod-17")), "soak-catches")
    assert elsewhere.verdict == "unknown"
    assert "storage-canary was looked at for 14" in elsewhere.because
    assert "after storage-pod-17 took effect" in elsewhere.because
    silent = judged(without_requests(INCIDENT, "canary"), "soak-catches")
    assert silent.verdict == "unknown"
    assert silent.because.startswith("storage-canary never had the 10 arrivals within 2 s that the gate takes")


def test_a_claim_about_a_stage_that_was_never_reached_holds() -> None:
    """A gate stopped the roll-out before: nothing happened there. Without a trip it is not known why it is missing."""
    claim = "kind: recovers, within: 9s, fault: storage-pod-18"
    told = scenario(("kind: soak-catches", claim))
    found = judged(CAUGHT, "recovers", told)
    assert (found.verdict, found.because) == (
        "pass",
        "storage-pod-18 was never reached: a gate stopped the roll-out before",
    )
    assert judged(replace(CAUGHT, tripped=None), "recovers", told).verdict == "unknown"


def test_stages_that_were_never_reached_are_no_reason_for_an_invalid_trial() -> None:
    """A trial that a gate stopped counts as any other."""
    watched = replace(
        CAUGHT, look_beats=[], requests=[*CAUGHT.requests, *(replace(r, name="x") for r in CAUGHT.requests)]
    )
    trial = judge(watched, GOOD)
    assert not [why for why in trial.invalid_because if "pod-1" in why or "began" in why]
    assert [f.verdict for f in trial.expectations] == ["pass", "pass"]


def test_chance_trips_no_gate() -> None:
    """A single bad arrival is a large share only of few, and of those no gate says anything."""
    for number in range(1, 40):
        at = FIRST + 0.1 * number
        rows = [
            replace(r, ok=r.served_by != "canary" or not at <= r.scheduled < at + 0.1) for r in arrivals(FIRST + 20)
        ]
        assert sum(not r.ok for r in rows) == 1
        assert gated(ROLLOUT, "storage-canary", FIRST, BEGAN + 99, rows).tripped is None
