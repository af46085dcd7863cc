"""The life of a roll-out as a pure function: stage after stage while all is well, everything undone when a gate trips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_histories import scenario

from shaketable.faults import CATALOGUE
from shaketable.ports import Places
from shaketable.run.phases import Course, Event, Situation, Timing, next_step, recovered, unreached
from shaketable.run.schedule import all_faults, begins_and_ends, gate_in_words, plan_trial, timing

STAGES = ("canary", "pod-17", "pod-18")
COURSE = Course(STAGES, soak=2.0, lasts=8.0)
TIMING = Timing(
    hold=0.3,
    steady_within=30.0,
    events=(*(Event(name, 0.0, 8.0) for name in STAGES), Event("last", 0.1, 1.0, marked=True, waits_for="pod-18")),
    tails={"canary": 0.0},
    recover_within=6.0,
    course=COURSE,
)
START = Situation(now=10.0, began=9.0, steady_since=9.0, armed=10.0, heard=10.0)


def do(s: Situation, timing: Timing = TIMING) -> str:
    """The next action, and the faults it is about."""
    step = next_step(s, timing)
    return " ".join([step.do, *step.faults])


@pytest.mark.parametrize(
    ("now", "heard", "injected", "tripped", "expected"),
    [
        (10.0, 10.0, {}, False, "inject canary"),
        (11.9, 11.9, {"canary": 10.0}, False, "wait"),
        (12.0, 11.8, {"canary": 10.0}, False, "wait"),  # the last of its arrivals have not been heard of
        (12.2, 12.0, {"canary": 10.0}, False, "inject pod-17"),
        (14.1, 11.8, {"canary": 10.0}, False, "inject pod-17"),  # such silence makes the trial invalid anyway
        (12.2, 12.0, {"canary": 10.0}, True, "heal canary"),
        (14.4, 14.3, {"canary": 10.0, "pod-17": 12.2}, False, "inject pod-18"),
        (14.4, 14.3, {"canary": 10.0, "pod-17": 12.2}, True, "heal pod-17 canary"),
        (24.3, 24.3, {"canary": 10.0, "pod-17": 12.2, "pod-18": 14.4}, False, "wait"),
        (24.4, 24.3, {"canary": 10.0, "pod-17": 12.2, "pod-18": 14.4}, False, "heal pod-18 pod-17 canary"),
    ],
)
def test_what_is_done_when(
    now: float, heard: float, injected: Mapping[str, float], tripped: bool, expected: str
) -> None:
    """A stage needs the soak of the one before, and no gate that tripped; all are undone together, the last first."""
    s = replace(START, now=now, heard=heard, injected=injected, tripped=tripped)
    assert do(s, replace(TIMING, events=TIMING.events[:3])) == expected


def test_whatever_was_never_reached_is_not_waited_for() -> None:
    """After a trip the later stages, and what waits for one of them, hold up neither recovery nor the trial's end."""
    healed = {"canary": 13.1}
    s = replace(START, now=13.3, injected={"canary": 10.0}, healed=healed, tripped=True, steady_since=9.0)
    assert unreached(s, TIMING) == {"pod-17", "pod-18", "last"}
    assert do(s) == "wait"
    assert recovered(replace(s, now=13.5), TIMING) == 13.1
    assert do(replace(s, now=13.5)) == "finish"
    assert unreached(replace(s, tripped=False), TIMING) == frozenset(), "it may still come"


def test_a_stop_undoes_the_stages_the_last_first() -> None:
    """Interrupted in the middle, nothing follows and all that is there is undone."""
    s = replace(START, now=13.0, injected={"canary": 10.0, "pod-17": 12.2}, stop=True)
    assert do(s) == "heal pod-17 canary"


def test_the_first_stage_may_wait_for_a_marker() -> None:
    """As any fault may; the others wait for the stage before them."""
    events = (replace(TIMING.events[0], marked=True), *TIMING.events[1:3])
    waiting = replace(TIMING, events=(*events, Event("other", 0.0, 99.0)))
    s = replace(START, injected={"other": 10.0}, now=11.0)
    assert do(s, waiting) == "wait"
    assert do(replace(s, markers={"canary": 10.9}), waiting) == "inject canary"


