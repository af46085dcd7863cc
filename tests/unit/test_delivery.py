"""Acknowledged writes arrive at their destination once, in time and in order: the check, on synthetic histories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, ENDED, GAP, INJECTED, found, trial

from shaketable.model.claims import ExactlyOnce
from shaketable.model.history import Look, Request, TrialHistory
from shaketable.model.result import Finding

COUNT = 20
NAMES = tuple(f"a/{n}" for n in range(COUNT))


def sent(entry: str, at: float, *, ok: bool = True, name: str = "send", cohort: str = "tenant=a") -> Request:
    """A request of 10 ms that began so many seconds after the fault's effect, and stored this entry."""
    start = INJECTED + at
    return Request(start, start, start + 0.01, name, ok, 201 if ok else 0, "", "web", (), entry, cohort)


SENT = [sent(entry, float(n)) for n, entry in enumerate(NAMES)]
"""One write a second, from the fault's effect on."""
ON_TIME: Mapping[str, float] = {entry: n + 0.5 for n, entry in enumerate(NAMES)}
"""When each arrives, seconds after the fault's effect."""


def listed(arrivals: Mapping[str, float], *, keeps: float = 1000.0, holder: str = "news") -> list[Look]:
    """A mailbox that lists what arrived, for so many seconds each."""
    moments = sorted({t for at in arrivals.values() for t in (at, at + keeps)})
    rows = [Look(BEGAN - 5, holder, "notices", ())]
    for moment in moments:
        there = [entry for entry, at in arrivals.items() if at <= moment < at + keeps]
        rows.append(Look(INJECTED + moment, holder, "notices", tuple(there)))
    return [row for row in rows if row.at < ENDED]


def darkened(looks: Sequence[Look], start: float, end: float) -> list[Look]:
    """The same looks, but nothing could be read between two moments after the fault's effect."""
    start, end = INJECTED + start, INJECTED + end
    kept = [look for look in looks if not start <= look.at < end]
    again = [look for look in looks if look.at <= end][-1]
    dark = [Look(start, again.holder, again.list, None)]
    light = [replace(again, at=end)] if end < ENDED else []
    return sorted([*kept, *dark, *light], key=lambda look: look.at)


def once(looks: Sequence[Look], requests: Sequence[Request] = tuple(SENT), **described: Any) -> Finding:
    """The finding; within 5 s unless told."""
    plain = {"kind": "exactly-once", "id": "once", "list": "notices", "within": 5.0, **described}
    return found(ExactlyOnce.model_validate(plain), history(looks, requests))


def history(looks: Sequence[Look], requests: Sequence[Request]) -> TrialHistory:
    """A trial with these."""
    return trial(requests=requests, looks=looks)


