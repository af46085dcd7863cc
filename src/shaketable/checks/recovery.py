"""Recovery: the system is well again by itself, within a limit after heal."""

from __future__ import annotations

from shaketable.checks.findings import finding
from shaketable.model.claims import Recovers
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


def recovers(e: Recovers, history: TrialHistory, _: FaultRecord, __: Scenario) -> Finding:
    """Steady state is reached, and held, within the limit after the last heal."""
    if history.recovered is None:
        waited = show(max(0.0, history.ended - history.healed))
        return finding(e, "fail", f"not steady again {waited} after heal (limit {show(e.within)})", None, e.within)
    value = max(0.0, history.recovered - history.healed)
    return finding(
        e, "pass" if value <= e.within else "fail", f"steady again {show(value)} after heal", value, e.within
    )
