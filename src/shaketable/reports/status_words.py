"""A trial in the sentences of a status page: each function as its users name it, alerts, what did not run, and gauges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shaketable.checks.functions import FAILED, Function, Spell
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration, show_share
from shaketable.reports.digest import one_line
from shaketable.reports.locks import Locks, sentence
from shaketable.reports.status import Alert, AlertList, Gauge, HostRun, alerts, first_effect, gauges, host_runs

_MOST_NAMED: Final = 4
_AT_ONCE: Final = 0.05
"""Seconds within which something comes with the fault, as people put it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence of the status page; `bad` where something was degraded, missing, late or a false alarm."""

    name: str
    text: str
    bad: bool
    mark: str


def lines(
    history: TrialHistory, scenario: Scenario, functions: Sequence[Function], locks: Sequence[Locks] = ()
) -> tuple[Line, ...]:
    """Tell a trial in sentences: functions, then alerts, what did not run, who blocked whom, and the gauges."""
    return (
        *(_line(one_line(f.name), function_words(f, history), bad=bool(f.spells)) for f in functions),
        *(_alert_line(found, history) for found in alerts(history, scenario)),
        *_container_lines(host_runs(history, scenario), history),
        *(line for found in locks for line in _lock_lines(found, history)),
        *(
            _gauge_line(gauge, history)
            for gauge in gauges(history, scenario)
            if any(v is not None for v in gauge.values)
        ),
    )


def _line(name: str, text: str, *, bad: bool, mark: str = "") -> Line:
    return Line(name, text, bad, mark or ("!" if bad else "✓"))


def function_words(function: Function, history: TrialHistory) -> str:
    """Say how a function fared: `degraded from 1.2 s to 14.8 s after the fault: 43 of 96 failed; recovered 4 s after heal`."""
    spells = function.spells
    if not spells:
        lost = f", though {_failed(function.failed, function.arrivals)}" if function.failed else ""
        compared = "" if function.baseline else "; before the fault it was not used enough to compare its speed"
        return f"fine throughout{lost}{compared}"
    return f"degraded {_period(spells, history)}: {spell_words(spells)}; {_recovery(spells[-1], history)}"


def spell_words(spells: Sequence[Spell]) -> str:
    """Say what a function did while it was degraded: `43 of 96 failed (45 %), the slowest took 5 s`."""
    failed = _failed(sum(s.failed for s in spells), sum(s.arrivals for s in spells))
    worst = show_duration(max(s.worst_latency for s in spells))
    return f"{failed}, the slowest took {worst}" if any(map(failing, spells)) else f"slow, up to {worst}; {failed}"


def failing(spell: Spell) -> bool:
    """Whether so many arrivals failed that this alone degraded the function; else it was late."""
    return spell.failed > FAILED * spell.arrivals


def _failed(failed: int, arrivals: int) -> str:
    share = f" ({show_share(round(failed / arrivals, 3))})" if failed and arrivals else ""
    return f"{f'{failed:,}' if failed else 'none'} of {arrivals:,} failed{share}"


def _after(history: TrialHistory) -> str:
    """Name what times count from."""
    fault = history.fault()
    if fault is None:
        return "the trial began"
    return "the fault" if len(history.faults) == 1 else one_line(fault.id)


def _period(spells: Sequence[Spell], history: TrialHistory) -> str:
    """Write when it was degraded: `from 1.2 s to 14.8 s after the fault`, or between which moments how often."""
    zero, what = first_effect(history), _after(history)
    start, end = spells[0].start - zero, spells[-1].end - zero
    times, first, second = "", "from", "to"
    if spells[1:]:
        total = sum(spell.end - spell.start for spell in spells)
        times, first, second = f"{len(spells)} times, {show_duration(total)} in all, ", "between", "and"
    if abs(start) < _AT_ONCE and not spells[1:]:
        return f"for {show_duration(end)} from {what} on"
    if start >= 0:
        return f"{times}{first} {show_duration(start)} {second} {show_duration(end)} after {what}"
    if end <= 0:
        return f"{times}{first} {show_duration(-start)} {second} {show_duration(-end)} before {what}"
    return f"{times}{first} {show_duration(-start)} before {what} {second} {show_duration(end)} after it"


def _recovery(last: Spell, history: TrialHistory) -> str:
    if last.end >= history.ended:
        return "had not recovered when the trial ended"
    if not history.faults:
        return "then recovered"
    if last.end <= first_effect(history):
        return "recovered before the fault"
    if last.end < min(fault.heal_began for fault in history.faults):
        return "recovered by itself, before heal"
    if last.end < history.healed:
        return "recovered during heal"
    return f"recovered {show_duration(last.end - history.healed)} after heal"


def _moment(at: float, history: TrialHistory) -> str:
    since, what = at - first_effect(history), _after(history)
    if abs(since) < _AT_ONCE:
        return f"with {what}" if history.faults else f"when {what}"
    return f"{show_duration(abs(since))} {'after' if since >= 0 else 'before'} {what}"


def _alert_line(found: AlertList, history: TrialHistory) -> Line:
    """Say which alerts were delivered when; that none was is a sentence too."""
    wanted = found.within is not None and bool(history.faults)
    in_time = any(
        alert.asked and start - first_effect(history) <= (found.within or 0.0) and not alert.early
        for alert in found.alerts
        for start, _ in alert.spans
    )
    told = [_alert_words(alert, history) for alert in found.alerts[:_MOST_NAMED]]
    if len(found.alerts) > _MOST_NAMED:
        told.append(f"and {len(found.alerts) - _MOST_NAMED} more")
    if wanted and found.alerts and not any(alert.asked for alert in found.alerts):
        told.append("none of them is the one that was asked for")
    bad = (wanted and not in_time) or any(alert.early for alert in found.alerts)
    return _line(found.list, "; ".join(told) or "none was delivered", bad=bad, mark="" if bad or not told else "◆")


def _alert_words(alert: Alert, history: TrialHistory) -> str:
    end = alert.spans[-1][1]
    ends = "still firing when the trial ended" if end >= history.ended else f"cleared {_moment(end, history)}"
    early = ", a false alarm" if alert.early else ""
    again = f", {len(alert.spans)} times in all" if alert.spans[1:] else ""
    return f"“{alert.text}” came {_moment(alert.spans[0][0], history)}{early}{again}, {ends}"


def _container_lines(runs: Sequence[HostRun], history: TrialHistory) -> Iterator[Line]:
    """Say for each host what was absent and until when; hosts on which all ran share one sentence."""
    for run in runs:
        if not run.absences:
            continue
        first, last = run.absences[0], run.absences[-1]
        absent = sorted({service for absence in run.absences for service in absence.services})
        what = _named(absent) if len(run.services) > 1 else "it"
        all_of = f"all {len(run.services)} containers" if 1 < len(absent) == len(run.services) else what
        begins = f"{all_of} went down {_moment(first.start, history)}"
        if last.end < history.ended:
            yield _line(run.host, f"{begins}; all ran again {_moment(last.end, history)}", bad=True)
            continue
        which = _named(last.services) if last.services != run.services else all_of
        still = f"{which} {'were' if last.services[1:] else 'was'} still down"
        yield _line(run.host, f"{begins}; {still} when the trial ended", bad=True)
    whole = [run for run in runs if not run.absences]
    if whole:
        count = sum(len(run.services) for run in whole)
        where = "the other hosts" if len(whole) < len(runs) else "every host"
        yield _line("containers", f"on {where} all {count} ran throughout", bad=False)


def _lock_lines(found: Locks, history: TrialHistory) -> Iterator[Line]:
    """Say who blocked others and since when, those that cost the most first; that nobody waited is a sentence too."""
    for one in found.blocking[:_MOST_NAMED]:
        began = f"beginning {_moment(one.chains[0].start, history)}"
        yield _line(one_line(found.holder), f"{sentence(one)}, {began}", bad=one.bad, mark="" if one.bad else "◆")
    more = len(found.blocking) - _MOST_NAMED + found.hidden
    if more > 0:
        longest = max([found.hidden_longest, *(one.longest for one in found.blocking[_MOST_NAMED:])])
        others = f"{more} more session{'s' if more > 1 else ''} blocked others, nobody for longer than {show_duration(longest)}"
        bad = any(one.bad for one in found.blocking[_MOST_NAMED:])
        yield _line(one_line(found.holder), others, bad=bad, mark="" if bad else "◆")
    if not found.blocking:
        yield _line(one_line(found.holder), "nobody was seen to wait for a lock", bad=False)


def _named(names: Sequence[str]) -> str:
    """Write `web`, `web and fetcher`, `web, fetcher, sender and 3 more`."""
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[: _MOST_NAMED - 1])} and {len(names) - _MOST_NAMED + 1} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def show_number(value: float) -> str:
    """Write a gauge's value: `1,204` or `0.25`."""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.3g}"


def _gauge_line(gauge: Gauge, history: TrialHistory) -> Line:
    """Say how high a number rose, and when it was back at what steady state asks, for good."""
    known = [(at, value) for at, value in zip(gauge.at, gauge.values, strict=True) if value is not None]
    at, highest = max(known, key=lambda pair: pair[1])
    if gauge.limit is None:
        return _line(gauge.name, f"at most {show_number(highest)}, {_moment(at, history)}", bad=False)
    if highest <= gauge.limit:
        return _line(gauge.name, f"never above {show_number(highest)}; {show_number(gauge.limit)} is asked", bad=False)
    peak = f"rose to {show_number(highest)}, {_moment(at, history)}"
    back = next((n for n in range(len(known), 0, -1) if known[n - 1][1] > gauge.limit), 0)
    if back == len(known):
        ended = f"still {show_number(known[-1][1])} when the trial ended"
    else:
        ended = f"back for good at {show_number(gauge.limit)} or less {_moment(known[back][0], history)}"
    return _line(gauge.name, f"{peak}; {ended}", bad=True)