class TestArrivals:
    """Each once and in time."""

    def test_all_arrived(self) -> None:
        """The sentence says how many, and how close it was."""
        finding = once(listed({**ON_TIME, "a/7": 8.31}))
        assert (finding.verdict, finding.value, finding.limit, finding.unit) == ("pass", 0.0, 0.0, "writes")
        assert (
            finding.because == "all 20 acknowledged writes arrived once, the slowest 1.3 s after its answer (limit 5 s)"
        )

    def test_a_list_may_drop_old_entries(self) -> None:
        """A mailbox may show only what is new: every look counts."""
        assert once(listed(ON_TIME, keeps=1.2)).verdict == "pass"

    def test_what_arrives_before_its_answer_is_in_time(self) -> None:
        """The answer may be slower than the delivery."""
        finding = once(listed({entry: n + 0.005 for n, entry in enumerate(NAMES)}))
        assert finding.verdict == "pass"
        assert "each before its answer" in finding.because

    @given(st.sets(st.sampled_from(NAMES), max_size=COUNT - 1), st.integers(0, COUNT))
    def test_the_lost_are_counted(self, lost: set[str], allowed: int) -> None:
        """As many as never came, whichever they are; more than is allowed fails."""
        finding = once(listed({e: at for e, at in ON_TIME.items() if e not in lost}), lost_at_most=allowed)
        assert (finding.verdict, finding.value) == ("pass" if len(lost) <= allowed else "fail", len(lost))

    def test_the_lost_in_words(self) -> None:
        """Which, and since when."""
        finding = once(listed({e: at for e, at in ON_TIME.items() if e not in {"a/3", "a/5"}}))
        assert finding.because == (
            "2 of 20 acknowledged writes never arrived, as a/3, the first acknowledged 3.01 s after the kill"
        )
        assert [(e.where, e.text) for e in finding.evidence] == [
            ("news", "a/3 never arrived"),
            ("news", "a/5 never arrived"),
        ]

    def test_twice_in_any_look_is_doubled(self) -> None:
        """Even if only one of the two is left at the end."""
        looks = listed(ON_TIME)
        twice = [replace(x, entries=(*x.entries, "a/4")) if x.at == INJECTED + 9.5 and x.entries else x for x in looks]
        finding = once(twice)
        assert (finding.verdict, finding.value) == ("fail", 1.0)
        assert finding.because == "1 of 20 acknowledged writes arrived twice, as a/4 in news"
        assert once(twice, doubled_at_most=1).verdict == "pass"

    def test_late_is_late_by_the_first_look_that_lists_it(self) -> None:
        """Just in time passes; the sentence names the slowest."""
        assert once(listed({**ON_TIME, "a/4": 9.0})).verdict == "pass"
        finding = once(listed({**ON_TIME, "a/4": 9.5, "a/6": 20.01}))
        assert (finding.verdict, finding.value) == ("fail", 2.0)
        assert finding.because == (
            "2 of 20 acknowledged writes arrived late, the slowest 14 s after its answer (limit 5 s)"
        )
        assert once(listed({**ON_TIME, "a/4": 9.5}), late_at_most=1).verdict == "pass"

    def test_all_that_is_wrong_is_told_together(self) -> None:
        """With what is allowed, where something is; the value counts what is too much."""
        looks = listed({e: at for e, at in {**ON_TIME, "a/4": 9.5}.items() if e != "a/3"})
        finding = once(looks, late_at_most=2)
        assert (finding.verdict, finding.value, finding.limit) == ("fail", 1.0, 0.0)
        assert finding.because.endswith("; 1 arrived late, the slowest 5.49 s after its answer (limit 5 s) (2 may)")

    def test_every_holder_has_to_have_all(self) -> None:
        """One copy that lacks something fails, and each write counts once."""
        less = {e: at for e, at in ON_TIME.items() if e != "a/3"}
        finding = once([*listed(ON_TIME), *listed(less, holder="copy"), *listed(less, holder="other")])
        assert (finding.verdict, finding.value) == ("fail", 1.0)


class TestWhichWrites:
    """Who is judged."""

    def test_what_was_not_acknowledged_may_be_there_or_not(self) -> None:
        """A request without an answer proves nothing."""
        unsure = [*SENT, sent("a/x", 3.0, ok=False)]
        assert once(listed(ON_TIME), unsure).verdict == "pass"
        assert once(listed({**ON_TIME, "a/x": 99}), unsure).verdict == "pass"

    def test_other_requests_write_to_other_lists(self) -> None:
        """A request whose name no listed write has is not judged."""
        assert once(listed(ON_TIME), [*SENT, sent("draft-1", 3.0, name="draft")]).verdict == "pass"

    def test_writes_whose_time_was_not_over_are_not_judged(self) -> None:
        """The trial ended before."""
        end = ENDED - INJECTED
        assert once(listed(ON_TIME), [*SENT, sent("a/x", end - 4.9)]).verdict == "pass"
        assert once(listed(ON_TIME), [*SENT, sent("a/x", end - 5.1)]).verdict == "fail"

    def test_nothing_to_judge_is_unknown(self) -> None:
        """No write that was acknowledged, none whose time was over, nobody who says what arrived."""
        assert once(listed(ON_TIME), []).verdict == "unknown"
        assert once([]).verdict == "unknown"
        finding = once(listed({"a/0": 79.5}), [sent("a/0", ENDED - INJECTED - 1)])
        assert finding.verdict == "unknown"
        assert finding.because == "the trial ended before any of 1 acknowledged writes had had its 5 s"


