"""Runaways that are over in time, and who ended them, on histories built by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import ENDED, HEAL_BEGAN, HEALED, INJECTED
from kernel_histories import TENANT, end, gauge, judged, looks, release

from shaketable.model.claims import RunawayEnds
from shaketable.model.history import Look
from shaketable.model.result import Finding

HEAL, AFTER, LAST = HEAL_BEGAN - INJECTED, HEALED - INJECTED, ENDED - INJECTED
"""Seconds after the fault's effect: heal begins, is finished, and the trial ends."""
MEMORY = gauge("memory")


def over(*parts: list[Look], **described: Any) -> Finding:
    """CPU at most 0.9 and memory at most 0.5, within 5 s, unless told; memory is small unless told."""
    plain = {"gauges": {"cpu": 0.9, "memory": 0.5}, "ends": "ended-a", "within": 5.0, **described}
    told = {look.list for part in parts for look in part}
    claim = RunawayEnds.model_validate({"kind": "runaway-ends", "id": "r", **plain})
    return judged(claim, *parts, *([] if "memory" in told else [MEMORY]))


def ends(*entries: str) -> list[Look]:
    """All of them on the list from 50 s after the fault on, which is empty before."""
    return looks("ended-a", [], (50, entries))


def high(*spells: tuple[float, float]) -> list[Look]:
    """CPU at its limit in these stretches, seconds after the fault."""
    return gauge("cpu", *((at, value) for start, stop in spells for at, value in ((start, 1.0), (stop, 0.1))))


def test_ended_by_the_guard_in_time_passes() -> None:
    """With how many there were, how long the longest was, and who ended them; a point for each end on the timeline."""
    finding = over(high((1, 3), (9, 11.5)), ends(end(2.9), end(11.4)))
    assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("pass", 2.5, 5.0, "s")
    assert finding.because == (
        f"2 runaways of {TENANT} were over within 2.5 s each (limit 5 s), "
        "ended by the guard (SIGXCPU, python3 that ran for 2.5 s)"
    )
    assert [(e.where, round(e.start, 6), round(e.end, 6), e.text) for e in finding.evidence] == [
        ("kernel", 1.0, 3.0, "ran away: cpu up to 1"),
        ("kernel", 9.0, 11.5, "ran away: cpu up to 1"),
        ("kernel", 2.9, 2.9, "python3 ended by the guard (SIGXCPU, python3 that ran for 2.5 s)"),
        ("kernel", 11.4, 11.4, "python3 ended by the guard (SIGXCPU, python3 that ran for 2.5 s)"),
    ]


def test_all_who_ended_some_are_named() -> None:
    """The kernel's limit in its own words."""
    who = "the memory limit of server-1/tenant-a"
    finding = over(high((1, 3), (9, 11)), ends(end(2.9), end(11, by="limit", signal=9, who=who)))
    assert finding.because == (
        f"2 runaways of {TENANT} were over within 2 s each (limit 5 s), ended 1 times by the guard "
        f"(SIGXCPU, python3 that ran for 2.5 s) and 1 times by {who} (SIGKILL, python3 that ran for 2.5 s)"
    )


def test_too_long_fails_whoever_ended_it() -> None:
    """The sentence says for how long, from when on, how high, and that nobody ended it before heal."""
    finding = over(gauge("cpu", (0.8, 1.0)), ends())
    assert (finding.verdict, finding.value) == ("fail", pytest.approx(HEAL - 0.8))
    assert finding.because == (
        f"{TENANT} ran away for 39.2 s (limit 5 s), from 800 ms after the deploy on: cpu up to 1; "
        "nobody ended it before heal; 1 more were too long"
    )
    finding = over(high((1, 7)), ends(end(6.9)))
    assert finding.verdict == "fail"
    assert finding.because.endswith("it was over only then, ended by the guard (SIGXCPU, python3 that ran for 2.5 s)")


