"""What a program falls back to in each cycle does not grow: the slope and its interval, and the claim."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, HEAL_BEGAN, INJECTED, copy_of, fault, scenario, trial

from shaketable.checks.expectations import evaluate
from shaketable.checks.leak import floors
from shaketable.checks.readings import Gauge, Reading
from shaketable.checks.slope import FEWEST, line
from shaketable.checks.statistics import student
from shaketable.model.claims import NoLeak
from shaketable.model.history import Look
from shaketable.model.result import Finding
from shaketable.model.scenario import Compression, Scenario
from shaketable.model.units import show_span

CYCLES = int(HEAL_BEGAN - INJECTED)
"""Of a second each."""


def seconds(values: Iterable[float]) -> list[tuple[float, float]]:
    """One reading a second."""
    return [(float(n), value) for n, value in enumerate(values)]


def told(lowest: Iterable[float | None], *, top: float = 0.3, holder: str = "queue") -> list[Look]:
    """A gauge that rises by `top` in the middle of each cycle of a second and falls back; None: unread for the cycle."""
    states: list[tuple[float, list[str] | None]] = []
    for n, low in enumerate(lowest):
        if low is None:
            states.append((float(n), None))
        else:
            states += [(float(n), [f"{low}"]), (n + 0.3, [f"{low + top}"]), (n + 0.7, [f"{low}"])]
    return copy_of(holder, "backlog", ["0.2"], *states)


def leak(*looks: list[Look], of: Scenario | None = None, **described: Any) -> Finding:
    """Nothing at all each second, unless told."""
    plain = {"kind": "no-leak", "id": "n", "gauge": "backlog", "at_most": 0, **described}
    history = trial(looks=[look for part in looks for look in part])
    return evaluate(NoLeak.model_validate(plain), history, of or scenario())


def noise(count: int, seed: int, *, rho: float = 0.0, size: float = 1.0) -> list[float]:
    """Normal noise whose neighbours have this correlation."""
    draws = random.Random(seed)
    value, found = draws.gauss(0, 1), []
    for _ in range(count):
        found.append(size * value)
        value = rho * value + math.sqrt(1 - rho * rho) * draws.gauss(0, 1)
    return found


class TestStudent:
    """The quantiles of Student's t."""

    @pytest.mark.parametrize(
        ("freedom", "expected"),
        [(1, 12.706205), (2, 4.302653), (3, 3.182446), (10, 2.228139), (28, 2.048407), (120, 1.979930)],
    )
    def test_the_table(self, freedom: float, expected: float) -> None:
        """As printed in every table, two-sided 95 %."""
        assert student(freedom) == pytest.approx(expected, abs=1e-6)
        assert student(10, 0.99) == pytest.approx(3.169273, abs=1e-6)

    @given(st.floats(0.1, 1000), st.floats(1.001, 10))
    def test_more_freedom_is_less_far(self, freedom: float, times: float) -> None:
        """Down to that of the normal distribution."""
        assert student(freedom) > student(freedom * times) > 1.95996

    def test_the_extremes(self) -> None:
        """Nothing overflows, and no freedom at all is an error."""
        assert student(1e7) == pytest.approx(1.959964, abs=1e-5)
        assert student(1e-4) == math.inf
        with pytest.raises(ValueError, match="degrees of freedom"):
            student(0)


