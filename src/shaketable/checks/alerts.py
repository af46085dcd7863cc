"""What the people in charge are told: of the fault within a limit, and of nothing while nothing is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shaketable.checks.findings import finding, names
from shaketable.checks.listed import Copy, copies
from shaketable.checks.periods import well_since
from shaketable.model.claims import Alerted, Appears, Quiet
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
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


@dataclass(frozen=True, slots=True)
class _Alarm:
    """An entry with the text of a claim, from when until when a holder listed it, absolute seconds."""

    start: float
    end: float
    holder: str
    entry: str


def _alarms(held: Sequence[Copy], texts: Sequence[str]) -> list[_Alarm]:
    """Every time an entry with one of the texts was listed, in time order."""
    return sorted(
        (
            _Alarm(start, end, copy.holder, entry)
            for copy in held
            for entry in copy.entries()
            if any(text in entry for text in texts)
            for start, end in copy.listed(entry)
        ),
        key=lambda alarm: (alarm.start, alarm.holder, alarm.entry),
    )


def _sent(fault: FaultRecord) -> float:
    return min(fault.sent, fault.injected)


def _false(alarms: Sequence[_Alarm], history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> list[_Alarm]:
    """Alarms while nothing was wrong."""
    well = well_since(history, scenario)
    return [alarm for alarm in alarms if alarm.start < _sent(fault) and alarm.end > well]


def _evidence(alarms: Sequence[_Alarm], fault: FaultRecord) -> list[Evidence]:
    t0 = fault.injected
    return [Evidence(where=a.holder, start=a.start - t0, end=a.end - t0, text=a.entry) for a in alarms[:50]]


def _dark(held: Sequence[Copy], name: str, start: float, end: float, gap: float) -> str:
    """Why an alarm in [start, end] could have gone unseen; empty if it could not."""
    if not held:
        return f"nobody ever said what is on the list {name}"
    for copy in held:
        if copy.at(start) is None:
            return f"nobody said what was on the list {name} of {copy.holder} at first"
        if (dark := copy.blind(start, end)) > gap:
            return f"{copy.holder} could not be read for {show(dark)}"
    return ""


def alerted(e: Alerted, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """An entry with the text comes within the limit after the fault, and none was there while nothing was wrong."""
    t0, sent = fault.injected, _sent(fault)
    texts = [e.contains.replace("{target}", target) for target in fault.targets]
    held = copies(history, e.list)
    alarms = _alarms(held, texts)
    if early := _false(alarms, history, fault, scenario):
        said = f'{early[0].holder} was told "{early[0].entry}" {show(sent - early[0].start)} before the {fault.kind}'
        return finding(e, "fail", f"{said}, when nothing was wrong", None, e.within, evidence=_evidence(early, fault))
    first = next((alarm for alarm in alarms if alarm.start >= sent), None)
    value = max(0.0, first.start - t0) if first else None
    in_time = value is not None and value <= e.within
    if unseen := _unheard(e, held, history, fault, scenario, in_time=in_time):
        return finding(e, "unknown", unseen, None, e.within)
    if first is None or value is None:
        said = names([f'"{text}"' for text in dict.fromkeys(texts)])
        return finding(
            e, "fail", f"nobody was told {said} within {show(e.within)} after the {fault.kind}", None, e.within
        )
    evidence = _evidence([first], fault)
    only, limit = ("", "") if in_time else ("only ", f" (limit {show(e.within)})")
    because = f'{first.holder} was told "{first.entry}" {only}{show(value)} after the {fault.kind}{limit}'
    return finding(e, "pass" if in_time else "fail", because, value, e.within, evidence=evidence)


def _unheard(
    e: Alerted, held: Sequence[Copy], history: TrialHistory, fault: FaultRecord, scenario: Scenario, *, in_time: bool
) -> str:
    """Why an alarm could have come unseen, too early or in time; empty if it could not."""
    sent, deadline, gap = _sent(fault), fault.injected + e.within, scenario.observers.max_gap
    if unseen := _dark(held, e.list, well_since(history, scenario), sent, gap):
        return f"{unseen}, before the {fault.kind}"
    if in_time:
        return ""
    if unseen := _dark(held, e.list, sent, deadline, gap):
        return f"{unseen}, after the {fault.kind}"
    if history.ended < deadline:
        return f"the trial ended {show(history.ended - fault.injected)} after the {fault.kind}, before the limit"
    return ""


def quiet(e: Quiet, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No entry with the text is listed while nothing is wrong: from steady state on until the fault is sent."""
    well, sent = well_since(history, scenario), _sent(fault)
    held = copies(history, e.list)
    early = _false(_alarms(held, [e.contains]), history, fault, scenario)
    if early:
        more = f", and {len(early) - 1} more" if early[1:] else ""
        because = f'{early[0].holder} was told "{early[0].entry}" though nothing was wrong{more}'
        return finding(e, "fail", because, float(len(early)), 0.0, unit="alarms", evidence=_evidence(early, fault))
    if unseen := _dark(held, e.list, well, sent, scenario.observers.max_gap):
        return finding(e, "unknown", f"{unseen}, before the {fault.kind}", None, 0.0, unit="alarms")
    because = f"no alarm in the {show(sent - well)} before the {fault.kind}"
    return finding(e, "pass", because, 0.0, 0.0, unit="alarms")
