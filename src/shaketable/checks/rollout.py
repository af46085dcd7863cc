"""A roll-out's gates: when one trips, by the arrivals alone, and what the soak times made of it.

The live trial asks the same functions as the claims do, so a stored record says again why a roll-out was stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shaketable.checks.arrivals import chosen
from shaketable.checks.findings import finding, names
from shaketable.checks.slo import burn_of, is_good
from shaketable.model.claims import RolloutStops, SoakCatches
from shaketable.model.faults import Rollout
from shaketable.model.history import FaultRecord, Request, TrialHistory, Tripped
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


@dataclass(frozen=True, slots=True)
class Gated:
    """One stage as its gate saw it. Times are absolute seconds."""

    stage: str
    """As a fault: `storage-canary`."""
    since: float
    """When the stage took effect."""
    until: float
    """Up to when its arrivals were judged."""
    arrivals: int
    most: int
    """The most arrivals that any window had; with fewer than the gate asks for nothing could be judged."""
    tripped: Tripped | None


def gated(rollout: Rollout, name: str, since: float, until: float, requests: Iterable[Request]) -> Gated:
    """What the gate of one stage saw of the arrivals that were due after `since` and had ended by `until`.

    It trips at the end of the first arrival with which, among those that ended in the window up to it, enough are there
    and too many are bad. An arrival that hangs is known when it ends, as anybody who counts answers would know it.
    """
    gate, stage = rollout.gate, rollout.stages[rollout.names.index(name)]
    cohort = {gate.by: stage.id} if gate.by is not None else {}
    mine = chosen([r for r in requests if r.scheduled >= since and r.ended <= until], gate.requests, cohort)
    rows = [(r.ended, not is_good(r, gate.at_most)) for r in sorted(mine, key=lambda r: r.ended)]
    bad = first = most = 0
    tripped = None
    for number, (ended, is_bad) in enumerate(rows):
        bad += is_bad
        while rows[first][0] <= ended - gate.window:
            bad -= rows[first][1]
            first += 1
        count = number + 1 - first
        most = max(most, count)
        if tripped is None and count >= gate.arrivals and burn_of(bad, count, gate.objective) > gate.burn + 1e-9:
            tripped = Tripped(name, ended, bad, count)
    return Gated(name, since, until, len(rows), most, tripped)


def first_trip(
    rollout: Rollout, soak: float, effects: Mapping[str, float], heard: float, requests: Iterable[Request]
) -> Tripped | None:
    """The gate that stops a roll-out whose stages took effect then, as far as arrivals had been heard of.

    A gate looks from its stage's effect until the last stage of all has soaked.
    """
    rows = list(requests)
    until = min(heard, complete(rollout, soak, effects))
    found = [gated(rollout, name, effects[name], until, rows).tripped for name in rollout.names if name in effects]
    return min((trip for trip in found if trip), key=lambda trip: trip.at, default=None)


def complete(rollout: Rollout, soak: float, effects: Mapping[str, float]) -> float:
    """When the last stage has soaked; infinity while not all have begun."""
    return effects.get(rollout.names[-1], math.inf) + soak


def stages(history: TrialHistory, rollout: Rollout) -> list[FaultRecord]:
    """The stages that were reached, in order."""
    return [fault for name in rollout.names if (fault := history.fault(name)) is not None]


def never_reached(history: TrialHistory, scenario: Scenario) -> frozenset[str]:
    """Faults that did not begin because a gate stopped the roll-out: its later stages, and what waits for one of them."""
    if scenario.rollout is None or history.tripped is None:
        return frozenset()
    begun = {fault.id for fault in history.faults}
    waits = {f.id: f.when.effective or f.when.healed for f in scenario.faults if f.when and f.id not in begun}
    return with_followers(set(scenario.rollout.names) - begun, waits)


def with_followers(never: Iterable[str], waits: Mapping[str, str | None]) -> frozenset[str]:
    """What never begins, and whatever waits for one of that (`waits`: fault to the one it waits for), and so on."""
    found = set(never)
    while more := {name for name, marker in waits.items() if marker in found} - found:
        found |= more
    return frozenset(found)


def seen_by_gates(history: TrialHistory, rollout: Rollout) -> list[Gated]:
    """Every stage that was reached, from its effect until its undo began, whoever was looking."""
    return [
        gated(rollout, f.id, f.injected, f.heal_began if f.healed > 0 else history.ended, history.requests)
        for f in stages(history, rollout)
    ]


def first_known(history: TrialHistory, scenario: Scenario) -> Tripped | None:
    """When a gate of the roll-out first could have known, whoever was looking; None if none could, or there is none."""
    gates = seen_by_gates(history, scenario.rollout) if scenario.rollout is not None else []
    return min((g.tripped for g in gates if g.tripped), key=lambda trip: trip.at, default=None)


def rollout_stops(e: RolloutStops, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No more than so many stages saw what was bad, and it was undone soon after a gate could have known."""
    rollout, limit = scenario.rollout, float(e.stages_at_most)
    if rollout is None:
        return finding(e, "unknown", "there is no roll-out", None, limit, unit="stages")
    reached, gates = stages(history, rollout), seen_by_gates(history, rollout)
    known = first_known(history, scenario)
    if not reached or known is None:
        why = "no stage was reached" if not reached else f"there was nothing to stop: {_calm(rollout, gates)}"
        return finding(e, "unknown", why, float(len(reached)), limit, unit="stages")
    healed = max(f.healed for f in reached)
    took = healed - known.at
    saw = f"{len(reached)} of {len(rollout.stages)} stages saw it (at most {e.stages_at_most} asked)"
    words, over = _known(rollout, gates, known), complete(rollout, scenario.soak(history.variant), _effects(reached))
    if known.at > over:
        words += f", {show(known.at - over)} after the roll-out was complete, when no gate was looking"
    back = f"all were undone {show(took)} later (limit {show(e.rolled_back_within)})"
    evidence = [
        Evidence(
            where=known.stage, start=known.at - fault.injected, end=healed - fault.injected, text="known, and there"
        )
    ]
    if len(reached) > e.stages_at_most:
        because = f"{saw}: {words}; {back}"
        return finding(e, "fail", because, float(len(reached)), limit, unit="stages", evidence=evidence)
    if took > e.rolled_back_within:
        return finding(e, "fail", f"{words}, and {back}; {saw}", took, e.rolled_back_within, evidence=evidence)
    by = f"the gate stopped it at {history.tripped.stage}; " if history.tripped else ""
    return finding(e, "pass", f"{by}{saw}: {words}; {back}", float(len(reached)), limit, unit="stages")