class TestLine:
    """The slope and its interval."""

    @pytest.mark.parametrize("count", [5, 8, 15, 30])
    def test_on_a_constant_with_noise_the_interval_has_the_truth_in_it(self, count: int) -> None:
        """In 93 % of 1500 series at least (the nominal 95 % less three standard errors), and not in nearly all."""
        found = [line(seconds(noise(count, seed))) for seed in range(1500)]
        covered = sum(f.low <= 0 <= f.high for f in found) / len(found)
        assert 0.93 <= covered <= 0.99

    @pytest.mark.parametrize(
        ("count", "rho", "least"), [(15, 0.3, 0.92), (30, 0.3, 0.92), (30, 0.6, 0.92), (60, 0.8, 0.93)]
    )
    def test_readings_that_hang_together_make_it_wider(self, count: int, rho: float, least: float) -> None:
        """A plain least squares interval has the truth in it in 50 % to 88 % of these."""
        found = [line(seconds(noise(count, seed, rho=rho))) for seed in range(1500)]
        assert sum(f.low <= 0 <= f.high for f in found) / len(found) >= least

    def test_a_slope_is_found_in_noise(self) -> None:
        """Twice as large as three standard errors over the whole: never missed, and the value is near."""
        for seed in range(200):
            found = line(seconds(0.1 * n + y for n, y in enumerate(noise(30, seed, size=0.4))))
            assert found.low > 0
            assert found.slope == pytest.approx(0.1, abs=0.05)

    @given(
        st.lists(st.floats(-100, 100), min_size=FEWEST, max_size=30),
        st.floats(-10, 10),
        st.floats(-10, 10),
        st.floats(0.1, 10),
    )
    def test_another_unit_or_a_tilt_changes_what_it_must(
        self, ys: list[float], shift: float, tilt: float, by: float
    ) -> None:
        """What is added to all does not matter, a tilt is added to the slope, a factor multiplies the interval."""
        plain, moved = line(seconds(ys)), line(seconds(by * y + shift + tilt * n for n, y in enumerate(ys)))
        assert moved.slope == pytest.approx(by * plain.slope + tilt, abs=1e-6)
        assert moved.low <= moved.slope <= moved.high
        if math.isfinite(plain.high) and plain.high - plain.low > 1e-3 and math.isfinite(moved.high):
            assert moved.high - moved.low == pytest.approx(by * (plain.high - plain.low), rel=1e-3, abs=1e-6)

    def test_on_one_line_there_is_no_doubt(self) -> None:
        """Not even by rounding."""
        found = line(seconds(0.1 + 0.3 * n for n in range(7)))
        assert (found.low, found.slope, found.high) == (found.slope, pytest.approx(0.3), found.slope)
        assert found.end == pytest.approx(1.9)
        assert line(seconds([0.2] * 5)).slope == pytest.approx(0)

    def test_one_long_swing_says_nothing(self) -> None:
        """Half a wave is as good as two readings."""
        found = line(seconds(math.sin(math.pi * n / 12) for n in range(12)))
        assert (found.low, found.high) == (-math.inf, math.inf)

    def test_too_few(self) -> None:
        """Fewer than five are refused."""
        with pytest.raises(ValueError, match="4 readings"):
            line(seconds([1, 2, 3, 4]))


class TestFloors:
    """The lowest reading of each cycle."""

    def test_whole_cycles_only(self) -> None:
        """What is left over at the end may not have fallen back yet."""
        gauge = Gauge("h", "g", (Reading(0, 1.5, 3.0), Reading(1.5, 2.2, 1.0), Reading(2.2, 9, 5.0)))
        assert list(floors(gauge, 0.0, 3.9, 1.0)) == [(0.5, 3.0), (1.5, 1.0), (2.5, 1.0)]

    def test_a_cycle_that_was_read_for_less_than_half_is_left_out(self) -> None:
        """It may have fallen back while nobody could see."""
        gauge = Gauge("h", "g", (Reading(0, 1.4, 3.0), Reading(1.4, 2.5, None), Reading(2.5, 4, 2.0)))
        assert list(floors(gauge, 0.0, 4.0, 1.0)) == [(0.5, 3.0), (2.5, 2.0), (3.5, 2.0)]