def test_heal_counts_up_to_when_it_began_and_is_nobodys_end() -> None:
    """What heal cuts short before its time proves nothing; what is left afterwards counts by itself."""
    finding = over(high((HEAL - 3, HEAL + 1.5)), ends(end(HEAL + 0.5)))
    assert (finding.verdict, finding.because) == (
        "unknown",
        "heal ended what ran away, after 3 s of at most 5 s, so nobody else could",
    )
    assert over(high((HEAL - 6, HEAL + 1)), ends(end(HEAL + 0.5))).verdict == "fail"
    finding = over(high((1, 3), (HEAL - 1, AFTER + 6)), ends(end(2.9)))
    assert (finding.verdict, finding.value) == ("fail", 6.0)
    assert f"{TENANT} ran away for 6 s (limit 5 s), after it was healed" in finding.because


def test_an_end_just_before_heal_is_seen_by_the_gauge_just_after_it() -> None:
    """`cpu` is over the last second."""
    assert over(high((HEAL - 3, HEAL + 0.5)), ends(end(HEAL - 0.1))).verdict == "pass"


def test_none_seen_is_unknown() -> None:
    """No pass without proof."""
    finding = over(high(), ends())
    assert (finding.verdict, finding.value) == ("unknown", None)
    assert finding.because == (
        f"no runaway was seen: nobody saw cpu above 0.9 and memory above 0.5 in {TENANT} after the deploy"
    )


def test_over_by_itself_fails_unless_it_may() -> None:
    """A process that left, or none that ended: nobody ended it."""
    finding = over(high((1, 3)), ends())
    assert finding.verdict == "fail"
    assert finding.because == (
        f"{TENANT} ran away for 2 s, from 1 s after the deploy on: cpu up to 1; "
        "it was over by itself: nobody ended it (guard, limit, watchdog)"
    )
    left = end(2.9, by="itself", signal=0, code=0)
    assert "(the last to leave: code 0, python3 that ran for 2.5 s)" in over(high((1, 3)), ends(left)).because
    assert over(high((1, 3)), ends(left), by=["itself"]).verdict == "pass"
    assert over(high((1, 3)), ends(), by=["guard", "itself"]).verdict == "pass"


def test_ended_by_somebody_else_fails_and_names_who() -> None:
    """A watchdog is no guard."""
    finding = over(high((1, 3)), ends(end(2.9, by="watchdog", signal=9, who="lfd of server-1/firewall")), by=["guard"])
    assert finding.verdict == "fail"
    assert (
        "it was ended by the watchdog lfd of server-1/firewall (SIGKILL, python3 that ran for 2.5 s), "
        "which is not one of those asked for (guard)"
    ) in finding.because


def test_work_is_no_runaway() -> None:
    """High for less than a second and ended by nobody is not judged; ended by force it is a proof."""
    assert over(high((1, 3), (9, 9.9)), ends(end(2.9))).verdict == "pass"
    assert over(high((9, 9.9)), ends()).verdict == "unknown"
    finding = over(gauge("cpu"), gauge("memory", (2, 0.9), (2.3, 0.1)), ends(end(2.3, cpu=0.1)))
    assert (finding.verdict, finding.value) == ("pass", pytest.approx(0.3))


def test_work_after_heal_may_take_as_long_as_a_runaway() -> None:
    """What was held up is done then."""
    assert over(high((1, 3), (AFTER + 1, AFTER + 4)), ends(end(2.9))).verdict == "pass"
    assert over(high((1, 3), (AFTER + 1, AFTER + 7)), ends(end(2.9))).verdict == "fail"


def test_stretches_less_than_a_second_apart_are_one() -> None:
    """Of all gauges together: one that goes on by other means is not over."""
    assert over(high((1, 4), (4.9, 8)), ends(end(7.9))).value == 7.0
    assert over(high((1, 4), (5, 8)), ends(end(3.9), end(7.9))).value == 3.0
    finding = over(high((1, 4)), gauge("memory", (4.5, 0.8), (7, 0.1)), ends(end(7)))
    assert (finding.verdict, finding.value) == ("fail", 6.0)
    assert "cpu up to 1 and memory up to 0.8" in finding.because