class TestUnread:
    """While a holder could not be read, anything may have happened."""

    def test_what_is_missing_may_have_come_and_gone(self) -> None:
        """A mailbox that has nothing left of what it listed before may have dropped anything meanwhile."""
        looks = darkened(listed(ON_TIME, keeps=1.2), 5.7, 9.7)
        finding = once(looks)
        assert finding.verdict == "unknown"
        assert "news could not be read for 4 s" in finding.because

    def test_what_is_missing_before_and_after_is_lost_all_the_same(self) -> None:
        """A write that was sent after the holder could be read again, and never came."""
        looks = listed({e: at for e, at in ON_TIME.items() if e != "a/15"}, keeps=1.2)
        assert once(darkened(looks, 5.7, 9.7)).verdict == "fail"

    def test_an_entry_that_is_there_before_and_after_proves_that_no_younger_one_was_dropped(self) -> None:
        """Lists drop their oldest first."""
        assert once(darkened(listed(ON_TIME), 5.7, 8.7)).verdict == "pass"
        less = {e: at for e, at in ON_TIME.items() if e != "a/7"}
        assert once(darkened(listed(less), 5.7, 8.7)).verdict == "fail"

    def test_an_unread_stretch_bounds_the_arrival_from_above_only(self) -> None:
        """Seen late after it, an entry may have come in time."""
        dark = darkened(listed(ON_TIME), 5.7, 15.7)
        assert once(dark).verdict == "unknown"
        assert once(dark, within=12.0).verdict == "pass"
        late = darkened(listed({**ON_TIME, "a/1": 9.0}), 7.7, 9.7)
        assert once(late).verdict == "fail", "it was not there 6.69 s after its answer"

    def test_an_unread_end_hides_all_that_was_still_to_come(self) -> None:
        """And a second arrival of all that had come."""
        finding = once(darkened(listed({e: ON_TIME[e] for e in NAMES[:15]}), 15.2, ENDED - INJECTED))
        assert finding.verdict == "unknown"

    def test_a_break_as_short_as_the_looks_are_apart_is_none(self) -> None:
        """Whatever it leaves."""
        short = darkened(listed(ON_TIME, keeps=1.2), 5.7, 5.7 + GAP)
        assert once(short).verdict == "pass"

    def test_a_holder_that_never_said_anything_is_unknown(self) -> None:
        """Though another has all."""
        finding = once(listed(ON_TIME, holder="copy"))
        assert finding.verdict == "unknown", "the scenario says that news has the list"

    def test_what_nobody_saw_does_not_matter_where_as_much_may_be_wrong(self) -> None:
        """If even the worst that may have happened is allowed."""
        looks = darkened(listed(ON_TIME, keeps=1.2), 5.7, 9.7)
        many = {"lost_at_most": COUNT, "doubled_at_most": COUNT, "late_at_most": COUNT}
        assert once(looks, **many).verdict == "pass"


