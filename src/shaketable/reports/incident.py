"""A trial as an incident is told on a status page: its phases, whom it affected and whom not, from the record alone.

The phases, each defined by the record:
- *investigating*: from the first sign on. A sign is a function that was degraded, for all or for one cohort, an alert, a
  gauge above the number of a claim (else of steady state), an entry that left a list or came to one, a wait for a lock
  that was too long, a process ended by force, a limit that was reached, a start, or a gate that tripped.
- *identified*: from the first sign on that shows a target of a fault before its undo. If none did, nobody could have
  told from what was observed.
- *monitoring*: from when every fault was undone, and there had been a sign.
- *resolved*: from when on all that has to be well is well for good: functions, gauges, the lists of steady state, waits
  for locks, and the steady state itself after the undo.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from shaketable.checks.functions import Function, functions, functions_for
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.reports.incident_signs import Cause, Sign, causes, signs
from shaketable.reports.status_words import spell_words

PhaseName = Literal["investigating", "identified", "monitoring", "resolved"]


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase; it lasts until the next one that has a moment."""

    name: PhaseName
    at: float | None
    """Absolute seconds; None for what never came: not identified, not undone, or not resolved."""
    signs: tuple[Sign, ...] = ()
    """Those that began in it, in order; of `resolved`, what was not well when the record ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """Who of a function's users fared otherwise than others: by one key of their cohorts."""

    key: str
    degraded: tuple[tuple[str, Function], ...]
    """By value; only spells since the fault are kept."""
    fine: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Felt:
    """One function since the fault: `whole` is that of all users, with the spells since the fault."""

    whole: Function
    arrivals: int
    failed: int
    """Of the arrivals that were due since the fault."""
    parts: tuple[Part, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether it was degraded for anybody."""
        return bool(self.whole.spells or self.parts)


@dataclass(frozen=True, slots=True)
class Incident:
    """What a trial comes to as an incident."""

    zero: float
    """What times count from: the first fault's effect, or the begin of a trial without one."""
    causes: tuple[Cause, ...]
    phases: tuple[Phase, ...]
    """All four in order; none where there was no sign at all."""
    felt: tuple[Felt, ...]
    """Every function that anybody asked for since the fault."""

    def phase(self, name: PhaseName) -> Phase | None:
        """Find a phase; None without any sign."""
        return next((phase for phase in self.phases if phase.name == name), None)


def incident(history: TrialHistory, scenario: Scenario) -> Incident:
    """Tell a trial as an incident. A trial that broke off is told up to its end."""
    of = causes(history)
    since = min((cause.sent for cause in of), default=history.began)
    felt = _felt(history, since)
    seen = [*_function_signs(felt, since), *signs(history, scenario, of)]
    seen.sort(key=lambda sign: (sign.start, not sign.names, bool(sign.by)))
    zero = min((cause.injected for cause in of), default=history.began)
    return Incident(zero, of, _phases(history, of, seen), felt)


def _phases(history: TrialHistory, of: Sequence[Cause], seen: Sequence[Sign]) -> tuple[Phase, ...]:
    if not seen or not of:
        return ()
    first = seen[0].start
    named = min((sign.start for sign in seen if sign.names), default=None)
    healed = max(cause.healed for cause in of)
    undone = None if math.isinf(healed) else max(first, healed)
    unwell = [sign for sign in seen if sign.unwell]
    wrong = tuple(sign for sign in unwell if sign.end >= history.ended)
    resolved = None
    if not wrong and undone is not None and history.recovered is not None:
        resolved = max([undone, history.recovered, *(sign.end for sign in unwell)])
    starts: dict[PhaseName, float | None] = {
        "investigating": first,
        "identified": named,
        "monitoring": undone,
        "resolved": resolved,
    }
    return tuple(
        Phase(name, at, wrong if name == "resolved" else _within(seen, at, _next(name, starts)))
        for name, at in starts.items()
    )


def _next(name: PhaseName, starts: Mapping[PhaseName, float | None]) -> float:
    """When the phase after this one began."""
    later = list(starts)[list(starts).index(name) + 1 :]
    return next((at for other in later if other != "resolved" and (at := starts[other]) is not None), math.inf)


def _within(seen: Iterable[Sign], start: float | None, end: float) -> tuple[Sign, ...]:
    return () if start is None else tuple(sign for sign in seen if start <= sign.start < end)


def _felt(history: TrialHistory, since: float) -> tuple[Felt, ...]:
    """Gather how each function fared since a moment, and for whom otherwise than for the others."""
    keys = sorted({key for request in history.requests for key in request.labels})
    cohorts = {key: {v: _since(fs, since) for v, fs in functions_for(history, key).items()} for key in keys}
    found = []
    for function in _since(functions(history), since).values():
        mine = [r for r in history.requests if r.name == function.name and r.scheduled >= since]
        by_key = {
            key: {value: fs[function.name] for value, fs in values.items() if function.name in fs}
            for key, values in cohorts.items()
        }
        parts = tuple(_part(key, by_key[key]) for key in _telling(history, function.name, by_key))
        if mine or function.spells:
            found.append(Felt(function, len(mine), sum(not r.ok for r in mine), parts))
    return tuple(found)


def _since(found: Iterable[Function], since: float) -> dict[str, Function]:
    """Keep the spells that lasted beyond a moment, from then on, by the function's name."""
    kept = {}
    for function in found:
        spells = tuple(replace(s, start=max(s.start, since)) for s in function.spells if s.end > since)
        kept[function.name] = replace(function, spells=spells)
    return kept


def _part(key: str, values: Mapping[str, Function]) -> Part:
    degraded = tuple((value, function) for value, function in values.items() if function.spells)
    return Part(key, degraded, tuple(value for value, function in values.items() if not function.spells))


def _telling(history: TrialHistory, name: str, by_key: Mapping[str, Mapping[str, Function]]) -> list[str]:
    """Choose the keys that tell who was affected from who was not.

    Of a key that divides another's users further (the tenants of a server), the coarser one is told if that says it
    all: every tenant of a server fared alike. Else the finer one is.
    """
    bad = {key: {v: bool(f.spells) for v, f in values.items()} for key, values in by_key.items()}
    mixed = [key for key, values in bad.items() if any(values.values()) and not all(values.values())]
    rows = {tuple(sorted(r.labels.items())) for r in history.requests if r.name == name}
    labels = [dict(row) for row in rows]
    left_out = set()
    for coarse in sorted(mixed, key=lambda key: (len(bad[key]), key)):
        for fine in mixed:
            inside: dict[str, set[str | None]] = {}
            for row in labels:
                if fine in row:
                    inside.setdefault(row[fine], set()).add(row.get(coarse))
            divides = fine != coarse and all(len(outer) == 1 and None not in outer for outer in inside.values())
            if not divides or coarse in left_out or fine in left_out:
                continue
            alike = all(bad[fine][v] == bad[coarse][next(iter(outer)) or ""] for v, outer in inside.items())
            left_out.add(fine if alike else coarse)
    return [key for key in mixed if key not in left_out]


def _function_signs(felt: Iterable[Felt], since: float) -> list[Sign]:
    """Make a sign of each spell, and of one for a part of the users where it began while all together were well."""
    found = []
    for one in felt:
        whole = [Sign(s.start, s.end, "function", one.whole.name, detail=spell_words([s])) for s in one.whole.spells]
        found += whole
        for part in one.parts:
            for value, function in part.degraded:
                found += [
                    Sign(s.start, s.end, "function", one.whole.name, entries=(part.key, value), detail=spell_words([s]))
                    for s in function.spells
                    if not any(w.start <= s.start <= w.end for w in whole)
                ]
    return [replace(sign, unwell=True) for sign in found if sign.end > since]
