"""No session waits long for another's lock: the check, on looks written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import ENDED, INJECTED, found, trial
from lock_histories import MIGRATE, blocked, chat, looked, waits

from shaketable.model.claims import NotBlocked
from shaketable.model.history import TrialHistory
from shaketable.model.result import Finding

ONE, TWO = waits(chat("11"), MIGRATE), waits(chat("12"), chat("11"))
State = tuple[float, Sequence[str] | None]


def judged(of: TrialHistory) -> Finding:
    """The finding, with a limit of 2 s."""
    return found(NotBlocked(kind="not-blocked", id="free", list="waits", longest=2.0), of)


def test_who_waits_too_long_is_named_with_the_root() -> None:
    """Who blocks, its state and statement, how many were behind, and the longest wait."""
    finding = judged(blocked((1.0, [ONE]), (1.5, [ONE, TWO]), (7.2, ())))
    assert (finding.verdict, finding.value, finding.limit) == ("fail", 6.2, 2.0)
    assert finding.because == (
        "shared: session 7 (migration/migrate, idle in transaction: UPDATE subscriptions SET moved = true) blocked up"
        " to 2 others; the longest, session 11 (app/chat) waited 6.2 s for relation subscriptions (limit 2 s)"
    )
    assert [(e.where, e.start, e.end) for e in finding.evidence] == [
        ("shared", 1.0, pytest.approx(7.2)),
        ("shared", 1.0, pytest.approx(7.2)),
        ("shared", 1.5, pytest.approx(7.2)),
    ]


def test_short_waits_pass_with_the_longest() -> None:
    """A lock that is held for a moment is no harm, and the longest wait is told."""
    finding = judged(blocked((1.0, [ONE]), (1.5, ()), (4.0, [ONE]), (5.0, ())))
    assert (finding.verdict, finding.value) == ("pass", 1.0)
    assert "blocked 1 other; the longest, session 11 (app/chat) waited 1 s" in finding.because
    assert judged(blocked((1.0, ()))).value == 0.0


@given(st.floats(0.01, 60.0))
def test_the_limit_is_sharp(seconds: float) -> None:
    """A wait fails exactly if it is longer than the limit."""
    assert (judged(blocked((1.0, [ONE]), (1.0 + seconds, ()))).verdict == "fail") == (seconds > 2.0 + 1e-9)


def test_a_wait_goes_on_whoever_blocks() -> None:
    """Who is passed from one blocker to the next has waited all the time; another statement is another wait."""
    next_one = waits(chat("12"), MIGRATE)
    assert judged(blocked((1.0, [ONE, TWO]), (2.5, [next_one]), (4.0, ()))).value == 3.0
    other = waits(chat("11", "SELECT 1"), MIGRATE)
    assert judged(blocked((1.0, [ONE]), (2.5, [other]), (4.0, ()))).value == 1.5


def test_only_the_time_after_the_fault_counts() -> None:
    """From its effect until the trial's end: what was before is cut off, what lasts on counts until then."""
    before = trial(looks=[*looked((1.5, ()), first=[ONE])])
    assert (judged(before).verdict, judged(before).value) == ("pass", 1.5)
    still = judged(blocked((1.0, [ONE])))
    assert (still.verdict, still.value) == ("fail", ENDED - INJECTED - 1.0)


def test_the_root_of_a_cycle_waits_too() -> None:
    """A deadlock that nobody resolves is a wait of all that are in it."""
    finding = judged(blocked((1.0, [waits(chat("11"), chat("12")), waits(chat("12"), chat("11"))]), (5.0, ())))
    assert (finding.verdict, finding.value) == ("fail", 4.0)


@pytest.mark.parametrize(
    ("states", "verdict"),
    [
        ([(1.0, None), (2.9, ())], "pass"),
        ([(1.0, None), (2.0, None), (3.5, ())], "unknown"),
        ([(1.0, [ONE]), (2.0, None), (3.5, ())], "unknown"),
        ([(1.0, None), (2.0, [ONE]), (3.5, ())], "unknown"),
        ([(1.0, [ONE]), (1.5, None), (2.5, ())], "pass"),
        ([(1.0, [ONE]), (1.5, None), (3.5, [ONE]), (4.0, ())], "unknown"),
        ([(1.0, [ONE]), (2.0, None), (2.2, [ONE]), (3.5, ())], "fail"),
        ([(1.0, [ONE]), (4.0, None)], "fail"),
    ],
)
def test_what_could_not_be_seen_decides_only_where_it_could(states: list[State], verdict: str) -> None:
    """Unknown exactly where somebody may have waited too long unseen and nobody was seen to; a short break is bridged."""
    finding = judged(blocked(*states))
    assert finding.verdict == verdict
    if verdict == "unknown":
        assert "shared could not be looked at for " in finding.because


def test_a_list_that_nobody_told_is_unknown() -> None:
    """No holder with such a list, or one that spoke only after the fault."""
    assert judged(trial()).because == "nobody ever said what is on the list waits"
    late = trial(looks=looked((1.0, ()))[1:])
    assert (judged(late).verdict, "had not said" in judged(late).because) == ("unknown", True)
