"""The blast radius: whoever is not downstream of a fault fares as in the control window, that before the first fault."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shaketable.checks.arrivals import by_cohort, chosen, since_fault
from shaketable.checks.findings import finding, names
from shaketable.checks.functions import by_name
from shaketable.checks.periods import control
from shaketable.checks.statistics import at_least_share, quantile
from shaketable.model.claims import Bystanders
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

ERROR = 0.001
"""How often, at most, a trial in which all fare as before is said to show that they do not."""
CONTROL = 5
"""So many arrivals of each name must have been seen in the control window at least."""
_SHORT = 0.95
"""Up to this quantile so few do."""
_UNIT = "percentage points"


@dataclass(frozen=True, slots=True)
class _Name:
    """One name of a request: its arrivals in the control window and after the fault."""

    name: str
    before: Sequence[Request]
    after: Sequence[Request]

    @property
    def usual(self) -> float:
        """The share that failed in the control window."""
        return sum(not r.ok for r in self.before) / len(self.before)

    @property
    def failed(self) -> int:
        """How many failed after the fault."""
        return sum(not r.ok for r in self.after)

    def slow(self, e: Bystanders) -> float:
        """Above this, seconds, the quantile of the claim is slower than in the control window."""
        usual = quantile([r.latency for r in self.before], e.quantile)
        return max(e.times * usual, usual + e.slower)

    def now(self, e: Bystanders) -> float:
        """The quantile of the claim after the fault, seconds."""
        return quantile([r.latency for r in self.after], e.quantile)

    def late_by(self, e: Bystanders) -> float:
        """The same as a share of its limit; the smallest latency that counts is a microsecond."""
        return self.now(e) / max(self.slow(e), 1e-6)

    def excess(self, error: float) -> float:
        """By how much it fails more often than in the control window at least; more is said wrongly by chance of `error`.

        Only the share after the fault is uncertain here. That of the control window is no sample: a fault is injected
        when all arrivals have succeeded for the hold time of steady state, so it is what was asked of the system.
        """
        return at_least_share(self.failed, len(self.after), error) - self.usual

    def late(self, e: Bystanders, error: float) -> float:
        """The share of arrivals slower than `slow` at least; above 5 % p95 is, above 1 % p99, whatever chance did."""
        limit = self.slow(e)
        return at_least_share(sum(r.latency > limit for r in self.after), len(self.after), error)


def needed(share: float) -> int:
    """How many arrivals of a name the control window must have for this quantile of their latency.

    The slowest of n is beyond what 1/(n + 1) of all would be, on average. So above p95 there must be 1/(1 - quantile):
    100 for p99, or arrivals that are as slow as usual would often be slower than the slowest that was seen. For p95
    and below, which is seldom much below the slowest of a few, `times` and `slower` allow for that.
    """
    return CONTROL if share <= _SHORT + 1e-9 else max(CONTROL, math.ceil(1 / (1 - share) - 1e-6))


def bystanders(e: Bystanders, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No name of a request fails more often, or is slower, than it was in the control window, beyond chance."""
    start, end = control(history, scenario)
    mine = chosen(history.requests, (), e.cohort)
    before = by_name(r for r in mine if r.scheduled >= start and r.ended <= end)
    after = by_name(chosen(since_fault(history, fault), (), e.cohort))
    wanted = e.requests or sorted(before.keys() | after.keys())
    found = [_Name(name, before.get(name, []), after.get(name, [])) for name in wanted]
    known = [n for n in found if len(n.before) >= needed(e.quantile) and n.after]
    by = by_cohort(e.cohort)
    error = ERROR / (2 * max(1, len(known)))
    if end - start >= e.control - 1e-9:
        if failing := [n for n in known if n.excess(error) > e.at_most]:
            return _failing(e, failing, fault, by, error)
        if slow := [n for n in known if n.late(e, error) > 1 - e.quantile]:
            return _slow(e, slow, fault, by)
    if unseen := _unseen(e, found, end - start, by, error):
        return finding(e, "unknown", unseen, None, 100 * e.at_most, unit=_UNIT)
    worst = max(known, key=lambda n: n.failed / len(n.after) - n.usual)
    value = max(0.0, worst.failed / len(worst.after) - worst.usual)
    because = f"none of {len(known)} functions{by} fared worse than before the fault, beyond chance; of the worst, "
    slowest = max(known, key=lambda n: n.late_by(e))
    because = f"{because}{_counts(worst)}; of the slowest, {slowest.name}, {_compared(e, slowest)}"
    return finding(e, "pass", because, 100 * value, 100 * e.at_most, unit=_UNIT)