@dataclass
class World:
    """What a trial would see if it did what it is told. Each action takes some time."""

    s: Situation
    trip_at: float | None
    order: list[str] = field(default_factory=list)

    def step(self, seconds: float, lag: float) -> bool:
        """Do the next thing, `seconds` later; whether the trial goes on."""
        now = self.s.now + seconds
        heard = max(self.s.heard, now - lag)  # whatever had been heard of was judged
        tripped = self.trip_at is not None and heard >= self.trip_at and bool(self.s.injected)
        self.s = replace(self.s, now=now, heard=heard, tripped=self.s.tripped or tripped)
        step = next_step(self.s, TIMING)
        if step.do == "inject":
            for name in step.faults:
                self.order.append(name)
                self.s = replace(self.s, injected={**self.s.injected, name: now})
        if step.do == "heal":
            for name in step.faults:
                self.order.append(f"-{name}")
                self.s = replace(self.s, healed={**self.s.healed, name: now})
        return step.do != "finish"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.05, 1.0), st.floats(0.0, 0.6)), min_size=1, max_size=40),
    st.one_of(st.none(), st.floats(10.0, 40.0)),
)
def test_a_rollout_in_any_timing(steps: list[tuple[float, float]], trip_at: float | None) -> None:
    """No stage begins before the one before has soaked; after a trip all that is there is undone and nothing follows."""
    world = World(START, trip_at)
    turn = 0
    while turn < 5000:
        before = world.s
        seconds, lag = steps[turn % len(steps)]
        going = world.step(seconds, lag)
        for name in set(world.s.injected) - set(before.injected):
            assert not world.s.tripped
            if (previous := COURSE.before(name)) is not None:
                soaked = world.s.injected[previous] + COURSE.soak
                assert world.s.now >= soaked
                assert world.s.heard >= soaked or world.s.now >= soaked + 2.0
                assert trip_at is None or trip_at > soaked or world.s.now >= soaked + 2.0 - 1e-9, "it was known"
        if before.tripped:
            assert set(world.s.healed) >= set(before.injected) & set(STAGES), "at once"
        if not going:
            break
        turn += 1
    assert turn < 5000, "every trial ends"
    assert set(world.s.healed) == set(world.s.injected)
    healed = [name for name in world.order if name.removeprefix("-") in STAGES and name.startswith("-")]
    injected = [name for name in world.order if name in STAGES]
    assert injected == list(STAGES[: len(injected)])
    assert healed == [f"-{name}" for name in reversed(injected)], "the last first"


def test_stages_are_unrolled_into_faults() -> None:
    """Each has its name, its id in its parameters, and only the first a moment of its own; the variant has its soak."""
    good = scenario()
    faults = all_faults(good)
    assert [f.id for f in faults] == ["storage-canary", "storage-pod-17", "storage-pod-18"]
    assert [f.after for f in faults] == [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0)]
    assert faults[1].parameters == {
        "command": ["migrate", "start", "pod-17"],
        "undo": ["migrate", "back", "pod-17"],
        "check": ["migrate", "state"],
        "shows": "pod-17 new",
    }
    found = timing(good, [], "fixed")
    assert found.course == Course(tuple(f.id for f in faults), 12.0, 8.0)
    assert list(found.tails) == [f.id for f in faults]
    assert timing(good, [], "incident").course == replace(found.course, soak=2.0)


def test_the_plan_says_when_each_stage_begins_and_what_stops_them() -> None:
    """A person reads the soak of this variant, and what the gate looks at."""
    good = scenario()
    places = Places({"migration": ["migration"]})
    planned = plan_trial(good, "1/0", {}, places, CATALOGUE)
    assert [begins_and_ends(one, good, "fixed") for one in planned] == [
        "as storage-canary 1 s after steady, until all are undone",
        "as storage-pod-17 12 s after storage-canary took effect, if no gate has tripped, until all are undone",
        (
            "as storage-pod-18 12 s after storage-pod-17 took effect, if no gate has tripped,"
            " for its soak of 12 s and 8 s more"
        ),
    ]
    assert good.rollout is not None
    assert gate_in_words(good.rollout) == (
        "gate: more than 10 % of the arrivals of accept-chat whose pod is the stage within 2 s, 10 at least, fail or"
        " take longer than 500 ms; then no stage follows and all are undone, the last first"
    )