class TestOrder:
    """Within a cohort."""

    def test_order_counts_only_where_it_is_asked_for(self) -> None:
        """Two that changed places pass without `in_order`."""
        looks = listed({**ON_TIME, "a/3": 4.7})
        assert once(looks).verdict == "pass"
        finding = once(looks, in_order=["tenant"])
        assert (finding.verdict, finding.value) == ("fail", 1.0)
        assert finding.because == ("1 of 20 acknowledged writes arrived out of order: in news a/4 overtook a/3")
        assert once(looks, in_order=["tenant"], out_of_order_at_most=1).verdict == "pass"

    def test_other_cohorts_have_an_order_of_their_own(self) -> None:
        """What another tenant sent may be faster."""
        looks = listed({**ON_TIME, "a/3": 4.7})
        others = [replace(r, cohort="tenant=b") if r.wrote == "a/4" else r for r in SENT]
        assert once(looks, others, in_order=["tenant"]).verdict == "pass"

    def test_what_was_sent_before_the_answer_of_the_other_has_no_order(self) -> None:
        """Nobody promised one."""
        looks = listed({**ON_TIME, "a/3": 4.7})
        slow = [replace(r, ended=r.ended + 1.2) if r.wrote == "a/3" else r for r in SENT]
        assert once(looks, slow, in_order=["tenant"]).verdict == "pass"

    def test_first_listed_by_one_look_is_in_order_unless_it_was_the_first_for_long(self) -> None:
        """After an unreadable stretch nobody knows which came first."""
        looks = listed({**ON_TIME, "a/3": 4.5})
        assert once(looks, in_order=["tenant"]).verdict == "pass"
        dark = darkened(listed(ON_TIME), 5.7, 8.7)
        assert (once(dark).verdict, once(dark, in_order=["tenant"]).verdict) == ("pass", "unknown")

    def test_a_key_that_nobody_has_is_unknown(self) -> None:
        """There was nothing to be in order."""
        finding = once(listed(ON_TIME), in_order=["server"])
        assert (finding.verdict, finding.because) == (
            "unknown",
            "no acknowledged write came from a user who has a server",
        )


COURSES = st.fixed_dictionaries({entry: st.floats(n + 0.02, n + 30.0) for n, entry in enumerate(NAMES[:8])})
FEW = SENT[:8]
LIMITS: Mapping[str, Any] = {"in_order": ["tenant"]}


@given(COURSES, st.floats(1.0, 200.0), st.randoms())
def test_the_order_of_entries_in_a_look_means_nothing(course: dict[str, float], keeps: float, order: Any) -> None:
    """A reader may list them as it likes."""
    looks = listed(course, keeps=keeps)
    mixed = [replace(x, entries=tuple(order.sample(x.entries, len(x.entries)))) if x.entries else x for x in looks]
    assert once(looks, FEW, **LIMITS) == once(mixed, FEW, **LIMITS)


@given(COURSES, st.sets(st.sampled_from(NAMES[:8]), min_size=1), st.floats(0, 40), st.floats(0, 20))
def test_an_entry_that_never_comes_makes_nothing_better(
    course: dict[str, float], gone: set[str], start: float, length: float
) -> None:
    """What failed never passes without it, whatever could not be read."""
    looks = darkened(listed(course), start, start + length)
    less = [replace(x, entries=tuple(e for e in x.entries if e not in gone)) if x.entries else x for x in looks]
    before, after = once(looks, FEW, **LIMITS), once(less, FEW, **LIMITS)
    assert after.verdict != "pass"
    assert not (before.verdict == "unknown" and after.verdict == "pass")


@given(COURSES, st.floats(0, 40), st.floats(0, 40), st.floats(1.0, 200.0))
def test_to_look_away_never_turns_the_verdict(
    course: dict[str, float], start: float, length: float, keeps: float
) -> None:
    """Of what could be read less is known, and that is all: pass never becomes fail, nor fail pass."""
    looks = listed(course, keeps=keeps)
    seen, dark = once(looks, FEW, **LIMITS), once(darkened(looks, start, start + length), FEW, **LIMITS)
    assert dark.verdict in {seen.verdict, "unknown"}


@pytest.mark.parametrize("times", [2, 3])
def test_how_often_is_told(times: int) -> None:
    """Twice, or more."""
    looks = [*listed(ON_TIME), Look(INJECTED + 30, "news", "notices", (*NAMES, *["a/4"] * (times - 1)))]
    assert ("twice" if times == 2 else "up to 3 times") in once(looks).because
