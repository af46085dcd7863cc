"""What the people in charge are told: of the fault within a limit, and of nothing while nothing is wrong."""

from __future__ import annotations

from shaketable.checks.findings import finding, names
from shaketable.checks.listed import copies
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Appears, Scenario
from shaketable.model.units import show_duration as show


def appears(e: Appears, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """A new entry with the text appears in the list within the limit."""
    t0 = fault.injected
    wanted = [e.contains.replace("{target}", host) for host in fault.targets]
    found: list[tuple[float, str, str]] = []
    for copy in copies(history, e.list):
        new = [entry for entry in copy.entries() - copy.known_at(t0) if any(text in entry for text in wanted)]
        found += [(copy.listed(entry)[0][0] - t0, copy.holder, entry) for entry in new]
    if found and (first := min(found))[0] <= e.within:
        evidence = [Evidence(where=first[1], start=first[0], end=first[0], text=first[2])]
        return finding(e, "pass", f'"{first[2]}" after {show(first[0])}', first[0], e.within, evidence=evidence)
    for copy in copies(history, e.list):
        if (dark := copy.blind(t0, t0 + e.within)) > scenario.observers.max_gap:
            return finding(e, "unknown", f"{copy.holder} could not be read for {show(dark)}", None, e.within)
    if found:
        return finding(
            e,
            "fail",
            f'"{min(found)[2]}" came only after {show(min(found)[0])} (limit {show(e.within)})',
            min(found)[0],
            e.within,
        )
    if history.ended < t0 + e.within:
        return finding(
            e,
            "unknown",
            f"the trial ended {show(history.ended - t0)} after the fault, before the limit",
            None,
            e.within,
        )
    return finding(
        e, "fail", f"nothing about {names(wanted)} appeared in {e.list} within {show(e.within)}", None, e.within
    )
