"""Acknowledged writes: neither lost nor doubled."""

from __future__ import annotations

from collections import Counter

from shaketable.checks.findings import finding
from shaketable.model.claims import WritesKept
from shaketable.model.history import FaultRecord, Look, Request, TrialHistory
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


def writes_kept(e: WritesKept, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """Writes acknowledged before heal are listed afterwards by every holder of the list, each once.

    A write that was not acknowledged may be there or not.
    """
    last = _last_looks(history, e.list)
    acknowledged = [r for r in acknowledged_writes(history, e.list) if r.ended < fault.heal_began]
    if not acknowledged:
        return finding(e, "unknown", f"no write to {e.list} was acknowledged before heal", unit="writes")
    for holder, look in last.items():
        if look is None and history.recovered is None:
            because = f"{holder} did not come back: {len(acknowledged)} acknowledged writes are out of reach"
            return finding(e, "fail", because, float(len(acknowledged)), float(e.lost_at_most), unit="writes")
        if look is None or look.at < fault.healed:
            return finding(e, "unknown", f"{holder} could not be read after heal", unit="writes")
    lost: dict[str, tuple[str, float]] = {}
    doubled: dict[str, str] = {}
    for holder, look in last.items():
        there = Counter(look.entries if look else ())
        lost |= {r.wrote: (holder, r.ended) for r in acknowledged if not there[r.wrote]}
        doubled |= {r.wrote: holder for r in acknowledged if there[r.wrote] > 1}
    count = len(lost) + len(doubled)
    if lost:
        holder, ended = max(lost.values(), key=lambda one: fault.injected - one[1])
        what = f"{len(lost)} of {len(acknowledged)} acknowledged writes are gone from {holder}"
        before = fault.injected - ended
        when = f"{show(abs(before))} {'before' if before >= 0 else 'after'}"
        because = f"{what}, the oldest acknowledged {when} the {fault.kind}"
    elif doubled:
        entry, holder = next(iter(doubled.items()))
        because = f"{len(doubled)} acknowledged writes are there twice, as {entry} in {holder}"
    else:
        because = f"all {len(acknowledged)} acknowledged writes are there, each once"
    wrong = doubled or len(lost) > e.lost_at_most
    return finding(e, "fail" if wrong else "pass", because, float(count), float(e.lost_at_most), unit="writes")


def acknowledged_writes(history: TrialHistory, name: str) -> list[Request]:
    """Every acknowledged write that was made for a list, in the order of the requests.

    Those are the writes that a holder ever listed, and those that nobody lists and whose request has the name of one
    that was listed: another kind of request stores its writes somewhere else.
    """
    listed = {entry for look in history.looks if look.list == name for entry in look.entries or ()}
    names = {r.name for r in history.requests if r.wrote in listed}
    return [r for r in history.requests if r.ok and r.wrote and r.name in names]


def _last_looks(history: TrialHistory, name: str) -> dict[str, Look | None]:
    """Each holder's last readable copy of a list, None when what came last could not be read."""
    found: dict[str, Look | None] = {}
    for look in history.looks:
        if look.list == name:
            found[look.holder] = None if look.entries is None else look
    return found
