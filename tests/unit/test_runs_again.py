"""What ran before runs after: the check, on synthetic histories."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import GAP, HEAL_BEGAN, INJECTED, RUNNING, copy_of, fault, found, trial, without

from shaketable.model.claims import RunsAgain
from shaketable.model.history import TrialHistory
from shaketable.model.result import Finding

State = tuple[float, Sequence[str] | None]
LATE = HEAL_BEGAN - INJECTED - 1.0


def ran(*states: State, first: Sequence[str] = RUNNING, **changes: object) -> TrialHistory:
    """A trial in which all of these ran at first, then what the witness saw from these moments on."""
    return trial(looks=copy_of("kernel", "running", first, *states), **changes)


def judged(of: TrialHistory) -> Finding:
    """The finding, with a limit of 30 s."""
    return found(RunsAgain(kind="runs-again", id="back", list="running", within=30.0), of)


def test_all_back_in_time_passes() -> None:
    """The value is when the last one was back, and it is named."""
    finding = judged(ran((0.0, without("host-3")), (4.0, without("host-3/web")), (6.5, RUNNING)))
    assert (finding.verdict, finding.value, finding.limit) == ("pass", 6.5, 30.0)
    assert finding.because == "all 12 run again, the last, host-3/web, 6.5 s after the kill"
    assert {e.text for e in finding.evidence} == {
        f"host-3/{s} did not run" for s in ("fetcher", "pictures", "sender", "web")
    }


def test_what_never_stopped_passes() -> None:
    """Containers that survive, as with live-restore, have run all the time."""
    finding = judged(ran())
    assert (finding.verdict, finding.value) == ("pass", 0.0)


def test_what_stays_down_fails_by_name() -> None:
    """The incident: one container is not started again, until somebody heals it."""
    finding = judged(ran((0.0, without("host-3")), (5.0, without("host-3/sender", "host-3/web"))))
    assert (finding.verdict, finding.value) == ("fail", 40.0)
    assert finding.because == (
        "host-3/sender still did not run 40 s after the kill, when it was healed (limit 30 s), and 1 more of 12"
    )


@given(st.floats(0.1, 39.9))
def test_the_limit_is_sharp(back: float) -> None:
    """A container that is back at a moment passes exactly if the moment is within the limit."""
    finding = judged(ran((0.0, without("host-3")), (back, RUNNING)))
    assert (finding.verdict == "pass") == (back <= 30.0)
    assert finding.value == pytest.approx(back, abs=1e-6)


def test_what_stops_again_after_the_limit_fails() -> None:
    """Being there once is not enough."""
    finding = judged(ran((1.0, without("host-3")), (3.0, RUNNING), (33.0, without("host-3/web")), (33.5, RUNNING)))
    assert finding.verdict == "fail"
    assert "host-3/web ran again only 33.5 s after the kill" in finding.because


def test_a_bystander_that_stays_down_fails_too() -> None:
    """Whatever ran is to run: the fault's target or not."""
    assert judged(ran((2.0, without("host-1/web")))).verdict == "fail"


def test_what_did_not_run_before_is_not_asked_for() -> None:
    """And what is new may come and go."""
    assert judged(ran((1.0, [*RUNNING, "host-3/new"]), (31.0, RUNNING))).verdict == "pass"


def test_what_goes_down_before_the_last_member_is_hit_counts() -> None:
    """An upgrade stops containers before it has taken effect."""
    finding = judged(ran((-0.4, without("host-3/web")), (0.5, RUNNING)))
    assert (finding.verdict, finding.value) == ("pass", 0.5)


UNSEEN = {
    "nobody looked": (trial(), "nobody ever said what is on the list running"),
    "nothing ran": (ran(first=()), "nothing was on the list running of kernel when the fault was sent"),
    "unread when it was sent": (ran((-3.0, None), (0.5, RUNNING)), "kernel could not be read when the fault was sent"),
    "unread after the limit": (ran((31.0, None), (31.0 + 2 * GAP, RUNNING)), "kernel could not be read for 500 ms"),
    "unread until heal": (ran((5.0, None)), "kernel could not be read for 10 s between the limit and heal"),
    "back unseen": (
        ran((0.0, without("host-3/web")), (29.9, None), (30.1, RUNNING)),
        "kernel could not be read when host-3/web came back, 29.9 s after the fault or later",
    ),
    "healed too early": (
        ran((0.0, without("host-3/web")), faults=(fault(heal_began=INJECTED + 20),)),
        "the kill was healed 20 s after it began, so the limit was not reached",
    ),
    "never healed": (ran(faults=(fault(heal_began=0.0, healed=0.0),)), "was never healed"),
    "never injected": (ran(faults=()), "no fault was injected"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_saw_is_unknown(name: str) -> None:
    """Nothing unseen passes, and nothing unseen fails."""
    of, because = UNSEEN[name]
    finding = judged(of)
    assert (finding.verdict, finding.value) == ("unknown", None)
    assert because in finding.because


def test_a_short_blindness_hides_nothing() -> None:
    """As long as a gap between two looks may be, what ran before and after ran."""
    assert judged(ran((31.0, None), (31.0 + 0.9 * GAP, RUNNING))).verdict == "pass"
    assert judged(ran((0.0, without("host-3")), (2.0, None), (9.0, RUNNING))).value == 9.0


def test_what_was_seen_down_fails_though_another_time_was_hidden() -> None:
    """A failure that was seen stands."""
    assert judged(ran((0.0, without("host-3/web")), (31.0, None))).verdict == "fail"
    assert judged(ran((LATE, without("host-3/web")), faults=(fault(heal_began=0.0, healed=0.0),))).verdict == "fail"
