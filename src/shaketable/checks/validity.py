"""What makes a trial prove nothing. An invalid trial is never a pass, and never a failure of the system either."""

from __future__ import annotations

from itertools import pairwise

from shaketable.checks.statistics import poisson_at_most
from shaketable.model.history import TrialHistory
from shaketable.model.result import Finding, Watch
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

_CHANCE = 1e-6
"""How improbable so few arrivals must be before the load counts as too little."""
_PERIOD = 0.2
"""Seconds from beat to beat of an observer; each speaks of the time since the one before."""
_SLACK = 0.05
"""By how much two clocks that were compared may differ, seconds."""
_BEATS = 1.0
"""A load that is silent for longer than this, seconds, is not at work."""


def watches(history: TrialHistory, scenario: Scenario) -> tuple[Watch, ...]:
    """How closely each holder was watched: number of looks, and the largest gap between two, silence at the end included."""
    found = []
    for holder in scenario.observers.holders:
        beats = [b for b in history.look_beats if b.holder == holder]
        gap = max((b.max_gap for b in beats), default=history.ended - history.began)
        moments = [*(b.at for b in beats), max([history.ended, *(b.at for b in beats)])]
        silence = max((later - earlier for earlier, later in pairwise(moments)), default=0.0)
        if silence - _PERIOD > scenario.observers.max_gap:  # beats are missing: nobody vouches for that time
            gap = max(gap, silence)
        found.append(Watch(holder=holder, looks=sum(b.looks for b in beats), max_gap_s=round(gap, 6)))
    return tuple(found)


def invalid_because(history: TrialHistory, scenario: Scenario, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Every reason, each a sentence; empty for a valid trial."""
    reasons = []
    if history.broke:
        reasons.append(history.broke)
    if history.steady is None and not history.broke:
        reasons.append(
            f"the topology was not steady within {show(scenario.steady.within)}, so a fault would prove nothing"
        )
    if not history.faults and history.steady is not None and not history.broke:
        reasons.append("no fault was injected")
    for fault in history.faults:
        if not fault.effective:
            reasons.append(f"{fault.kind} on {', '.join(fault.targets)} was not witnessed: {fault.witness.seen}")
        if not fault.clean:
            trouble = f": {'; '.join(fault.notes)}" if fault.notes else ""
            reasons.append(f"{fault.kind} on {', '.join(fault.targets)} was not clean after heal{trouble}")
    if history.faults:
        reasons += _load(history, scenario)
        limit = scenario.observers.max_gap
        reasons += [
            f"{w.holder} was not looked at for {show(w.max_gap_s)} (limit {show(limit)})"
            for w in watches(history, scenario)
            if w.max_gap_s > limit + (scenario.observers.holders[w.holder].pace or 0)
        ]
        if all(fault.effective for fault in history.faults):
            reasons += [f"{f.id}: {f.because}" for f in findings if f.verdict == "unknown"]
    return tuple(reasons + _clocks(history))


def _clocks(history: TrialHistory) -> list[str]:
    """Times that cannot be: two clocks that disagree would shift every claim."""
    lives: list[list[tuple[str, float | None]]] = []
    for fault in history.faults:
        life = [(f"{fault.id} was sent", fault.sent), (f"{fault.id} took effect", fault.injected)]
        if fault.healed > 0:
            life += [
                (f"heal of {fault.id} began", fault.heal_began),
                (f"heal of {fault.id} was finished", fault.healed),
            ]
        lives.append([*life])
    return list(dict.fromkeys(words for life in lives or [[]] for words in _out_of_order(history, life)))


def _out_of_order(history: TrialHistory, life: list[tuple[str, float | None]]) -> list[str]:
    order = [
        ("the trial began", history.began),
        ("it was steady", history.steady),
        *life,
        ("the trial ended", history.ended),
    ]
    known = [(what, at) for what, at in order if at is not None]
    return [
        f"the clocks disagree: {later} {show(first - second)} before {earlier}"
        for (earlier, first), (later, second) in pairwise(known)
        if second < first - _SLACK
    ]


def _load(history: TrialHistory, scenario: Scenario) -> list[str]:
    """Whether the load that was asked for was there, all the time."""
    load, beats = scenario.load, history.load_beats
    if not beats:
        return ["the load was never heard of"]
    reasons = []
    silence = max(
        b - a
        for a, b in zip([history.began, *(x.at for x in beats)], [*(x.at for x in beats), history.ended], strict=True)
    )
    if silence > _BEATS:
        reasons.append(f"the load was silent for {show(silence)}")
    planned, missed = sum(b.planned for b in beats), sum(b.not_started for b in beats)
    if planned and missed / planned > load.max_not_started:
        reasons.append(f"{missed} of {planned} arrivals could not be started (limit {load.max_not_started:.3g})")
    expected = load.rate * (history.ended - history.began)
    if poisson_at_most(len(history.requests), 0.9 * expected) < _CHANCE:
        reasons.append(f"only {len(history.requests)} arrivals of about {expected:.0f} were recorded")
    return reasons
