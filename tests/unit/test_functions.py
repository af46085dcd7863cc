"""When a function of the system was degraded, from the arrivals of its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import pytest
from histories import BEGAN, ENDED, INJECTED, history
from hypothesis import given
from hypothesis import strategies as st

from shaketable.checks.functions import Function, functions
from shaketable.model.history import Request, TrialHistory

RATE = 20.0


def arrivals(name: str, *, rate: float = RATE, latency: float = 0.01) -> list[Request]:
    """Arrivals at a constant rate from the trial's begin to its end, all good."""
    due = [BEGAN + (n + 0.5) / rate for n in range(int((ENDED - BEGAN) * rate))]
    return [Request(t, t, t + latency, name, True, 200, "", "web", ()) for t in due]


def broken(rows: Iterable[Request], start: float, end: float) -> list[Request]:
    """The same arrivals, those that are due in [start, end) after the fault's effect failed."""
    return [
        replace(r, ok=False, status=503, error="status 503") if start <= r.scheduled - INJECTED < end else r
        for r in rows
    ]


def slowed(rows: Iterable[Request], start: float, end: float, latency: float) -> list[Request]:
    """The same arrivals, those that are due in [start, end) after the fault's effect slow."""
    return [replace(r, ended=r.scheduled + latency) if start <= r.scheduled - INJECTED < end else r for r in rows]


def of(*rows: list[Request], **changes: object) -> TrialHistory:
    """A trial with these arrivals."""
    return history(requests=sorted((r for part in rows for r in part), key=lambda r: r.scheduled), **changes)


def one(trial: TrialHistory) -> Function:
    """The only function of a trial."""
    (found,) = functions(trial)
    return found


def times(found: Function) -> list[tuple[float, float]]:
    """Begin and end of every spell, seconds after the fault's effect."""
    return [(round(s.start - INJECTED, 6), round(s.end - INJECTED, 6)) for s in found.spells]


def test_a_function_that_was_always_good_has_no_spell() -> None:
    """Its arrivals are counted, and its baseline is what came before the fault."""
    found = one(of(arrivals("refresh")))
    assert (found.name, found.arrivals, found.failed, found.spells) == ("refresh", 124, 0, ())
    assert found.baseline is not None
    assert (found.baseline.arrivals, round(found.baseline.p95, 6)) == (20, 0.01)


def test_functions_are_told_apart_by_name() -> None:
    """One that is broken does not touch another, and they come in the order of their names."""
    first, second = functions(of(broken(arrivals("reply"), 0, 2), arrivals("log in")))
    assert (first.name, first.spells) == ("log in", ())
    assert second.name == "reply"
    assert times(second) == [(0.0, 2.0)]
    assert (second.spells[0].failed, second.spells[0].arrivals) == (40, 40)


@pytest.mark.parametrize(("rate", "bad"), [(20.0, False), (19.0, True)])
def test_more_than_one_in_twenty_is_degraded(rate: float, bad: bool) -> None:
    """One failure among 20 arrivals of a window is 5 % and not more; among 19 it is."""
    rows = [r for r in arrivals("reply", rate=rate) if r.scheduled >= INJECTED + 1]
    rows[0] = replace(rows[0], ok=False)
    assert bool(one(of(rows)).spells) == bad


def test_slow_counts_against_the_baseline() -> None:
    """Three times the baseline's p95 and 250 ms above it at least; the worst latency is told."""
    quick, steady = arrivals("pictures", latency=0.01), arrivals("pictures", latency=0.5)
    assert times(one(of(slowed(quick, 1, 3, 0.25)))) == []
    found = one(of(slowed(quick, 1, 3, 0.27)))
    assert times(found) == [(1.0, 3.0)]
    assert found.spells[0].worst_latency == pytest.approx(0.27)
    assert times(one(of(slowed(steady, 1, 3, 1.49)))) == []
    assert times(one(of(slowed(steady, 1, 3, 1.51)))) == [(1.0, 3.0)]


def test_a_window_without_arrivals_continues_the_state_before() -> None:
    """Nobody saw it get well, so it was not well; and nobody saw it get worse either."""
    rare = [r for r in arrivals("history") if not 1 <= r.scheduled - INJECTED < 3]
    assert times(one(of(broken(rare, 0, 1)))) == [(0.0, 3.0)]
    assert times(one(of(broken(rare, 3, 4)))) == [(3.0, 4.0)]


def test_a_spell_at_the_end_ends_with_the_trial() -> None:
    """What was degraded when the trial ended is clipped there."""
    found = one(of(broken(arrivals("reply"), 4, 99)))
    assert found.spells[-1].end == ENDED


def test_what_failed_before_the_system_was_well_is_no_baseline() -> None:
    """A cold system's slow answers would make every later one look good; its failures are a spell like any other."""
    cold = slowed(broken(arrivals("reply"), -1, -0.8), -0.8, -0.7, 0.05)
    cold[0] = replace(cold[0], ok=True, ended=cold[0].scheduled + 0.09)
    found = one(of(cold))
    assert found.baseline is not None
    assert round(found.baseline.p95, 6) == 0.05
    assert found.spells[0].start == BEGAN


def test_no_arrival_before_the_fault_is_no_baseline() -> None:
    """Then failures alone count."""
    rows = [r for r in arrivals("history") if r.scheduled > INJECTED]
    found = one(of(broken(slowed(rows, 1, 2, 4.0), 3, 4)))
    assert found.baseline is None
    assert times(found) == [(3.0, 4.0)]


def test_no_request_is_no_function() -> None:
    """And a trial that broke off before its fault still has its functions."""
    assert functions(history(requests=())) == ()
    assert one(of(arrivals("reply"), faults=())).spells == ()


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_spells_are_the_bad_windows(bad: list[bool]) -> None:
    """Whatever the pattern: spells are in order, do not touch, and cover exactly the bad windows."""
    rows = arrivals("reply")
    for window, is_bad in enumerate(bad):
        rows = broken(rows, window, window + 1) if is_bad else rows
    spells = one(of(rows)).spells
    assert all(a.end < b.start for a, b in pairwise(spells))
    for window, is_bad in enumerate(bad):
        middle = INJECTED + window + 0.5
        assert any(s.start <= middle < s.end for s in spells) == is_bad
