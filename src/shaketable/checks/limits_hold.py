"""Limits as configured are those that the kernel has, and use stays within them: configured is not yet enforced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from shaketable.checks.findings import finding, names
from shaketable.checks.kernel_lists import dark, instance_of, looked, read_entries
from shaketable.checks.listed import Span, copies
from shaketable.checks.periods import well_since
from shaketable.model.claims import LimitsHold
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.kernel import Limit, LimitName
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration, show_size

_PAGE: Final = 65536.0
"""Bytes. The kernel counts memory in pages, so it rounds a limit down to one: of 4 KiB, or of 64 KiB at most on arm64."""
_ROUNDED: Final = 0.01
"""A CPU limit is a quota of whole microseconds in each period."""
_BOOKED: Final[dict[LimitName, float]] = {"cpu": 0.1, "memory": 0.01}
"""How much more than its limit can be seen to be used, as a share of it, though the limit holds.

`cpu`: it is a quota for each period of 0.1 s, so a second that begins within one can have the quotas of eleven
(Documentation/scheduler/sched-bwc.rst). `memory`: in some cases, as allocations that may not fail, usage goes over the
limit temporarily (Documentation/admin-guide/cgroup-v2.rst, memory.max).
"""
_JOINED: Final = 16
"""Tasks that can be there above a limit of processes though it holds.

