"""Each expectation as a pure function of the history: a verdict, a value beside its limit, and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from shaketable.checks.alerts import alerted, appears, quiet
from shaketable.checks.arrivals import availability, latency, not_called
from shaketable.checks.audit import audited
from shaketable.checks.blocked import not_blocked
from shaketable.checks.bystanders import bystanders
from shaketable.checks.cohorts import cohorts_alike
from shaketable.checks.delivery import exactly_once
from shaketable.checks.findings import finding
from shaketable.checks.functions_recover import functions_recover
from shaketable.checks.gauges import ceiling, growth, returns, warns_early
from shaketable.checks.leak import no_leak
from shaketable.checks.leaving import leaves, stays
from shaketable.checks.limits_hold import limits_hold
from shaketable.checks.recovery import recovers
from shaketable.checks.rollout import never_reached, rollout_stops, soak_catches
from shaketable.checks.runaway import runaway_ends
from shaketable.checks.running import runs_again
from shaketable.checks.slo import slo
from shaketable.checks.spared import spared
from shaketable.checks.writes import writes_kept
from shaketable.model.claims import Audit, Claim, Expectation
from shaketable.model.history import TrialHistory
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario

CHECKS: Final[Mapping[str, Callable[..., Finding]]] = {
    "leaves": leaves,
    "stays": stays,
    "not-called": not_called,
    "availability": availability,
    "latency": latency,
    "appears": appears,
    "recovers": recovers,
    "writes-kept": writes_kept,
    "exactly-once": exactly_once,
    "runs-again": runs_again,
    "functions-recover": functions_recover,
    "cohorts-alike": cohorts_alike,
    "alerted": alerted,
    "quiet": quiet,
    "ceiling": ceiling,
    "growth": growth,
    "returns": returns,
    "no-leak": no_leak,
    "warns-early": warns_early,
    "slo": slo,
    "bystanders": bystanders,
    "not-blocked": not_blocked,
    "runaway-ends": runaway_ends,
    "spared": spared,
    "limits-hold": limits_hold,
    "rollout-stops": rollout_stops,
    "soak-catches": soak_catches,
}
"""By kind: a function of the expectation, the history, the record of the fault it is about, and the scenario."""


def evaluate(expectation: Expectation, history: TrialHistory, scenario: Scenario) -> Finding:
    """Judge one expectation. `unknown` means the history cannot tell, and says why."""
    if isinstance(expectation, Audit):  # it is about what was there before any fault
        return audited(expectation, history)
    about = expectation.fault if isinstance(expectation, Claim) else None
    fault = history.fault(about)
    if fault is None:
        if about in never_reached(history, scenario):
            return finding(expectation, "pass", f"{about} was never reached: a gate stopped the roll-out before")
        return finding(expectation, "unknown", f"{about or 'no fault'} was {'not ' if about else ''}injected")
    return CHECKS[expectation.kind](expectation, history, fault, scenario)
