"""Whether what a program falls back to, cycle after cycle, grows."""

from __future__ import annotations

import math
from collections.abc import Iterator

from shaketable.checks.findings import finding
from shaketable.checks.readings import Gauge, gauges
from shaketable.checks.slope import FEWEST, Line, line
from shaketable.checks.told import Told, judged
from shaketable.model.claims import NoLeak
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show
from shaketable.model.units import show_span

_READ = 0.5
"""Which share of a cycle must have been read: else what it falls back to may have gone unseen."""


def no_leak(e: NoLeak, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """The slope through the lowest reading of each cycle, from the fault's effect until its heal, with its 95 % interval.

    It fails if the whole interval is above `at_most`: then chance is no explanation. It passes if the whole interval is
    at most that. In between, which is where a program that does not leak is with `at_most: 0`, growth is not proven, and
    the question is whether the readings would have shown a leak that matters: it passes unless even a leak as fast as
    the interval's upper end would reach `full`, from where the gauge is in the end, in no more time than the trial took.
    If it would, or of fewer than 5 cycles, it is unknown.

    A restart is a part of life. While the gauge could not be read there is no reading, and where it falls to afterwards
    counts as any other: a program that is restarted often enough does not grow in the long run.
    """
    unit = f"{e.gauge}/s"
    if fault.heal_began <= fault.injected:
        return finding(e, "unknown", f"the {fault.kind} was never healed", None, e.at_most, unit=unit)
    told = [_leaks(e, gauge, history, fault, scenario) for gauge in gauges(history, scenario, e.gauge)]
    return judged(e, told, fault, e.at_most, unit)


def floors(gauge: Gauge, start: float, end: float, cycle: float) -> Iterator[tuple[float, float]]:
    """(middle, lowest value) of every whole cycle of so many seconds that was read for half of its time at least."""
    for number in range(int((end - start) / cycle + 1e-9)):
        begin = start + number * cycle
        read = [(r.end - r.start, r.value) for r in gauge.within(begin, begin + cycle) if r.value is not None]
        if read and math.fsum(seconds for seconds, _ in read) >= _READ * cycle - 1e-9:
            yield begin + cycle / 2, min(value for _, value in read)


def _leaks(e: NoLeak, gauge: Gauge, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Told:
    lowest = list(floors(gauge, fault.injected, fault.heal_began, e.cycle))
    if len(lowest) < FEWEST:
        cycles = f"only {len(lowest)} cycles of {show(e.cycle)}, of {FEWEST} at least"
        return Told(gauge, 0.0, "", unseen=f"{gauge} could be read in {cycles}, between the {fault.kind} and its heal")
    found, length = line(lowest), history.ended - history.began
    words = f"{gauge} {_rate(found, e)} over {len(lowest)} cycles of {show(e.cycle)} after the {fault.kind}"
    spans = ((lowest[0][0], lowest[-1][0], f"{gauge.name} by {found.slope:+.3g} /s"),)
    if found.low > e.at_most:
        told = _reached(e, found, found.slope, scenario)
        return Told(gauge, found.slope, f"{words}: at this rate {told}", wrong=True, spans=spans)
    if found.high <= e.at_most:
        return Told(gauge, found.slope, words, spans=spans)
    unseen = ""
    worst = f"at {found.high:.3g} each second {_reached(e, found, found.high, scenario)}"
    if math.isinf(found.high):
        unseen = f"{words}: each hangs together with the one before, so they say nothing of the long run"
    elif _until_full(e, found, found.high) <= length:
        unseen = f"{words}: {worst}, and the trial took {show(length)}, so that a leak that matters is not excluded"
    return Told(gauge, found.slope, f"{words}: even {worst}", unseen=unseen, spans=spans)


def _rate(found: Line, e: NoLeak) -> str:
    """Say how fast it grew: `grew by 0.0105 each second (95 % interval 0.0098 to 0.0112, limit 0)`."""
    how = "fell" if found.slope < 0 else "grew"
    interval = f"95 % interval {found.low:.3g} to {found.high:.3g}, limit {e.at_most:g}"
    return f"{how} by {abs(found.slope):.3g} each second ({interval})"


def _until_full(e: NoLeak, found: Line, rate: float) -> float:
    """Seconds until the limit is reached at a rate, from where the line ends; 0 if it was reached already."""
    return max(0.0, e.full - found.end) / rate if rate > 0 else math.inf


def _reached(e: NoLeak, found: Line, rate: float, scenario: Scenario) -> str:
    """Say when the limit is reached: `1 is reached in 95 s; at 600 times real time that is 15.8 h`."""
    seconds = _until_full(e, found, rate)
    told = f"{e.full:g} was reached already" if seconds == 0 else f"{e.full:g} is reached in {show_span(seconds)}"
    if scenario.compression is None or not 0 < seconds < math.inf:
        return told
    times = scenario.compression.times
    return f"{told}; at {times:g} times real time that is {show_span(seconds * times)}"