A limit refuses forks, not what joins from outside, as a health check or a command in a container does with the threads
of the engine's helper (Documentation/admin-guide/cgroup-v1/pids.rst).
"""
_RESTART: Final = 2.0
"""Seconds for which nobody need know: an instance that is started again has no limits for a moment, nor any use."""
_UNIT = "limits"


@dataclass(frozen=True, slots=True)
class _Table:
    """What one holder said of one limit of one instance, in time order: the look's start, absolute seconds, and the entry."""

    holder: str
    of: str
    limit: LimitName
    rows: tuple[tuple[float, Limit], ...]


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A limit that does not hold."""

    holder: str
    of: str
    at: float
    words: str


def limits_hold(e: LimitsHold, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """In every look from steady state on each limit is configured, and the kernel has it; nothing used more since.

    What was seen to be wrong fails, whatever could not be seen. A limit that is to be `reached` and never was proves
    nothing, so that is unknown.
    """
    start, end = well_since(history, scenario), history.ended
    views = [(copy.holder, looked(copy, start, end)) for copy in copies(history, e.list)]
    tables = [table for holder, spans in views for table in _tables(holder, spans)]
    wanted = [t for limit in e.limits for t in tables if t.limit == limit]
    wrong = [w for table in wanted if (w := _wrong(table)) is not None]
    if wrong:
        wrong.sort(key=lambda w: w.at)
        others = f"; also {'; '.join(w.words for w in wrong[1:4])}" if wrong[1:] else ""
        evidence = [
            Evidence(where=w.holder, start=w.at - fault.injected, end=end - fault.injected, text=w.words) for w in wrong
        ]
        because = f"{wrong[0].words}{_when(wrong[0], start, fault)}{others}"
        return finding(e, "fail", because, float(len(wrong)), 0.0, unit=_UNIT, evidence=evidence)
    if unseen := _unseen(e, views, tables, instance_of(scenario, e.list)):
        return finding(e, "unknown", unseen, None, 0.0, unit=_UNIT)
    if untried := [t for t in tables if t.limit in e.reached and not _reached(t)]:
        never = names([f"the limit of {t.limit} of {t.of}" for t in untried])
        because = f"{never} was never reached after the {fault.kind}, so nothing shows that it holds"
        return finding(e, "unknown", because, None, 0.0, unit=_UNIT)
    said = "; ".join(_fine(t) for t in wanted)
    return finding(e, "pass", said, 0.0, 0.0, unit=_UNIT)


def _tables(holder: str, spans: Sequence[Span]) -> Iterator[_Table]:
    rows: dict[tuple[str, LimitName], list[tuple[float, Limit]]] = {}
    for span in spans:
        for entry in read_entries(Limit, span.entries or ())[0]:
            rows.setdefault((entry.of, entry.limit), []).append((span.start, entry))
    for (of, limit), found in rows.items():
        yield _Table(holder, of, limit, tuple(found))


def _wrong(table: _Table) -> _Wrong | None:
    """The first look that shows that the limit does not hold."""
    for at, entry in table.rows:
        if words := _broken(entry):
            return _Wrong(table.holder, table.of, at, words)
    return None


def _broken(entry: Limit) -> str:
    """Why a limit does not hold, as a sentence; empty if it does."""
    what, configured, kernel = f"{entry.of}: the compose file", entry.configured, entry.kernel
    if configured is None:
        return f"{what} does not limit {_called(entry.limit)}"
    limits = f"{what} limits {_called(entry.limit)} to {_shown(entry.limit, configured)}"
    if kernel is None:
        return f"{limits}, yet the kernel holds it to none: the limit is configured and not enforced"
    if not _same(entry.limit, configured, kernel):
        held = f"the kernel holds it to {_shown(entry.limit, kernel)}"
        loose = ": the limit is configured and not enforced as it is" if kernel > configured else ""
        return f"{limits}, yet {held}{loose}"
    if entry.used > kernel * (1 + _BOOKED.get(entry.limit, 0.0)) + (_JOINED if entry.limit == "processes" else 1e-9):
        return f"{limits}, yet it used {_shown(entry.limit, entry.used)}: the limit does not hold"
    return ""


def _same(limit: LimitName, configured: float, kernel: float) -> bool:
    if limit in ("memory", "disk"):
        return abs(configured - kernel) < _PAGE
    return abs(configured - kernel) <= (_ROUNDED * configured if limit == "cpu" else 1e-9)


def _reached(table: _Table) -> bool:
    """Whether it was hit since the first look that counts; what counts anew after a restart has begun at 0.

    Of open files and disks the kernel counts no refusals: there it is whether all that there is was used, but for what
    is lost in three digits.
    """
    entries = [entry for _, entry in table.rows]
    if table.limit in ("files", "disk"):
        return any(entry.kernel is not None and entry.used >= 0.99 * entry.kernel for entry in entries)
    return any(entry.hits > entries[0].hits or 0 < entry.hits < entries[0].hits for entry in entries)


def _unseen(e: LimitsHold, views: Sequence[tuple[str, Sequence[Span]]], tables: Sequence[_Table], of: str) -> str:
    """Why a limit that does not hold could go unseen; empty if it could not."""
    if not views:
        return f"nobody ever said what the limits of {of or e.list} are"
    return next((why for holder, spans in views if (why := _hidden(e, holder, spans, tables, of))), "")


def _hidden(e: LimitsHold, holder: str, spans: Sequence[Span], tables: Sequence[_Table], of: str) -> str:
    if not any(span.entries for span in spans):
        return f"{holder} said nothing of the limits of {of or e.list}"
    if (longest := dark(spans)) > _RESTART:
        return f"the list {e.list} of {holder} could not be read for {show_duration(longest)}"
    if spans[-1].entries is None and spans[-1].end - spans[-1].start > _RESTART / 2:
        return f"the list {e.list} of {holder} could not be read when the trial ended"
    if odd := [text for span in spans for text in read_entries(Limit, span.entries or ())[1]]:
        return f"the list {e.list} of {holder} says of itself: {odd[0][:200]}"
    told = {table.limit for table in tables if table.holder == holder}
    missing = [limit for limit in dict.fromkeys((*e.limits, *e.reached)) if limit not in told]
    return f"{holder} said nothing of the limit of {names(missing)} of {of or e.list}" if missing else ""


def _when(wrong: _Wrong, start: float, fault: FaultRecord) -> str:
    """From when on; nothing for what was so all the time."""
    if wrong.at <= start + 1e-9:
        return ""
    if wrong.at < fault.injected:
        return f", from {show_duration(fault.injected - wrong.at)} before the {fault.kind} on"
    return f", from {show_duration(wrong.at - fault.injected)} after the {fault.kind} on"


def _fine(table: _Table) -> str:
    """`server-1/tenant-a was held to 64 MiB of memory, used 63.9 MiB, was hit 3 times`."""
    last = table.rows[-1][1]
    used = max(entry.used for _, entry in table.rows)
    held = f"{table.of} is held to {_shown(table.limit, last.kernel or 0.0)}"
    of = " of memory" if table.limit == "memory" else " of disk" if table.limit == "disk" else ""
    hits = max(0.0, last.hits - table.rows[0][1].hits)
    if table.limit == "cpu":
        hit = f" and was held back for {show_duration(hits)}" if hits else ""
    else:
        hit = f" and ran into it {hits:g} times" if hits else ""
    return f"{held}{of}, used {_shown(table.limit, used)} at most{hit}"


def _called(limit: LimitName) -> str:
    return {"cpu": "CPU", "disk": "its disk", "files": "open files"}.get(limit, limit)


def _shown(limit: LimitName, value: float) -> str:
    """A number in its unit, as people say it."""
    if limit in ("memory", "disk"):
        return show_size(value)
    return f"{value:.3g} {'CPUs' if limit == 'cpu' else 'open files' if limit == 'files' else 'processes'}"