class TestClaim:
    """What fails, what passes, and what nobody knows."""

    def test_a_steady_leak_fails_long_before_the_limit(self) -> None:
        """With the rate, its interval and when the limit would be reached."""
        finding = leak(told(0.2 + 0.01 * n for n in range(CYCLES)))
        assert (finding.verdict, finding.limit, finding.unit) == ("fail", 0.0, "backlog/s")
        assert finding.value == pytest.approx(0.01)
        assert finding.because == (
            "backlog of queue grew by 0.01 each second (95 % interval 0.01 to 0.01, limit 0) over 40 cycles of 1 s"
            " after the kill: at this rate 1 is reached in 41 s"
        )
        (mark,) = finding.evidence
        assert (mark.where, mark.text, mark.start, mark.end) == ("queue", "backlog by +0.01 /s", 0.5, 39.5)

    def test_compressed_time_is_told_as_such(self) -> None:
        """In both: the trial's own time, and what it stands for."""
        fast = scenario().model_copy(update={"compression": Compression(times=600.0, because="leaks more")})
        finding = leak(told(0.2 + 0.01 * n for n in range(CYCLES)), of=fast)
        assert finding.because.endswith("1 is reached in 41 s; at 600 times real time that is 6.83 h")

    def test_as_much_as_is_allowed_passes(self) -> None:
        """The limit is a rate."""
        looks = told(0.2 + 0.01 * n for n in range(CYCLES))
        assert leak(looks, at_most=0.011).verdict == "pass"
        assert leak(looks, at_most=0.009).verdict == "fail"

    def test_noise_alone_passes(self) -> None:
        """A program that does not leak is restless, and its interval reaches above 0."""
        passed = 0
        for seed in range(60):
            finding = leak(told(0.3 + y for y in noise(CYCLES, seed, size=0.01)))
            passed += finding.verdict == "pass"
            assert finding.verdict != "unknown"
        assert passed >= 55, "of 60, each a leak by chance with a probability of 2.5 %"

    def test_what_it_uses_within_a_cycle_does_not_matter(self) -> None:
        """Only what it falls back to."""
        looks = told([0.2] * CYCLES, top=0.7)
        assert (leak(looks).verdict, leak(looks).value) == ("pass", 0.0)

    def test_restless_readings_that_could_hide_a_leak_that_matters_are_unknown(self) -> None:
        """If a leak as fast as the interval allows would fill it in the time that the trial took."""
        unknown = leak(told([*(0.5 + y for y in noise(8, 4, size=0.1)), *[None] * (CYCLES - 8)]))
        assert unknown.verdict == "unknown"
        assert "so that a leak that matters is not excluded" in unknown.because
        assert leak(told(0.5 + y for y in noise(CYCLES, 3, size=0.3)), full=100.0).verdict == "pass"

    def test_of_fewer_than_five_cycles_nobody_knows(self) -> None:
        """However straight they rise."""
        finding = leak(told([0.2, 0.3, 0.4, 0.5, *[None] * (CYCLES - 4)]))
        assert finding.verdict == "unknown"
        assert "only 4 cycles of 1 s, of 5 at least" in finding.because
        assert leak(told([0.2, 0.3, 0.4, 0.5, 0.6, *[None] * (CYCLES - 5)])).verdict == "fail"
        assert leak([]).verdict == "unknown"

    def test_restarts_are_a_part_of_life(self) -> None:
        """A program that is recycled every eight cycles grows in between, and not in the long run."""
        recycled = [0.2 + 0.01 * (n % 8) for n in range(CYCLES)]
        assert leak(told(recycled)).verdict == "pass"
        gone = [None if n % 8 == 7 else low for n, low in enumerate(recycled)]
        assert leak(told(gone)).verdict == "pass"
        less = [0.2 + 0.01 * (n % 8) + 0.01 * n for n in range(CYCLES)]
        assert leak(told(less)).verdict == "fail", "each life begins higher"

    def test_cycles_that_could_not_be_read_leave_a_gap_and_do_not_shift_the_rest(self) -> None:
        """The slope is over time, not over readings."""
        holes = [None if 10 <= n < 25 else 0.2 + 0.01 * n for n in range(CYCLES)]
        assert leak(told(holes)).value == pytest.approx(0.01)

    def test_a_step_at_once_is_no_leak(self) -> None:
        """What the new release needs from its beginning on."""
        warm = [0.2, *(0.4 + y for y in noise(CYCLES - 1, 5, size=0.002))]
        assert leak(told(warm)).verdict == "pass"

    def test_the_limit_that_was_reached_already(self) -> None:
        """Is said so."""
        assert leak(told(0.2 + 0.03 * n for n in range(CYCLES))).because.endswith("at this rate 1 was reached already")

    def test_the_worst_holder_is_named(self) -> None:
        """One that leaks fails."""
        finding = leak(told([0.2] * CYCLES), told((0.2 + 0.01 * n for n in range(CYCLES)), holder="other"))
        assert finding.verdict == "fail"
        assert finding.because.startswith("backlog of other grew")

    def test_without_heal_nobody_knows(self) -> None:
        """There is no end to look until."""
        history = trial(looks=told([0.2] * CYCLES), faults=(replace(fault(), heal_began=BEGAN),))
        claim = NoLeak(kind="no-leak", id="n", gauge="backlog", at_most=0)
        assert evaluate(claim, history, scenario()).verdict == "unknown"

    @given(st.lists(st.floats(0.0, 0.9), min_size=CYCLES, max_size=CYCLES), st.floats(0, 0.05), st.floats(0, 0.05))
    def test_more_that_is_allowed_never_fails_what_passed(self, lowest: list[float], one: float, two: float) -> None:
        """And what leaks by less than is allowed is no failure."""
        looks = told(lowest)
        strict, mild = leak(looks, at_most=min(one, two)), leak(looks, at_most=max(one, two))
        assert not (strict.verdict == "pass" and mild.verdict != "pass")
        assert not (mild.verdict == "fail" and strict.verdict != "fail")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.5, "500 ms"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (57000, "15.8 h"), (172800, "2 d")],
)
def test_long_times_have_larger_units(seconds: float, words: str) -> None:
    """From two of the next unit on."""
    assert show_span(seconds) == words
