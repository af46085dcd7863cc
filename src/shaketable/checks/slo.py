"""Service level objectives: how much of an endpoint's error budget is burnt, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shaketable.checks.arrivals import by_cohort, chosen, since_fault
from shaketable.checks.findings import finding, names
from shaketable.checks.functions import by_name, degraded
from shaketable.model.claims import Slo
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show
from shaketable.model.units import show_share


def is_good(request: Request, at_most: float | None) -> bool:
    """Whether an arrival succeeded, and within `at_most` seconds of when it was due if that is asked."""
    return request.ok and (at_most is None or request.latency <= at_most)


def burn(arrivals: Sequence[Request], objective: float, at_most: float | None) -> float:
    """How many times faster than the objective allows these arrivals burn the error budget, as `burn_of`."""
    return burn_of(sum(not is_good(r, at_most) for r in arrivals), len(arrivals), objective)


def burn_of(bad: int, arrivals: int, objective: float) -> float:
    """How many times faster than the objective allows so many arrivals burn the error budget; 0 if there are none.

    The share of them that is bad, divided by the share that may be: at 1 the budget lasts exactly as long as it is
    meant to, at 10 for a tenth of that time. Over all arrivals of a period it is the share of its budget that is burnt.
    """
    return bad / arrivals / (1 - objective) if arrivals else 0.0


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """One name of a request: its arrivals in the window, and what they burnt of its budget."""

    name: str
    arrivals: Sequence[Request]
    burnt: float


def slo(e: Slo, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """No endpoint burns more than the budget: the worst one decides, whatever the others do."""
    by = by_cohort(e.cohort)
    named = by_name(chosen(since_fault(history, fault), e.requests, e.cohort))
    found = [_Endpoint(name, mine, burn(mine, e.objective, e.at_most)) for name, mine in sorted(named.items())]
    over = sorted((x for x in found if x.burnt > e.budget + 1e-9), key=lambda x: x.burnt, reverse=True)
    if over:
        more = f"; also {names([f'{x.name} ({show_share(x.burnt)})' for x in over[1:]])}" if over[1:] else ""
        because = f"{_words(e, over[0], by)}{more} (limit {show_share(e.budget)})"
        evidence = [spell for x in over for spell in _spells(e, history, fault, x)]
        return finding(e, "fail", because, 100 * over[0].burnt, 100 * e.budget, unit=_UNIT, evidence=evidence)
    if missing := [name for name in e.requests if name not in named]:
        unseen = f"no arrival of {names(missing)}{by} fell into the window"
        return finding(e, "unknown", unseen, None, 100 * e.budget, unit=_UNIT)
    if not found:
        return finding(e, "unknown", f"no arrival{by} fell into the window", None, 100 * e.budget, unit=_UNIT)
    worst = max(found, key=lambda x: x.burnt)
    because = f"of {len(found)} endpoints{by}, the most by {_words(e, worst, '')}"
    if len(found) == 1 or not worst.burnt:
        because = _words(e, worst, by) if len(found) == 1 else f"none of {len(found)} endpoints{by} had a bad arrival"
    return finding(e, "pass", because, 100 * worst.burnt, 100 * e.budget, unit=_UNIT)


_UNIT = "% of the budget"


def _words(e: Slo, endpoint: _Endpoint, by: str) -> str:
    """`accept-chat burnt 340 % of its error budget: 34 of 1000 arrivals failed or took longer than 500 ms`."""
    bad = [r for r in endpoint.arrivals if not is_good(r, e.at_most)]
    failed = sum(not r.ok for r in bad)
    slow = f", {len(bad) - failed} took longer than {show(e.at_most)}" if e.at_most is not None else ""
    counted = f"of {len(endpoint.arrivals)} arrivals {failed} failed{slow}, where {show_share(1 - e.objective)} may"
    return f"{endpoint.name}{by} burnt {show_share(endpoint.burnt)} of its error budget: {counted}"


def _spells(e: Slo, history: TrialHistory, fault: FaultRecord, endpoint: _Endpoint) -> list[Evidence]:
    """The seconds in which an endpoint burnt its budget too fast."""

    def fast(window: Sequence[Request]) -> bool:
        return burn(window, e.objective, e.at_most) > e.budget

    return [
        Evidence(
            where="pages",
            start=spell.start - fault.injected,
            end=spell.end - fault.injected,
            text=f"{endpoint.name} burns its error budget",
        )
        for spell in degraded(history, endpoint.arrivals, fast, anchor=fault.injected)
    ]
