"""Claims about numbers that holders read: ceiling, growth, returns and warns-early, on synthetic histories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, ENDED, HEALED, INJECTED, arrivals, copy_of, failed, fault, found, slowed, trial

from shaketable.model.claims import Ceiling, Growth, Returns, WarnsEarly
from shaketable.model.history import Look, Request, TrialHistory
from shaketable.model.result import Finding

HEAL = HEALED - INJECTED
"""What is written in seconds after the fault's effect, for the end of the heal."""
END = ENDED - INJECTED


def told(*states: tuple[float, float | str | None], first: float | str = 0, holder: str = "queue") -> list[Look]:
    """A holder's backlog at first, and what it was from these moments after the fault on."""
    return copy_of(
        holder, "backlog", [str(first)], *((at, None if value is None else [str(value)]) for at, value in states)
    )


def ceiling(*looks: list[Look], **described: Any) -> Finding:
    """At most 5 unless told."""
    plain = {"kind": "ceiling", "id": "c", "gauge": "backlog", "at_most": 5, **described}
    return found(Ceiling.model_validate(plain), trial(looks=[look for part in looks for look in part]))


def growth(*looks: list[Look], **described: Any) -> Finding:
    """By at most 2 unless told."""
    plain = {"kind": "growth", "id": "g", "gauge": "backlog", "at_most": 2, **described}
    return found(Growth.model_validate(plain), trial(looks=[look for part in looks for look in part]))


def returns(of: TrialHistory, **described: Any) -> Finding:
    """Within 10 s after heal unless told."""
    return found(
        Returns.model_validate({"kind": "returns", "id": "r", "gauge": "backlog", "within": 10.0, **described}), of
    )


def warns(looks: list[Look], requests: list[Request], **described: Any) -> Finding:
    """Above 5 unless told."""
    plain = {"kind": "warns-early", "id": "w", "gauge": "backlog", "above": 5, **described}
    return found(WarnsEarly.model_validate(plain), trial(looks=looks, requests=requests))


class TestCeiling:
    """From the fault until the trial's end at most its number."""

    def test_at_the_limit_passes(self) -> None:
        """The limit itself is allowed; the value is the highest that was seen, in the words of the gauge."""
        finding = ceiling(told((3, 5), (4, 1)))
        assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("pass", 5.0, 5.0, "backlog")
        assert finding.because == "backlog of queue was at most 5 (limit 5)"

    def test_above_fails_with_who_when_and_how_long(self) -> None:
        """The sentence names the holder, the longest stretch and its highest value; the evidence is on the holder's row."""
        finding = ceiling(told((3, 7), (4, 9), (5.5, 1), (8, 6), (8.2, 0)))
        assert (finding.verdict, finding.value) == ("fail", 9.0)
        assert finding.because == (
            "backlog of queue was above 5 for 2.5 s, from 3 s after the kill on, up to 9, and 1 more times"
        )
        assert [(e.where, round(e.start, 6), round(e.end, 6)) for e in finding.evidence] == [
            ("queue", 3.0, 5.5),
            ("queue", 8.0, 8.2),
        ]

    def test_before_the_fault_does_not_count(self) -> None:
        """What was above before it is judged from the effect on."""
        assert ceiling(told((0, 1), first=99)).verdict == "pass"
        assert ceiling(told((0.5, 1), first=99)).verdict == "fail"

    def test_it_may_be_above_for_a_while(self) -> None:
        """With `longest` each stretch counts by itself, and the value is the longest."""
        for_a_while = told((3, 7), (5, 1), (8, 7), (9, 1))
        finding = ceiling(for_a_while, longest=2.0)
        assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("pass", 2.0, 2.0, "s")
        assert ceiling(for_a_while, longest=1.9).verdict == "fail"

    def test_unread_is_unknown_unless_it_is_no_longer_than_it_may_be_above(self) -> None:
        """A holder that says nothing may be above all the time."""
        dark = told((3, None), (5, 1))
        finding = ceiling(dark)
        assert finding.verdict == "unknown"
        assert finding.because == "backlog of queue could not be read for 2 s after the kill"
        assert ceiling(dark, longest=2.0).verdict == "pass"
        assert ceiling(dark, longest=1.9).verdict == "unknown"
        assert ceiling(told((2, 9), (3, None), (5, 1)), longest=2.0).verdict == "unknown", "it could be one of 3 s"

    def test_what_was_seen_to_be_above_fails_whatever_was_not_seen(self) -> None:
        """In another holder or at another time."""
        assert ceiling(told((3, None), (5, 9))).verdict == "fail"
        finding = ceiling(told((3, None)), told((3, 9), holder="other"))
        assert (finding.verdict, "backlog of other" in finding.because) == ("fail", True)

    def test_a_break_as_short_as_the_looks_are_apart_is_none(self) -> None:
        """It is then what it was before."""
        assert ceiling(told((3, None), (3.2, 1))).verdict == "pass"

    def test_a_gauge_that_nobody_told_or_that_is_no_number_is_unknown(self) -> None:
        """Rather than small."""
        assert ceiling([]).verdict == "unknown"
        assert ceiling(told(first="many")).verdict == "unknown"
        assert ceiling([], gauge="pressure").because == "nobody ever said what pressure is"

    @given(st.lists(st.integers(0, 10), min_size=1, max_size=20), st.integers(0, 10))
    def test_it_fails_just_if_some_value_is_above(self, values: list[int], most: int) -> None:
        """Whatever the course."""
        finding = ceiling(told(*((float(n), value) for n, value in enumerate(values))), at_most=most)
        assert (finding.verdict == "fail") == (max(values) > most)
        assert finding.value == max(values)


