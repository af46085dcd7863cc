"""What ran before the fault runs again after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shaketable.checks.findings import finding
from shaketable.checks.listed import Copy, absences, copies
from shaketable.model.claims import RunsAgain
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


@dataclass(frozen=True, slots=True)
class _Down:
    """A stretch in which something did not run, absolute seconds."""

    holder: str
    entry: str
    start: float
    end: float
    """When it was first seen to run again, or the end of what is judged."""
    known: float
    """Until when it was seen to be down; what came between that and `end` nobody saw."""


def runs_again(e: RunsAgain, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every entry that was there when the fault was sent is there at the limit, and from then on until heal.

    What was seen to be down fails, whatever could not be seen elsewhere.
    """
    t0, deadline = fault.injected, fault.injected + e.within
    end = fault.heal_began if fault.heal_began > t0 else history.ended
    holders = copies(history, e.list)
    count = sum(len(_ran(copy, fault)) for copy in holders)
    downs = [down for copy in holders for down in _downs(copy, fault, end)]
    evidence = [
        Evidence(where=d.holder, start=d.start - t0, end=d.end - t0, text=f"{d.entry} did not run") for d in downs
    ]
    if wrong := [down for down in downs if down.known > deadline]:
        worst = max(wrong, key=lambda down: (down.known, -down.start))
        more = len({down.entry for down in wrong}) - 1
        others = f", and {more} more of {count}" if more else ""
        because = f"{_wrong(worst, fault, end)} (limit {show(e.within)}){others}"
        return finding(e, "fail", because, worst.known - t0, e.within, evidence=evidence)
    if unseen := _unseen(e, holders, fault, scenario) or _returned_unseen(downs, deadline, t0):
        return finding(e, "unknown", unseen, None, e.within, evidence=evidence)
    if not downs:
        return finding(e, "pass", f"all {count} that ran when the fault was sent went on", 0.0, e.within)
    last = max(downs, key=lambda down: down.end)
    value = max(0.0, last.end - t0)
    because = f"all {count} run again, the last, {last.entry}, {show(value)} after the {fault.kind}"
    return finding(e, "pass", because, value, e.within, evidence=evidence)


def _ran(copy: Copy, fault: FaultRecord) -> frozenset[str]:
    return copy.known_at(min(fault.sent, fault.injected))


def _downs(copy: Copy, fault: FaultRecord, end: float) -> Iterator[_Down]:
    for entry in sorted(_ran(copy, fault)):
        for start, back in absences(copy, entry, min(fault.sent, fault.injected), end):
            seen = [min(s.end, back) for s in copy.spans if s.entries is not None and start <= s.start < back]
            yield _Down(copy.holder, entry, start, back, max(seen, default=start))


def _wrong(down: _Down, fault: FaultRecord, end: float) -> str:
    after = f"{show(down.known - fault.injected)} after the {fault.kind}"
    if down.end < end:
        return f"{down.entry} ran again only {after}"
    return f"{down.entry} still did not run {after}, when {'it was healed' if end == fault.heal_began else 'the trial ended'}"


def _returned_unseen(downs: Sequence[_Down], deadline: float, t0: float) -> str:
    late = next((down for down in downs if down.end > deadline), None)
    if late is None:
        return ""
    return (
        f"{late.holder} could not be read when {late.entry} came back, {show(late.known - t0)} after the fault or later"
    )


def _unseen(e: RunsAgain, holders: Sequence[Copy], fault: FaultRecord, scenario: Scenario) -> str:
    """Why something could have been down unseen, or could not be known at all; empty if it could not."""
    t0, deadline, gap = fault.injected, fault.injected + e.within, scenario.observers.max_gap
    sent = min(fault.sent, t0)
    if not holders:
        return f"nobody ever said what is on the list {e.list}"
    for copy in holders:
        if copy.at(sent) is None or copy.blind(sent - 2 * gap, sent) > gap:
            return f"{copy.holder} could not be read when the fault was sent"
        if not _ran(copy, fault):
            return f"nothing was on the list {e.list} of {copy.holder} when the fault was sent"
    if fault.heal_began <= deadline:
        healed = f"healed {show(fault.heal_began - t0)} after it began" if fault.heal_began > t0 else "never healed"
        return f"the {fault.kind} was {healed}, so the limit was not reached"
    for copy in holders:
        if (dark := copy.blind(deadline, fault.heal_began)) > gap:
            return f"{copy.holder} could not be read for {show(dark)} between the limit and heal"
    return ""
