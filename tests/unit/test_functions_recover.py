"""Recovery counts when every function and every queue is well again: the check, on synthetic histories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import (
    ENDED,
    HEAL_BEGAN,
    HEALED,
    INJECTED,
    arrivals,
    copy_of,
    failed,
    fault,
    found,
    slowed,
    trial,
)

from shaketable.model.claims import FunctionsRecover
from shaketable.model.history import FaultRecord, Look, Request, TrialHistory
from shaketable.model.result import Finding

SINCE_HEAL = HEALED - INJECTED
"""What is written in seconds after the fault's effect, for a moment of the heal."""
REFRESH, REPLY = arrivals("refresh"), arrivals("reply")


def judged(of: TrialHistory, **settings: Any) -> Finding:
    """The finding, with a limit of 10 s after heal."""
    described = {"kind": "functions-recover", "id": "well", "within": 10.0, **settings}
    return found(FunctionsRecover.model_validate(described), of)


def during(*parts: list[Request], looks: list[Look] | None = None, **changes: object) -> TrialHistory:
    """A trial with these arrivals."""
    return trial(requests=[r for part in parts for r in part], looks=looks or [], **changes)


def after_heal(rows: list[Request], seconds: float) -> list[Request]:
    """The same arrivals, failed from the fault until so long after heal."""
    return failed(rows, 0.0, SINCE_HEAL + seconds)


def test_functions_that_were_never_bad_pass() -> None:
    """With a value of none: they were well all the time."""
    finding = judged(during(REFRESH, REPLY))
    assert (finding.verdict, finding.value, finding.limit) == ("pass", 0.0, 10.0)
    assert finding.because == "all 2 were well all the time after heal"


def test_the_last_one_counts() -> None:
    """The value is when the last function was good for good, and each that took time is named with its own."""
    finding = judged(during(after_heal(REFRESH, 3.0), after_heal(REPLY, 7.0)))
    assert (finding.verdict, finding.value) == ("pass", pytest.approx(7.0))
    assert finding.because == "all 2 are well again; after heal it took reply 7 s, refresh 3 s"


def test_one_function_that_stays_bad_fails_by_name() -> None:
    """The system is up, most of it is well, and it has not recovered."""
    finding = judged(during(REFRESH, after_heal(REPLY, 99.0)))
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(ENDED - HEALED))
    assert finding.because.startswith("reply was not well 38 s after heal: 20 of 20 arrivals failed, as by status 503")


def test_slow_is_not_well() -> None:
    """A function that answers far more slowly than before the fault has not recovered, though nothing fails."""
    finding = judged(during(REFRESH, slowed(REPLY, 0.0, 70.0, 1.5)))
    assert finding.verdict == "fail"
    assert "reply was not well 28 s after heal: up to 1.5 s, more than 260 ms (limit 10 s)" in finding.because


def test_a_limit_of_its_own_replaces_the_baseline() -> None:
    """With `at_most` it does not matter what it was like before."""
    slow = during(slowed(REPLY, 0.0, 70.0, 1.5))
    assert judged(slow, at_most=2.0).verdict == "pass"
    assert judged(slow, at_most=1.0).verdict == "fail"


@given(st.integers(0, 30))
def test_the_limit_is_sharp(bad: int) -> None:
    """Good from the limit on at the latest passes, one window later fails."""
    finding = judged(during(after_heal(arrivals("reply", rate=2.0), float(bad))))
    assert (finding.verdict == "pass") == (bad <= 10)
    assert finding.value == pytest.approx(bad)


def test_good_for_good_is_asked_for() -> None:
    """A function that was good for a while and is bad once more after the limit fails."""
    finding = judged(during(failed(REPLY, SINCE_HEAL + 20, SINCE_HEAL + 21)))
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(21.0))


def test_a_few_failures_are_allowed() -> None:
    """As many in each window as `at_least` leaves."""
    one = [replace(r, ok=False) if n % 20 == 7 else r for n, r in enumerate(REPLY)]
    assert judged(during(one)).verdict == "pass"
    assert judged(during(one), at_least=0.96).verdict == "fail"


def test_only_the_named_functions_count() -> None:
    """Others may stay bad; one that nobody asked for is unknown."""
    of = during(REFRESH, after_heal(REPLY, 99.0))
    assert judged(of, requests=["refresh"]).verdict == "pass"
    assert judged(of, requests=["refresh", "reply"]).verdict == "fail"
    finding = judged(of, requests=["refresh", "log in"])
    assert (finding.verdict, finding.because) == ("unknown", "nobody asked for log in after heal")


def queue(*states: tuple[float, str | None]) -> list[Look]:
    """The depth of the queue from these moments after the fault's effect on."""
    return copy_of("queue", "backlog", ("0",), *[(at, None if text is None else (text,)) for at, text in states])


def drained(at: float) -> list[Look]:
    """A backlog that grows during the fault and is drained so long after heal."""
    return queue((1.0, "40"), (20.0, "400"), (SINCE_HEAL + at / 2, "50"), (SINCE_HEAL + at, "5"))


