"""The life of a trial as a pure function."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shaketable.run.phases import Event, Situation, Timing, next_step, recovered

ONE = Event("crash", 0.2, 4.0)
TIMING = Timing(hold=0.3, steady_within=30.0, events=(ONE,), tails={"crash": 5.0}, recover_within=6.0)
THREE = replace(TIMING, events=(ONE, Event("cut", 0.5, 1.0), Event("after", 0.1, 2.0, marked=True)))


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Any situation of three faults whose times are in a possible order."""
    began, armed, now = sorted(draw(st.lists(st.floats(0, 100), min_size=3, max_size=3)))
    is_armed = draw(st.booleans())
    injected, healed, markers = {}, {}, {}
    for event in THREE.events if is_armed else ():
        life = sorted(draw(st.lists(st.floats(armed, now), max_size=2)))
        if life:
            injected[event.id] = life[0]
        if life[1:]:
            healed[event.id] = life[1]
        if event.marked and (life or draw(st.booleans())):
            markers[event.id] = armed
    since = draw(st.one_of(st.none(), st.floats(0, now)))
    return Situation(now, began, since, armed if is_armed else None, injected, healed, markers, draw(st.booleans()))


def held(situation: Situation) -> set[str]:
    """Faults in effect."""
    return set(situation.injected) - set(situation.healed)


@given(situations())
def test_a_trial_never_ends_while_a_fault_is_held(situation: Situation) -> None:
    """While a fault is held the trial goes on, and a stop heals all of them before anything else."""
    step = next_step(situation, THREE)
    if held(situation):
        assert step.do in ("wait", "heal", "inject")
        if situation.stop:
            assert (step.do, set(step.faults)) == ("heal", held(situation))


@given(situations())
def test_only_what_is_held_is_healed_and_only_once(situation: Situation) -> None:
    """Heal names faults in effect, inject names faults that never were: no fault begins twice."""
    step = next_step(situation, THREE)
    if step.do == "heal":
        assert set(step.faults) <= held(situation)
    if step.do == "inject":
        assert not set(step.faults) & set(situation.injected)


@given(situations())
def test_no_first_fault_without_steady_state(situation: Situation) -> None:
    """The first fault is injected only after steady state has held since before the countdown began."""
    if next_step(situation, THREE).do == "inject" and not situation.injected:
        assert situation.armed is not None
        assert situation.steady_since is not None
        assert situation.steady_since <= situation.armed
        assert not situation.stop


@given(situations())
def test_what_waits_for_a_marker_begins_after_it(situation: Situation) -> None:
    """A fault with a marker is never injected before that was seen."""
    step = next_step(situation, THREE)
    if step.do == "inject" and "after" in step.faults:
        assert situation.now >= situation.markers["after"] + 0.1


@given(situations())
def test_every_wait_ends(situation: Situation) -> None:
    """With nothing but time passing, every situation leads to an action or the end: no trial can hang."""
    later = replace(situation, now=situation.now + 1000)
    assert next_step(later, THREE).do != "wait"


def do(situation: Situation, timing: Timing = TIMING) -> str:
    """The next action, and the faults it is about."""
    step = next_step(situation, timing)
    return " ".join([step.do, *step.faults])


def test_the_whole_life_in_order() -> None:
    """Steady, arm, inject after the drawn delay, heal after the fault's time, finish when recovered and every deadline passed."""
    s = Situation(now=10.0, began=10.0)
    assert do(s) == "wait"
    s = replace(s, now=10.4, steady_since=10.05)
    assert do(s) == "arm"
    s = replace(s, armed=10.4)
    assert do(s) == "wait"
    s = replace(s, now=10.61)
    assert do(s) == "inject crash"
    s = replace(s, injected={"crash": 10.61}, steady_since=None, now=14.5)
    assert do(s) == "wait"
    s = replace(s, now=14.62)
    assert do(s) == "heal crash"
    s = replace(s, healed={"crash": 14.9}, now=15.5, steady_since=15.3)
    assert do(s) == "wait", "not held long enough"
    s = replace(s, now=15.65)
    assert do(s) == "finish"


def test_overlapping_faults_and_one_that_waits_for_another() -> None:
    """Each has its own time; what waits for a marker holds the trial open until the marker's time is over."""
    s = Situation(now=10.95, began=9.0, steady_since=9.0, armed=10.4, injected={"crash": 10.6})
    assert do(s, THREE) == "inject cut"
    s = replace(s, injected={"crash": 10.6, "cut": 10.95}, now=11.96)
    assert do(s, THREE) == "heal cut"
    s = replace(s, healed={"cut": 12.0}, markers={"after": 12.0}, now=12.05)
    assert do(s, THREE) == "wait"
    assert do(replace(s, now=12.11), THREE) == "inject after"
    s = replace(s, healed={"cut": 12.0, "crash": 14.7}, markers={}, now=20.0)
    assert do(s, THREE) == "wait", "its marker may still come"
    assert do(replace(s, now=45.0), THREE) == "finish"


def test_recovery_counts_from_heal() -> None:
    """A system that never left steady state has recovered at the moment of the last heal, not before it."""
    s = Situation(20.0, 1.0, steady_since=2.0, armed=3.0, injected={"crash": 4.0}, healed={"crash": 19.0})
    assert recovered(s, TIMING) == 19.0
    assert recovered(s, THREE) is None, "two are still to come"


def test_steady_state_lost_during_the_countdown_disarms() -> None:
    """If what was steady breaks before the fault, the countdown starts over: a fault then would prove nothing."""
    s = Situation(now=10.5, began=9.0, steady_since=None, armed=10.0)
    assert do(s) == "disarm"
    assert do(replace(s, steady_since=10.2)) == "disarm"


def test_every_deadline_holds_the_trial_open() -> None:
    """Each counts from its own fault, and what is claimed of the time after heal is watched though all is well."""
    later = replace(TIMING, events=(ONE, Event("cut", 8.0, 1.0)), tails={"crash": 5.0, "cut": 4.0, "never": 99.0})
    injected, healed = {"crash": 10.0, "cut": 18.0}, {"crash": 14.0, "cut": 19.0}
    s = Situation(21.9, 9.0, steady_since=9.5, armed=9.8, injected=injected, healed=healed)
    assert do(s, later) == "wait", "the limit of what is claimed of the cut has not passed"
    assert do(replace(s, now=22.0), later) == "finish"
    watched = replace(later, watch_after_heal=30.0)
    assert do(replace(s, now=48.9), watched) == "wait"
    assert do(replace(s, now=49.0), watched) == "finish"
    broken = replace(s, steady_since=None)
    assert do(replace(broken, now=49.5), watched) == "wait", "it may still become steady"
    assert do(replace(broken, now=49.7), watched) == "finish"


def test_a_stop_waits_for_no_deadline() -> None:
    """Once everything is healed an interrupted trial ends at once."""
    watched = replace(TIMING, watch_after_heal=30.0)
    s = Situation(15.0, 9.0, armed=9.8, injected={"crash": 10.0}, healed={"crash": 14.5}, stop=True)
    assert do(s, watched) == "finish"


def test_a_control_window_lies_within_the_trial() -> None:
    """A lane that is warm and long steady begins at once, unless a claim needs the hold time of this trial as control."""
    warm = Situation(now=10.0, began=9.9, steady_since=2.0)
    assert next_step(warm, TIMING).do == "arm"
    assert next_step(warm, replace(TIMING, control=True)).do == "wait"
    assert next_step(replace(warm, now=10.25), replace(TIMING, control=True)).do == "arm"