def test_who_ended_it_is_who_ended_most_of_it_by_force() -> None:
    """Not a short-lived process that left meanwhile; but one that left and had used most of the CPU was it."""
    left = end(2.95, pid=71, by="itself", signal=0, cpu=0.3)
    assert over(high((1, 3)), ends(end(2.9, cpu=0.1), left)).verdict == "pass"
    much = end(2.95, pid=71, by="itself", signal=0, cpu=2.0)
    assert over(high((1, 3)), ends(end(2.9, cpu=0.1), much)).verdict == "fail"
    helpers = [
        end(2 + n / 10, pid=80 + n, by="limit", signal=9, cpu=0.4, who="the memory limit of x") for n in range(5)
    ]
    assert "the memory limit of x" in over(high((1, 3)), ends(end(2.9, cpu=1.5), *helpers)).because


def test_an_end_that_is_long_before_or_after_did_not_end_it() -> None:
    """Up to a second after the stretch counts, as the gauge may be behind or ahead."""
    assert over(high((3, 6)), ends(end(2.9))).verdict == "fail"
    assert over(high((3, 6)), ends(end(6.9))).verdict == "pass"
    assert over(high((3, 6)), ends(end(7.1))).verdict == "fail"
    assert over(high((3, 6)), ends(end(6.9, began=INJECTED + 6.1))).verdict == "fail"


def test_what_could_not_be_read_is_unknown() -> None:
    """A gauge that is dark for longer than the limit, a list that is dark at the end; but harm that was seen counts."""
    dark = gauge("cpu", (1, 1.0), (3, 0.1), (9, None), (15, 0.1))
    assert over(dark, ends(end(2.9))).because == (
        "cpu of kernel could not be read for 6 s, from 9 s after the deploy on or later"
    )
    assert over(gauge("cpu", (1, 1.0), (3, 0.1), (9, None), (13, 0.1)), ends(end(2.9))).verdict == "pass"
    assert over(high((1, 3)), looks("ended-a", [], (2, None))).verdict == "unknown"
    assert over(high((1, 3))).because == "nobody ever said what is on the list ended-a"
    assert over(high((1, 7)), looks("ended-a", [], (2, None))).verdict == "fail"
    assert over(ends(end(2.9))).verdict == "unknown"
    assert over(high((1, 3)), looks("ended-a", [], (5, ["{}"]))).verdict == "unknown"


def test_still_running_away_when_the_trial_ends_is_unknown() -> None:
    """Nobody saw whether it would have been over in time."""
    finding = over(high((1, 3), (LAST - 2, LAST + 9)), ends(end(2.9)))
    assert (finding.verdict, finding.because) == (
        "unknown",
        f"the trial ended while {TENANT} ran away, after 2 s of at most 5 s",
    )


def test_before_the_fault_nothing_counts() -> None:
    """Neither a stretch nor an end."""
    assert over(high((-4, -1)), ends(end(-1.1))).verdict == "unknown"


@given(
    st.lists(st.tuples(st.floats(1.1, 6), st.floats(0.2, 9)), min_size=1, max_size=6),
    st.floats(0.5, 9),
)
def test_it_fails_just_if_one_is_longer_than_the_limit(parts: list[tuple[float, float]], within: float) -> None:
    """Whatever the course, when each is ended by its guard and all is over before heal."""
    at, spells = 0.0, []
    for gap, length in parts:
        if at + gap + length < HEAL - 2:
            spells.append((at + gap, at + gap + length))
            at += gap + length
    longest = max((stop - start for start, stop in spells), default=0.0)
    if abs(longest - within) < 1e-3:
        return
    finding = over(high(*spells), ends(*(end(stop, pid=n) for n, (_, stop) in enumerate(spells))), within=within)
    assert finding.verdict == ("fail" if longest > within else "pass")
    assert finding.value == pytest.approx(longest, abs=1e-5)


def test_without_heal_all_of_it_counts() -> None:
    """A fault that is still there when the trial ends."""
    claim = RunawayEnds.model_validate(
        {"kind": "runaway-ends", "id": "r", "gauges": {"cpu": 0.9}, "ends": "ended-a", "within": 5.0}
    )
    finding = judged(claim, high((1, 90)), ends(), faults=(release(heal_began=0.0, healed=0.0),))
    assert (finding.verdict, finding.because[-34:]) == ("fail", "; it went on until the trial ended")