def test_the_backlog_must_be_drained() -> None:
    """Every function answers at once, and the system has recovered only when the queue has."""
    finding = judged(during(REFRESH, looks=drained(8.5)), gauges={"backlog": 5})
    assert (finding.verdict, finding.value) == ("pass", pytest.approx(8.5))
    assert finding.because == "all 2 are well again; after heal it took backlog 8.5 s"
    finding = judged(during(REFRESH, looks=drained(12.0)), gauges={"backlog": 5})
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(12.0))
    assert finding.because == "backlog was not well 12 s after heal: 50 (at most 5) (limit 10 s)"


def test_since_the_fault_heal_is_the_end() -> None:
    """What our undo disturbs does not count; what was under way when it began is no evidence either."""
    disturbed = failed(REPLY, HEAL_BEGAN - INJECTED, 60.0)
    cut_off = [
        replace(r, ok=False, ended=HEAL_BEGAN + 1) if 0 < HEAL_BEGAN - r.scheduled < 0.2 else r for r in disturbed
    ]
    assert judged(during(cut_off), since="fault").verdict == "pass"
    finding = judged(during(failed(cut_off, 0.0, 5.0)), since="fault")
    assert (finding.verdict, finding.value) == ("pass", pytest.approx(5.0))
    assert judged(during(failed(cut_off, 12.0, 13.0)), since="fault").verdict == "fail"


def test_what_hung_before_heal_is_evidence() -> None:
    """An arrival that had waited for longer than the limit when heal began was not served, whatever came of it later."""
    hung = [replace(r, ended=HEAL_BEGAN + 1) if r.scheduled > HEAL_BEGAN - 5 else r for r in arrivals("reply")]
    rows = [r for r in hung if r.scheduled < HEAL_BEGAN]
    assert judged(during(rows), since="fault").verdict == "fail"


def test_the_next_fault_ends_what_is_judged_after_heal() -> None:
    """A claim about the first fault is not about the second."""
    second = fault(id="again", sent=HEALED + 15, injected=HEALED + 15, heal_began=HEALED + 20, healed=HEALED + 21)
    of = during(failed(REPLY, SINCE_HEAL + 15.5, 99.0), faults=(fault(), second))
    assert judged(of, fault="upgrade").verdict == "pass"
    assert judged(of).verdict == "fail", "the last heal counts for all faults together"


def never_healed() -> FaultRecord:
    """A fault that nobody undid."""
    return fault(heal_began=0.0, healed=0.0)


RARE = [r for r in REPLY if r.scheduled < INJECTED or r.scheduled > HEALED + 12]
UNSEEN: dict[str, tuple[TrialHistory, dict[str, Any], str]] = {
    "nobody asked": (during(), {}, "nobody asked for anything after heal"),
    "nobody asked after heal": (
        during([r for r in REPLY if r.scheduled < HEALED]),
        {},
        "nobody asked for reply after heal",
    ),
    "back unseen": (
        during(failed([*RARE, *arrivals("reply", INJECTED, HEALED + 2)], 0.0, SINCE_HEAL + 2)),
        {},
        "nobody saw reply from 2 s after heal until after the limit",
    ),
    "too short": (
        during(after_heal(REPLY, 3.0), ended=HEALED + 4.5),
        {},
        "reply was seen well for 1.5 s only, of 2 s, when the trial ended",
    ),
    "no baseline": (
        during([r for r in REPLY if r.scheduled > INJECTED]),
        {},
        "nobody knows how fast reply is when all is well",
    ),
    "no gauge": (during(REPLY), {"gauges": {"backlog": 5}}, "nobody ever said what backlog is"),
    "gauge unread": (
        during(REPLY, looks=queue((SINCE_HEAL + 12, None))),
        {"gauges": {"backlog": 5}},
        "queue could not be read for 26 s after the limit",
    ),
    "gauge well unseen": (
        during(REPLY, looks=queue((1.0, "9"), (SINCE_HEAL + 9, None), (SINCE_HEAL + 10.1, "0"))),
        {"gauges": {"backlog": 5}},
        "nobody saw backlog from 9 s after heal until after the limit",
    ),
    "gauge late": (
        during(REPLY, looks=[Look(HEALED + 5, "queue", "backlog", ("0",))]),
        {"gauges": {"backlog": 5}},
        "nobody said what backlog was right after heal",
    ),
    "never healed": (during(REPLY, faults=(never_healed(),)), {}, "the kill was never healed"),
    "never healed, since the fault": (
        during(REPLY, faults=(never_healed(),)),
        {"since": "fault"},
        "the kill was never healed",
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_saw_is_unknown(name: str) -> None:
    """Nothing unseen passes, and nothing unseen fails."""
    of, settings, because = UNSEEN[name]
    finding = judged(of, **settings)
    assert (finding.verdict, finding.value) == ("unknown", None), finding.because
    assert because in finding.because


def test_what_was_seen_bad_fails_though_something_else_was_hidden() -> None:
    """A failure that was seen stands."""
    of = during(after_heal(REPLY, 20.0), looks=queue((SINCE_HEAL + 12, None)))
    assert judged(of, gauges={"backlog": 5}, requests=["reply", "log in"]).verdict == "fail"


def test_windows_without_arrivals_continue_the_state_before() -> None:
    """A rare function that was bad when it was last asked for is not well until somebody sees it."""
    rare = arrivals("history", rate=0.5)
    finding = judged(during(failed(rare, 0.0, SINCE_HEAL + 4)), within=10.0)
    assert finding.verdict == "pass"
    assert finding.value is not None
    assert finding.value == pytest.approx(4.0, abs=2.0)
