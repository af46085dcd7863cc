"""Lists and the dead: the target's entries leave, everybody else's stay."""

from __future__ import annotations

from collections.abc import Iterator

from shaketable.checks.findings import finding, names
from shaketable.checks.listed import Copy, absences, belongs, copies, unreadable
from shaketable.model.claims import Leaves, Stays
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


def leaves(e: Leaves, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every entry of the target leaves every holder within the limit and stays away until heal.

    What was seen to be listed fails, whatever could not be seen elsewhere. Listed means listed when the fault was sent:
    a host that is stopped says goodbye before its last instance has ended.
    """
    t0, deadline = fault.injected, fault.injected + e.within
    evidence: list[Evidence] = []
    wrong: list[tuple[float, str]] = []
    last = 0.0
    seen, blind = False, ""
    for copy in copies(history, e.list):
        blind = blind or _blind(copy, e.within, fault, scenario)
        seen = seen or any(belongs(entry, fault.targets) for entry in copy.known_at(min(fault.sent, t0)))
        for entry, start, ends, known in _listed_while_down(copy, fault):
            begins = max(start, t0)
            evidence.append(
                Evidence(where=copy.holder, start=begins - t0, end=ends - t0, text=f"{copy.holder} lists {entry}")
            )
            if known <= deadline:
                last = max(last, ends - t0)
            elif start <= deadline:
                still = " when it was healed" if known >= fault.heal_began else ""
                what = f"still listed {entry} {show(known - t0)} after the {fault.kind}{still}"
                wrong.append((known - t0, f"{copy.holder} {what}"))
            else:
                what = f"listed {entry} again {show(start - t0)} after the {fault.kind}"
                wrong.append((known - t0, f"{copy.holder} {what}"))
    if wrong:
        wrong.sort(reverse=True)
        more = f", and {len(wrong) - 1} more" if wrong[1:] else ""
        return finding(
            e, "fail", f"{wrong[0][1]} (limit {show(e.within)}){more}", wrong[0][0], e.within, evidence=evidence
        )
    if not seen:
        return finding(e, "unknown", f"no holder listed {names(fault.targets)} when the fault began", None, e.within)
    if not blind and fault.heal_began <= deadline:
        healed = f"healed {show(fault.heal_began - t0)} after the fault" if fault.heal_began > t0 else "never healed"
        blind = f"{names(fault.targets)} was {healed}, so the limit was not reached"
    if blind:
        return finding(e, "unknown", blind, None, e.within, evidence=evidence)
    return finding(
        e,
        "pass",
        f"the last entry of {names(fault.targets)} left after {show(last)}",
        last,
        e.within,
        evidence=evidence,
    )


def _listed_while_down(copy: Copy, fault: FaultRecord) -> Iterator[tuple[str, float, float, float]]:
    """Each time an entry of the target was listed between the fault and heal: entry, since when, until when.

    The end is given twice: when it was first seen to be gone, and until when it was last seen to be there.
    """
    for entry in sorted(entry for entry in copy.entries() if belongs(entry, fault.targets)):
        for start, end in copy.listed(entry):
            begins, ends = max(start, fault.injected), min(end, fault.heal_began)
            if ends > begins:
                yield entry, start, ends, copy.last_seen(entry, begins, ends)


def _blind(copy: Copy, within: float, fault: FaultRecord, scenario: Scenario) -> str:
    """Why a holder could have listed the target unseen, at the limit or after it; empty if it could not."""
    deadline = fault.injected + within
    if (span := copy.at(deadline)) is None or span.entries is None:
        return f"{copy.holder} could not be read {show(within)} after the fault"
    if (dark := copy.blind(deadline, fault.heal_began)) > scenario.observers.max_gap:
        return f"{copy.holder} could not be read for {show(dark)} between the limit and heal"
    return ""


def stays(e: Stays, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No bystander's entry disappears from any holder between the fault and the end of the trial."""
    t0 = fault.injected
    gone: list[tuple[float, str]] = []
    evidence: list[Evidence] = []
    watched = 0
    for copy in copies(history, e.list):
        if (blind := unreadable(copy, t0, history.ended)) > scenario.observers.max_gap:
            return finding(
                e, "unknown", f"{copy.holder} could not be read for {show(blind)}", None, 0.0, unit="entries"
            )
        for entry in sorted(x for x in copy.known_at(t0) if not belongs(x, history.targets)):
            watched += 1
            for start, end in absences(copy, entry, t0, history.ended):
                gone.append(
                    (end - start, f"{copy.holder} did not list {entry} for {show(end - start)}, though it was healthy")
                )
                evidence.append(Evidence(where=copy.holder, start=start - t0, end=end - t0, text=gone[-1][1]))
    if not watched:
        return finding(e, "unknown", "no bystander was listed when the fault began", None, 0.0, unit="entries")
    if gone:
        gone.sort(reverse=True)
        more = f", and {len(gone) - 1} more" if gone[1:] else ""
        return finding(e, "fail", gone[0][1] + more, float(len(gone)), 0.0, unit="entries", evidence=evidence)
    return finding(e, "pass", f"all {watched} healthy entries stayed", 0.0, 0.0, unit="entries")