class TestGrowth:
    """What only counts up."""

    def test_as_much_as_it_may_passes(self) -> None:
        """It counts from when the fault was sent, whatever was before."""
        finding = growth(told((-2, 6), (3, 8), first=4))
        assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("pass", 2.0, 2.0, "backlog")

    def test_more_fails(self) -> None:
        """With how much, and when it began."""
        finding = growth(told((3, 8), (9, 11), first=6))
        assert finding.verdict == "fail"
        assert finding.because == (
            "backlog of queue rose by 5 after the kill was sent (at most 2); the first rise 3 s after it"
        )
        assert [(e.where, e.start) for e in finding.evidence] == [("queue", 3.0), ("queue", 9.0)]

    def test_a_count_that_is_begun_anew_counts_on(self) -> None:
        """A server that was restarted counts from 0; what it counted before is not forgotten."""
        assert growth(told((3, 8), (4, 1), (5, 2), first=7)).value == 3.0

    def test_between_sent_and_effect_counts(self) -> None:
        """What happens while it is injected is the fault's."""
        assert growth(told((-0.2, 9), first=6)).verdict == "fail"

    def test_unread_at_either_end_is_unknown(self) -> None:
        """For nobody knows what it came to; in between it does not matter."""
        assert growth(told((-3, None), (1, 3), first=3)).verdict == "unknown"
        assert growth(told((3, 4), (20, None), first=3)).verdict == "unknown"
        assert growth(told((3, None), (20, 4), first=3)).verdict == "pass"
        assert growth(told((3, 14), (20, None), first=3)).verdict == "fail", "it was seen to be more already"

    @given(st.lists(st.integers(0, 3), max_size=12))
    def test_the_value_is_the_sum_of_all_rises(self, rises: list[int]) -> None:
        """However they come."""
        steps, now = [], 5
        for number, rise in enumerate(rises, 1):
            now += rise
            steps.append((float(number), now))
        finding = growth(told(*steps, first=5))
        assert finding.value == sum(rises)
        assert (finding.verdict == "pass") == (sum(rises) <= 2)


class TestReturns:
    """No orphans remain."""

    def test_back_in_time_passes(self) -> None:
        """The value is from when on it was back for good."""
        finding = returns(trial(looks=told((3, 40), (HEAL + 4, 1), (HEAL + 5, 30), (HEAL + 9, 2), first=2)))
        assert (finding.verdict, finding.value) == ("pass", pytest.approx(9.0))
        assert finding.because == "backlog of queue was back 9 s after heal (before the first fault 2)"

    def test_what_stays_fails(self) -> None:
        """With how many there still are, and how many there were."""
        finding = returns(trial(looks=told((3, 40), (HEAL + 4, 7), first=2)))
        assert (finding.verdict, finding.value) == ("fail", pytest.approx(ENDED - HEALED))
        assert finding.because == (
            "backlog of queue was still 7 38 s after heal when the trial ended (before the first fault 2); limit 10 s"
        )
        assert finding.evidence[0].where == "queue"

    def test_what_comes_back_later_fails(self) -> None:
        """It is to stay where it was."""
        finding = returns(trial(looks=told((HEAL + 20, 9), (HEAL + 21, 2), first=2)))
        assert finding.verdict == "fail"
        assert "up to 9 until then 21 s after heal, from 20 s on" in finding.because

    @pytest.mark.parametrize(("back", "verdict"), [(10.0, "pass"), (10.01, "fail")])
    def test_the_limit_is_sharp(self, back: float, verdict: str) -> None:
        """At the limit is in time."""
        assert returns(trial(looks=told((3, 40), (HEAL + back, 2), first=2))).verdict == verdict

    def test_a_margin(self) -> None:
        """By so much it may stay above."""
        stays = trial(looks=told((3, 4), first=2))
        assert returns(stays, margin=2).verdict == "pass"
        assert returns(stays, margin=1).verdict == "fail"

    def test_what_it_was_before_is_the_most_since_steady(self) -> None:
        """An earlier peak, while the topology came up, is no excuse."""
        busy = [*told((-99, 50), (-4, 1), first=50)]
        assert returns(trial(looks=[*busy, *told((3, 9))[1:]])).verdict == "fail"

    def test_since_the_fault_until_heal(self) -> None:
        """What the heal does is not its concern."""
        of = trial(looks=told((1, 40), (8, 0), (HEAL - 1, 40)))
        assert returns(of, since="fault").verdict == "pass"
        assert returns(trial(looks=told((1, 40), (11, 0))), since="fault").verdict == "fail"

    def test_what_nobody_saw_is_unknown(self) -> None:
        """Before the fault, after the limit, or because the trial was over before."""
        assert returns(trial(looks=told((-4, None), (3, 0)))).verdict == "unknown"
        assert returns(trial(looks=told((HEAL + 15, None), (HEAL + 16, 0)))).verdict == "unknown"
        assert returns(trial(looks=told((HEAL + 1, None), (HEAL + 9, 0)))).verdict == "pass"
        short = returns(trial(looks=told(), ended=HEALED + 4))
        assert (short.verdict, short.because) == (
            "unknown",
            "the trial ended 4 s after heal, before the limit of 10 s",
        )
        assert returns(trial(looks=told(), faults=(fault(healed=0.0),))).verdict == "unknown"

    @given(st.lists(st.tuples(st.integers(0, 140).map(lambda quarters: quarters / 4), st.integers(0, 6)), max_size=10))
    def test_a_pass_means_none_is_above_after_the_limit(self, course: list[tuple[float, int]]) -> None:
        """Whatever the course, judged look by look."""
        looks = told(*((HEAL + at, value) for at, value in course), first=3)
        last = [value for at, value in sorted(course, key=lambda step: step[0]) if at <= 10]
        late = [value for at, value in course if at > 10]
        finding = returns(trial(looks=looks))
        expected = all(value <= 3 for value in [*late, *(last[-1:] if last else [])])
        assert (finding.verdict == "pass") == expected


