"""What nobody could see is neither a pass nor a failure, and what was seen is one whatever was hidden elsewhere."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import pytest
from histories import BEGAN, ENDED, INJECTED, beats, entries, fault, history, looks, scenario

from shaketable.checks.judge import judge
from shaketable.checks.statistics import at_most, interval
from shaketable.model.history import Look, LookBeat, TrialHistory
from shaketable.model.result import Finding

GONE = entries("host-1", "host-3")["servers"]
GAP = scenario().observers.max_gap
ALL = entries("host-1", "host-2", "host-3")["servers"]


def finding(of: TrialHistory, id_: str) -> Finding:
    """What one expectation came to."""
    return next(f for f in judge(of, scenario()).expectations if f.id == id_)


def copy_of(holder: str, name: str, *states: tuple[float, tuple[str, ...] | None]) -> list[Look]:
    """The looks of a flawless trial, but for one list of one holder: what it was from these moments on."""
    others = [look for look in looks() if (look.holder, look.list) != (holder, name)]
    own = [Look(INJECTED + at, holder, name, found) for at, found in states]
    return sorted([*others, *own], key=lambda look: look.at)


def servers(*states: tuple[float, tuple[str, ...] | None]) -> TrialHistory:
    """A trial in which HAProxy's servers are full before the fault, then these."""
    return history(looks=copy_of("haproxy", "servers", (-6, ALL), *states))


def test_heal_before_the_limit_is_no_pass() -> None:
    """An entry that was listed until heal had not left, and what it would have done by the limit nobody knows."""
    early = fault(heal_began=INJECTED + 2.0, healed=INJECTED + 2.5)
    found = finding(history(faults=(early,), looks=looks(left_after=4.2)), "servers-leave")
    assert (found.verdict, found.value) == ("unknown", None)
    assert found.because == "host-2 was healed 2 s after the fault, so the limit was not reached"


def test_what_one_holder_listed_too_long_fails_though_another_was_hidden() -> None:
    """A failure that was seen stands."""
    hidden = [
        replace(look, entries=None) if look.holder == "registry" and look.at > INJECTED else look for look in looks()
    ]
    rows = [look for look in hidden if look.holder != "haproxy" or look.at < INJECTED]
    assert finding(history(looks=rows), "servers-leave").verdict == "fail"


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ([(1.0, GONE), (3.1, None), (3.1 + 0.9 * GAP, GONE)], "pass"),
        ([(1.0, GONE), (3.1, None), (3.1 + 1.1 * GAP, GONE)], "unknown"),
        ([(1.0, GONE), (2.9, None), (3.1, GONE)], "unknown"),
        ([(2.5, None), (3.2, GONE)], "unknown"),
        ([(2.5, None), (3.2, ALL), (3.3, GONE)], "fail"),
        ([(1.0, None), (1.8, GONE)], "pass"),
    ],
    ids=["briefly", "after-the-limit", "at-the-limit", "when-it-left", "seen-afterwards", "well-before"],
)
def test_a_holder_that_cannot_be_read(states: list[tuple[float, tuple[str, ...] | None]], verdict: str) -> None:
    """It neither lists nor drops; where that matters, and for longer than a gap may be, nothing is claimed."""
    assert finding(servers(*states), "servers-leave").verdict == verdict


def test_a_failure_counts_until_the_entry_was_last_seen() -> None:
    """Time for which the holder was unreadable is not added to it."""
    found = finding(servers((3.5, None)), "servers-leave")
    assert found.verdict == "fail"
    assert found.value == pytest.approx(3.5)


def test_a_goodbye_before_the_last_instance_was_hit_is_leaving() -> None:
    """A host that is stopped leaves the lists while its instances are still ending."""
    slow = fault(kind="stop", sent=INJECTED - 0.5)
    found = finding(history(faults=(slow,), looks=looks(left_after=-0.3)), "servers-leave")
    assert (found.verdict, found.value) == ("pass", 0.0)


def test_a_bystander_counts_though_its_holder_was_unread_at_that_instant() -> None:
    """What was listed when it was last read is what can be lost."""
    found = finding(servers((-0.05, None), (0.05, ("host-2", "host-3")), (1.2, GONE)), "healthy-servers-stay")
    assert found.verdict == "fail"


def test_an_old_notice_is_not_new_though_the_inbox_was_unread_at_that_instant() -> None:
    """A notice from before the fault does not tell of it."""
    old = ("1 host-2 is gone",)
    rows = copy_of("inbox", "notices", (-6, old), (-0.1, None), (0.1, old))
    assert finding(history(looks=rows), "team-notified").verdict == "fail"


@pytest.mark.parametrize("later", [[], [(5.1, ("1 host-2 is gone",))]], ids=["never", "too-late"])
def test_a_notice_that_nobody_could_see_is_unknown(later: list[tuple[float, tuple[str, ...] | None]]) -> None:
    """An inbox that could not be read may have had it in time."""
    rows = copy_of("inbox", "notices", (-6, ()), (1.0, None), *later)
    assert finding(history(looks=rows), "team-notified").verdict == "unknown"


def without_beats(holder: str, first: float, last: float) -> list[LookBeat]:
    """All beats but those of one holder between two moments after the beginning."""
    return [b for b in beats() if b.holder != holder or not first < b.at - BEGAN < last]


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        (without_beats("haproxy", ENDED - BEGAN - GAP - 0.5, 99), "invalid"),
        (without_beats("haproxy", 2.0, 4.0), "invalid"),
        (without_beats("haproxy", ENDED - BEGAN - 0.15, 99), "pass"),
        (beats(), "pass"),
    ],
    ids=["stopped-early", "paused", "last-beat-under-way", "all-there"],
)
def test_beats_that_are_missing_vouch_for_nothing(rows: list[LookBeat], outcome: str) -> None:
    """An observer that says nothing for longer than a gap may be was not looking, as far as anybody knows."""
    assert judge(history(look_beats=rows), scenario()).outcome == outcome


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sent": BEGAN + 0.1}, "crash was sent 300 ms before it was steady"),
        ({"healed": INJECTED + 3.8}, "heal of crash was finished 200 ms before heal of crash began"),
        ({"healed": ENDED + 1.0}, "the trial ended 1 s before heal of crash was finished"),
    ],
)
def test_clocks_that_disagree_prove_nothing(changes: dict[str, float], sentence: str) -> None:
    """Every limit counts between moments of two clocks; what happened before its cause shows that they differ."""
    trial = judge(history(faults=(fault(**changes),)), scenario())
    assert trial.outcome == "invalid"
    assert f"the clocks disagree: {sentence}" in trial.invalid_because


def test_intervals_of_very_large_campaigns_take_no_noticeable_time() -> None:
    """A hundred thousand trials, and each end is where its tail has a chance of 2.5 %."""
    began = perf_counter()
    for failed in (1, 17, 5_000, 50_000, 99_999):
        low, high = interval(failed, 100_000)
        assert at_most(failed, 100_000, high) == pytest.approx(0.025, rel=1e-6)
        assert 1 - at_most(failed - 1, 100_000, low) == pytest.approx(0.025, rel=1e-6)
    assert perf_counter() - began < 2.0