def _failing(e: Bystanders, failing: Sequence[_Name], fault: FaultRecord, by: str, error: float) -> Finding:
    worst = max(failing, key=lambda n: n.excess(error))
    least = f"at least {100 * worst.excess(error):.3g} percentage points more (limit {100 * e.at_most:.3g})"
    others = f"; also {names([f'{n.name} ({n.failed} of {len(n.after)})' for n in failing if n is not worst])}"
    more = others if failing[1:] else ""
    because = f"{worst.name}{by} is not downstream of the {fault.kind}, yet {_counts(worst)}: {least}{more}"
    evidence = [_evidence(n, r, fault, "failed") for n in failing for r in n.after if not r.ok][:50]
    value = worst.failed / len(worst.after) - worst.usual
    return finding(e, "fail", because, 100 * value, 100 * e.at_most, unit=_UNIT, evidence=evidence)


def _slow(e: Bystanders, slow: Sequence[_Name], fault: FaultRecord, by: str) -> Finding:
    worst = max(slow, key=lambda n: n.late_by(e))
    limit = worst.slow(e)
    count = sum(r.latency > limit for r in worst.after)
    others = f"; also {names([n.name for n in slow if n is not worst])}" if slow[1:] else ""
    slower = f"{count} of {len(worst.after)} arrivals were slower than the limit"
    because = f"{worst.name}{by} is not downstream of the {fault.kind}, yet {_compared(e, worst)}; {slower}{others}"
    evidence = [_evidence(n, r, fault, "slow") for n in slow for r in n.after if r.latency > n.slow(e)][:50]
    return finding(e, "fail", because, worst.now(e), limit, evidence=evidence)


def _compared(e: Bystanders, n: _Name) -> str:
    """What the quantile was, beside its limit and what it was in the control window."""
    usual = quantile([r.latency for r in n.before], e.quantile)
    return f"p{100 * e.quantile:g} was {show(n.now(e))} (limit {show(n.slow(e))}; in the control window {show(usual)})"


def _counts(n: _Name) -> str:
    failed = sum(not r.ok for r in n.before)
    return (
        f"{n.failed} of {len(n.after)} arrivals of {n.name} failed after it, "
        f"{failed} of {len(n.before)} in the control window"
    )


def _evidence(n: _Name, request: Request, fault: FaultRecord, what: str) -> Evidence:
    start, end = request.scheduled - fault.injected, request.ended - fault.injected
    return Evidence(where="pages", start=start, end=end, text=f"{n.name} {what}")


def _unseen(e: Bystanders, found: Sequence[_Name], seconds: float, by: str, error: float) -> str:
    """Why harm could go unseen; empty if it could not."""
    if seconds < e.control - 1e-9:
        return f"the control window was {show(seconds)} long, of {show(e.control)} asked: let steady.hold be as long as that"
    if not found:
        return f"no arrival{by} fell into the control window or after the fault"
    for n in found:
        if not n.after:
            return f"no arrival of {n.name}{by} fell into the window after the fault"
        if len(n.before) < needed(e.quantile):
            return (
                f"the control window has {len(n.before)} arrivals of {n.name}{by}, of {needed(e.quantile)} at least: "
                "ask for a longer one (control, steady.hold) or for more load"
            )
        if at_least_share(len(n.after), len(n.after), error) - n.usual <= e.at_most:
            return f"too few arrivals to tell: {len(n.after)} of {n.name}{by} after the fault"
    return ""
