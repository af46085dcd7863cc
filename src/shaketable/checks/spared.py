"""Nobody outside of a fault's targets is killed for want of memory."""

from __future__ import annotations

from collections.abc import Sequence

from shaketable.checks.findings import finding, names
from shaketable.checks.kernel_lists import Ended, ended, unread
from shaketable.checks.listed import belongs
from shaketable.model.claims import Spared
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

_UNIT = "processes"


def spared(e: Spared, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No process of an instance that is no target is ended by the kernel for want of memory, from the fault's effect on.

    A target may be a host: then all that runs on it is one. Unless the claim names a fault, what any fault was aimed at
    is no innocent. What was seen to be killed fails, whatever could not be seen.
    """
    targets = fault.targets if e.fault else history.targets
    faults = [fault] if e.fault else history.faults
    aimed = [*targets, *(member for one in faults for member in one.members)]
    killed = [one for one in ended(history, e.list, fault.injected) if one.end.by == "limit"]
    innocent = [one for one in killed if not belongs(one.end.of, aimed)]
    evidence = [_evidence(one, fault) for one in killed][:50]
    if innocent:
        because = _words(innocent, targets, fault)
        return finding(e, "fail", because, float(len(innocent)), 0.0, unit=_UNIT, evidence=evidence)
    if unseen := unread(history, scenario, e.list, fault.injected):
        return finding(e, "unknown", unseen, None, 0.0, unit=_UNIT, evidence=evidence)
    own = f"; of those {len(killed)} {'was' if len(killed) == 1 else 'were'}" if killed else ""
    because = f"no process outside of {names(targets)} was killed for want of memory{own}"
    return finding(e, "pass", because, 0.0, 0.0, unit=_UNIT, evidence=evidence)


def _words(innocent: Sequence[Ended], targets: Sequence[str], fault: FaultRecord) -> str:
    """Who was killed first, when, and as whose limit was reached; who else; and what the fault was aimed at."""
    first = innocent[0].end
    when = f"{show(first.at - fault.injected)} after the {fault.kind}"
    whose = first.who or "a memory limit"
    said = f"{first.command} of {first.of} was killed for want of memory {when}, as {whose} was reached"
    others: dict[str, int] = {}
    for one in innocent[1:]:
        others[f"{one.end.command} of {one.end.of}"] = others.get(f"{one.end.command} of {one.end.of}", 0) + 1
    times = [f"{who}{f' {count} times' if count > 1 else ''}" for who, count in others.items()]
    return f"{said}{f'; so was {names(times[:5])}' if times else ''}; the fault was aimed at {names(targets)}"


def _evidence(one: Ended, fault: FaultRecord) -> Evidence:
    at = one.end.at - fault.injected
    text = f"{one.end.command} of {one.end.of} killed for want of memory"
    return Evidence(where=one.holder, start=at, end=at, text=text)