def soak_catches(e: SoakCatches, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """The shortest soak of the first stage after which its gate would have tripped is no longer than the one used."""
    rollout, soak = scenario.rollout, scenario.soak(history.variant)
    if rollout is None:
        return finding(e, "unknown", "there is no roll-out")
    gates = seen_by_gates(history, rollout)
    if not gates or gates[0].stage != rollout.names[0]:
        return finding(e, "unknown", f"{rollout.names[0]} was not injected", None, soak)
    first = gates[0]
    elsewhere = first_known(history, scenario)
    if first.tripped is not None:
        shortest = first.tripped.at - first.since
        because = f"the shortest soak that catches it is {show(shortest)}, this one was {show(soak)}"
        words = f"{because}: {_known(rollout, gates, first.tripped)}"
        mark = Evidence(
            where=first.stage,
            start=first.since - fault.injected,
            end=first.tripped.at - fault.injected,
            text="the shortest soak that catches it",
        )
        return finding(e, "pass" if shortest <= soak else "fail", words, shortest, soak, evidence=[mark])
    if elsewhere is not None:
        looked = f"{first.stage} was looked at for {show(first.until - first.since)} and its gate saw nothing wrong"
        return finding(e, "unknown", f"{looked}, but {_known(rollout, gates, elsewhere)}", None, soak)
    if first.most < rollout.gate.arrivals:
        return finding(e, "unknown", _calm(rollout, gates[:1]), None, soak)
    return finding(e, "pass", f"nothing was ever wrong: {_calm(rollout, gates)}", None, soak)


def _effects(reached: Iterable[FaultRecord]) -> Mapping[str, float]:
    return {fault.id: fault.injected for fault in reached}


def _known(rollout: Rollout, gates: Iterable[Gated], trip: Tripped) -> str:
    """`7 of 12 arrivals within 2 s were bad for storage-canary 6.1 s after its effect (burn 58, limit 10)`."""
    since = next(g.since for g in gates if g.stage == trip.stage)
    burn = f"burn {burn_of(trip.bad, trip.arrivals, rollout.gate.objective):.3g}, limit {rollout.gate.burn:g}"
    window = f"{trip.bad} of {trip.arrivals} arrivals within {show(rollout.gate.window)} were bad ({burn})"
    return f"{show(trip.at - since)} after {trip.stage} took effect {window}"


def _calm(rollout: Rollout, gates: Iterable[Gated]) -> str:
    """What gates saw that did not trip."""
    gate, seen = rollout.gate, list(gates)
    if blind := [g for g in seen if g.most < gate.arrivals]:
        least = f"the {gate.arrivals} arrivals within {show(gate.window)} that the gate takes"
        return f"{names([g.stage for g in blind])} never had {least} (the most were {max(g.most for g in blind)})"
    total = sum(g.arrivals for g in seen)
    return f"no gate tripped in {total} arrivals of {len(seen)} of {len(rollout.stages)} stages"