class TestWarnsEarly:
    """A gauge that names the trouble before users feel it."""

    def test_before_anybody_feels_it_passes(self) -> None:
        """The value is how long before; at the asked lead is early enough."""
        finding = warns(told((4, 9)), failed(arrivals("chat"), 10, 20), lead=6.0)
        assert (finding.verdict, finding.value) == ("pass", pytest.approx(6.025))
        assert finding.because.startswith("backlog of queue was above 5 from 4 s after the kill on, 6.03 s before chat")
        assert [e.where for e in finding.evidence] == ["queue", "pages"]

    def test_too_late_fails(self) -> None:
        """After users felt it, or less than the lead before."""
        finding = warns(told((12, 9)), failed(arrivals("chat"), 10, 20))
        assert (finding.verdict, finding.value) == ("fail", pytest.approx(-1.975))
        assert finding.because.endswith("from 12 s after the kill on, 1.97 s after chat was degraded (asked before)")
        assert warns(told((9, 9)), failed(arrivals("chat"), 10, 20), lead=2.0).verdict == "fail"

    def test_never_fails_if_users_felt_it(self) -> None:
        """With what they felt first, slow ones included."""
        rows = [*slowed(arrivals("ticket"), 6, 20, 2.0), *failed(arrivals("chat"), 10, 20)]
        finding = warns(told((3, 5)), rows)
        assert (finding.verdict, finding.value) == ("fail", None)
        assert finding.because.startswith("ticket was degraded from 6.03 s after the kill on, and backlog of queue was")

    def test_nobody_hurt_passes(self) -> None:
        """Whether it warned or not."""
        assert warns(told(), arrivals("chat")).verdict == "pass"
        assert warns(told((4, 9)), arrivals("chat")).verdict == "pass"

    def test_an_alarm_while_all_is_well_fails(self) -> None:
        """What is always above warns of nothing."""
        finding = warns(told((-1, 9)), failed(arrivals("chat"), 10, 20))
        assert finding.verdict == "fail"
        assert "500 ms before the first fault, when nothing was wrong" in finding.because

    def test_what_could_not_be_read_in_time_is_unknown(self) -> None:
        """It could have warned; if it did warn, the break does not matter, nor does one after it was too late."""
        rows = failed(arrivals("chat"), 10, 20)
        assert warns(told((3, None), (8, 1)), rows).verdict == "unknown"
        assert warns(told((3, None), (8, 9)), rows).verdict == "pass"
        assert warns(told((12, None), (15, 9)), rows).verdict == "fail"

    def test_nobody_asked_is_unknown(self) -> None:
        """Then nobody can have felt anything."""
        assert warns(told((4, 9)), arrivals("chat", BEGAN, INJECTED)).verdict == "unknown"

    def test_any_holder_may_warn(self) -> None:
        """One is enough."""
        looks = [*told(), *told((4, 9), holder="other")]
        assert warns(looks, failed(arrivals("chat"), 10, 20)).verdict == "pass"


def test_a_claim_about_a_fault_counts_from_it() -> None:
    """`fault` names the one that a ceiling counts from."""
    later = replace(fault(), id="second", sent=INJECTED + 20, injected=INJECTED + 20)
    of = trial(looks=told((3, 9), (4, 0)), faults=(fault(), later))
    claim = Ceiling.model_validate({"kind": "ceiling", "id": "c", "gauge": "backlog", "at_most": 5})
    assert found(claim, of).verdict == "fail"
    assert found(claim.model_copy(update={"fault": "second"}), of).verdict == "pass"
