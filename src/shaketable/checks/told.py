"""From what the gauge of each holder came to, to the finding of a claim about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shaketable.checks.findings import finding, names
from shaketable.checks.readings import Gauge
from shaketable.model.claims import Ceiling, Growth, NoLeak, Returns
from shaketable.model.history import FaultRecord
from shaketable.model.result import Evidence, Finding


@dataclass(frozen=True, slots=True)
class Told:
    """What one holder's gauge came to."""

    gauge: Gauge
    value: float
    """How high, or for how long; what makes one holder worse than another."""
    words: str
    wrong: bool = False
    unseen: str = ""
    """Why nobody can tell; empty if one can, or if it is wrong whatever was not seen."""
    spans: tuple[tuple[float, float, str], ...] = ()
    """(start, end, text), absolute seconds: what it rests on."""


def nobody(gauge: str) -> str:
    """Say that no holder ever told a gauge."""
    return f"nobody ever said what {gauge} is"


def judged(
    e: Ceiling | Growth | Returns | NoLeak, told: Sequence[Told], fault: FaultRecord, limit: float, unit: str
) -> Finding:
    """Of all holders: one that is wrong fails, one that cannot tell leaves it unknown, else the worst is named."""
    evidence = [
        Evidence(where=t.gauge.holder, start=start - fault.injected, end=end - fault.injected, text=text)
        for t in told
        for start, end, text in t.spans[:50]
    ]
    if not told:
        return finding(e, "unknown", nobody(e.gauge), None, limit, unit=unit)
    order = sorted(told, key=lambda t: t.value, reverse=True)
    if wrong := [t for t in order if t.wrong]:
        others = f"; so it is in {names([t.gauge.holder for t in wrong[1:]])}" if wrong[1:] else ""
        because = f"{wrong[0].words}{others}"
        return finding(e, "fail", because, wrong[0].value, limit, unit=unit, evidence=evidence)
    if unseen := [t.unseen for t in told if t.unseen]:
        return finding(e, "unknown", unseen[0], None, limit, unit=unit, evidence=evidence)
    return finding(e, "pass", order[0].words, order[0].value, limit, unit=unit, evidence=evidence)
