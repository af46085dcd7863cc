"""Since when steady state has held: lists, gauges and arrivals, look by look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import RUNNING, arrivals, beats, fault, scenario, trial

from shaketable.checks.steady import SteadyWatch
from shaketable.checks.validity import invalid_because, watches
from shaketable.model.history import Look, Request


def request(at: float, *, ok: bool = True) -> Request:
    """An arrival that ended at this moment."""
    return Request(at, at, at, "refresh", ok, 200, "", "", ())


def watch(*rows: Look | Request) -> float | None:
    """Since when it is steady after these."""
    steady = SteadyWatch(scenario())
    for row in rows:
        if isinstance(row, Look):
            steady.look(row)
        else:
            steady.request(row)
    return steady.since()


def backlog(at: float, text: str | None) -> Look:
    """What the queue's gauge says."""
    return Look(at, "queue", "backlog", None if text is None else (text,))


RUN = Look(1.0, "kernel", "running", RUNNING)
GOOD = request(9.0)


def test_lists_and_gauges_must_all_be_right() -> None:
    """What runs has its number, the backlog is at most its number; since the last of them became so."""
    assert watch(RUN, backlog(2.0, "5"), GOOD) == 2.0
    assert watch(RUN, GOOD) is None
    assert watch(backlog(2.0, "5"), GOOD) is None
    assert watch(RUN, backlog(2.0, "5"), Look(3.0, "kernel", "running", RUNNING[1:]), GOOD) is None


@given(st.floats(0, 20).map(lambda number: round(number, 3)))
def test_a_gauge_may_be_at_most_its_number(number: float) -> None:
    """No more, and however much less."""
    assert (watch(RUN, backlog(2.0, f"{number:.12g}"), GOOD) == 2.0) == (number <= 5)


@pytest.mark.parametrize("text", [None, "6", "nan", "much"])
def test_a_gauge_that_is_too_large_or_unknown_is_not_steady(text: str | None) -> None:
    """Nor does it count what it was before."""
    assert watch(RUN, backlog(2.0, "0"), backlog(3.0, text), GOOD) is None
    assert watch(RUN, backlog(2.0, "0"), backlog(3.0, text), backlog(4.0, "1"), GOOD) == 4.0


def test_small_changes_of_a_gauge_do_not_begin_anew() -> None:
    """Steady is a state, not stillness."""
    assert watch(RUN, backlog(2.0, "0"), backlog(3.0, "4"), GOOD) == 2.0


def test_every_kind_of_holder_must_have_been_watched() -> None:
    """What runs is watched by another than the lists are; without its word a trial proves nothing."""
    looks, loads = beats()
    whole = trial(requests=arrivals("refresh"), look_beats=looks, load_beats=loads, faults=(fault(),))
    assert invalid_because(whole, scenario(), ()) == ()
    assert {w.holder for w in watches(whole, scenario())} == set(scenario().observers.holders)
    blind = trial(
        requests=arrivals("refresh"),
        look_beats=[beat for beat in looks if beat.holder != "kernel"],
        load_beats=loads,
        faults=(fault(),),
    )
    assert any("kernel was not looked at for 85 s" in why for why in invalid_because(blind, scenario(), ()))
