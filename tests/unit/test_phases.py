"""The life of a trial as a pure function."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shaketable.run.phases import Situation, Timing, next_step, recovered

TIMING = Timing(hold=0.3, steady_within=30.0, delay=0.2, lasts=4.0, tail=5.0, recover_within=6.0)

moments = st.one_of(st.none(), st.floats(0, 100))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Any situation whose times are in a possible order."""
    began, *later = sorted(draw(st.lists(st.floats(0, 100), min_size=5, max_size=5)))
    known = draw(st.integers(0, 3))
    armed, injected, healed = (t if i < known else None for i, t in enumerate(later[:3]))
    since = draw(st.one_of(st.none(), st.floats(0, later[3])))
    return Situation(later[3], began, since, armed, injected, healed, draw(st.booleans()))


@given(situations())
def test_a_held_fault_is_only_waited_for_or_healed(situation: Situation) -> None:
    """While a fault is held the only ways on are waiting and healing, and a stop always heals."""
    if situation.injected is not None and situation.healed is None:
        step = next_step(situation, TIMING)
        assert step in ("wait", "heal")
        if situation.stop:
            assert step == "heal"


@given(situations())
def test_no_fault_without_steady_state(situation: Situation) -> None:
    """A fault is injected only after steady state has held since before the countdown began."""
    if next_step(situation, TIMING) == "inject":
        assert situation.armed is not None
        assert situation.steady_since is not None
        assert situation.steady_since <= situation.armed
        assert not situation.stop


@given(situations())
def test_every_wait_ends(situation: Situation) -> None:
    """With nothing but time passing, every situation reaches heal or finish: no trial can hang."""
    later = replace(situation, now=situation.now + 1000)
    assert next_step(later, TIMING) != "wait" or later.armed is not None


@given(situations())
def test_at_most_one_injection(situation: Situation) -> None:
    """Once injected, a fault is never injected, armed or disarmed again."""
    if situation.injected is not None:
        assert next_step(situation, TIMING) in ("wait", "heal", "finish")


def test_the_whole_life_in_order() -> None:
    """Steady, arm, inject after the drawn delay, heal after the fault's time, finish when recovered and every deadline passed."""
    s = Situation(now=10.0, began=10.0)
    assert next_step(s, TIMING) == "wait"
    s = replace(s, now=10.4, steady_since=10.05)
    assert next_step(s, TIMING) == "arm"
    s = replace(s, armed=10.4)
    assert next_step(s, TIMING) == "wait"
    s = replace(s, now=10.61)
    assert next_step(s, TIMING) == "inject"
    s = replace(s, injected=10.61, steady_since=None, now=14.5)
    assert next_step(s, TIMING) == "wait"
    s = replace(s, now=14.62)
    assert next_step(s, TIMING) == "heal"
    s = replace(s, healed=14.9, now=15.5, steady_since=15.3)
    assert next_step(s, TIMING) == "wait", "not held long enough"
    s = replace(s, now=15.65)
    assert next_step(s, TIMING) == "finish"


def test_recovery_counts_from_heal() -> None:
    """A system that never left steady state has recovered at the moment of heal, not before it."""
    s = Situation(now=20.0, began=1.0, steady_since=2.0, armed=3.0, injected=4.0, healed=19.0)
    assert recovered(s, TIMING) == 19.0


def test_steady_state_lost_during_the_countdown_disarms() -> None:
    """If what was steady breaks before the fault, the countdown starts over: a fault then would prove nothing."""
    s = Situation(now=10.5, began=9.0, steady_since=None, armed=10.0)
    assert next_step(s, TIMING) == "disarm"
    assert next_step(replace(s, steady_since=10.2), TIMING) == "disarm"
