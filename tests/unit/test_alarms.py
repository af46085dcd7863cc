"""Alarms: within a limit when something is wrong, and none when nothing is; on synthetic histories."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import GAP, INJECTED, STEADY, arrivals, copy_of, found, trial

from shaketable.model.claims import Alerted, Quiet
from shaketable.model.history import Look, TrialHistory
from shaketable.model.result import Finding

State = tuple[float, Sequence[str] | None]
DOWN, SLOW = "HostDown host-3", "PagesSlow"


def told(*states: State, first: Sequence[str] = (), **changes: object) -> TrialHistory:
    """A trial in which these alerts were firing at first, and from these moments after the fault's effect on."""
    return trial(looks=copy_of("receiver", "alerts", first, *states), **changes)


def alerted(of: TrialHistory, contains: str = "HostDown {target}") -> Finding:
    """The finding, with a limit of 30 s."""
    return found(Alerted(kind="alerted", id="told", list="alerts", contains=contains, within=30.0), of)


def quiet(of: TrialHistory, contains: str = "") -> Finding:
    """The finding about the time before the fault."""
    return found(Quiet(kind="quiet", id="calm", list="alerts", contains=contains), of)


def test_an_alarm_in_time_passes() -> None:
    """With what was told, to whom and when."""
    finding = alerted(told((4.5, [SLOW]), (6.0, [SLOW, DOWN]), (50.0, [])))
    assert (finding.verdict, finding.value, finding.limit) == ("pass", 6.0, 30.0)
    assert finding.because == 'receiver was told "HostDown host-3" 6 s after the kill'


@given(st.floats(0.001, 60.0))
def test_the_limit_is_sharp(after: float) -> None:
    """An alarm at a moment passes exactly if the moment is within the limit."""
    finding = alerted(told((after, [DOWN])))
    assert (finding.verdict == "pass") == (INJECTED + after - INJECTED <= 30.0)
    assert finding.value == pytest.approx(after, abs=1e-6)


def test_no_alarm_fails() -> None:
    """The incident: nobody is told; an alarm about something else does not count."""
    finding = alerted(told((4.0, ["HostDown host-1"])))
    assert (finding.verdict, finding.value) == ("fail", None)
    assert finding.because == 'nobody was told "HostDown host-3" within 30 s after the kill'


def test_an_alarm_while_all_was_well_fails() -> None:
    """What was told before the fault cannot be about it."""
    for states in ([(-1.0, [DOWN])], [(-1.5, [DOWN]), (-1.0, []), (5.0, [DOWN])]):
        finding = alerted(told(*states))
        assert finding.verdict == "fail"
        assert "before the kill, when nothing was wrong" in finding.because


def test_an_alarm_that_comes_before_the_last_member_is_hit_is_in_time() -> None:
    """A fault that takes a while may be told while it is still under way."""
    finding = alerted(told((-0.2, [DOWN])))
    assert (finding.verdict, finding.value) == ("pass", 0.0)


def test_what_was_wrong_before_steady_state_does_not_count() -> None:
    """An alarm of the trial before, or of a system that was starting, was no false one."""
    of = told((STEADY - INJECTED - 1.0, []), (5.0, [DOWN]), first=[DOWN])
    assert alerted(of).verdict == "pass"
    assert quiet(of).verdict == "pass"
    stuck = told((5.0, [DOWN, SLOW]), first=[DOWN])
    assert alerted(stuck).verdict == "fail"
    assert quiet(stuck).verdict == "fail"


def test_quiet_passes_when_nothing_is_told() -> None:
    """Whatever comes once the fault was sent."""
    finding = quiet(told((-0.4, [DOWN])))
    assert (finding.verdict, finding.value, finding.unit) == ("pass", 0.0, "alarms")
    assert finding.because == "no alarm in the 1.8 s before the kill"


def test_a_false_alarm_fails_however_short() -> None:
    """By what was told; only alarms with the text count."""
    of = told((-1.0, [SLOW]), (-0.9, []))
    finding = quiet(of)
    assert (finding.verdict, finding.value) == ("fail", 1.0)
    assert finding.because == 'receiver was told "PagesSlow" though nothing was wrong'
    assert quiet(of, contains="HostDown").verdict == "pass"


NOBODY = "nobody ever said what is on the list alerts"
UNSEEN: dict[str, tuple[TrialHistory, str, str]] = {
    "nobody looked": (trial(requests=arrivals("reply")), NOBODY, NOBODY),
    "unread before": (
        told((-1.2, None), (-0.6, []), (5.0, [DOWN])),
        "receiver could not be read for 600 ms, before the kill",
        "receiver could not be read for 600 ms, before the kill",
    ),
    "unread from the first": (
        trial(looks=[Look(INJECTED - 1, "receiver", "alerts", ())]),
        "nobody said what was on the list alerts of receiver at first",
        "nobody said what was on the list alerts of receiver at first",
    ),
    "unread after": (told((5.0, None), (31.0, [])), "receiver could not be read for 25 s, after the kill", ""),
    "seen too late": (told((29.0, None), (31.0, [DOWN])), "receiver could not be read for 1 s, after the kill", ""),
    "the trial ended": (told(ended=INJECTED + 20), "the trial ended 20 s after the kill, before the limit", ""),
    "no fault": (told(faults=()), "no fault was injected", "no fault was injected"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_nobody_saw_is_unknown(name: str) -> None:
    """Nothing unseen passes, and nothing unseen fails."""
    of, because, before = UNSEEN[name]
    finding = alerted(of)
    assert (finding.verdict, finding.value) == ("unknown", None), finding.because
    assert because in finding.because
    calm = quiet(of)
    assert calm.verdict == ("unknown" if before else "pass")
    assert before in calm.because


def test_a_short_blindness_hides_nothing() -> None:
    """As long as a gap between two looks may be."""
    assert alerted(told((-1.0, None), (-1.0 + 0.9 * GAP, []), (5.0, [DOWN]))).verdict == "pass"
    assert quiet(told((-1.0, None), (-1.0 + 0.9 * GAP, []))).verdict == "pass"


def test_what_was_told_counts_though_another_time_was_hidden() -> None:
    """An alarm that was seen was there: in time, or false."""
    assert alerted(told((1.0, None), (9.0, [DOWN]))).verdict == "pass"
    assert quiet(told((-1.4, [SLOW]), (-1.2, None))).verdict == "fail"
