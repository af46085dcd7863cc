"""What the page draws of one trial, as small as it gets: who listed the dead instance when, and every arrival.

All times are whole milliseconds since the fault took effect (since the trial began, where there was no fault).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypedDict

from shaketable.checks.functions import Function
from shaketable.checks.listed import Copy, Intervals, belongs, copies
from shaketable.checks.rollout import first_known
from shaketable.model.claims import Appears, Availability, Latency, Leaves, NotCalled, Stays
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.spans import show_parts
from shaketable.model.units import show_duration
from shaketable.reports.digest import one_line
from shaketable.reports.html_axis import Blind, Scale, blind
from shaketable.reports.html_locks import LocksLane
from shaketable.reports.html_locks import lanes as locks_lanes
from shaketable.reports.html_status import Status, status
from shaketable.reports.locks import Locks, wait_lists
from shaketable.reports.status import alert_lists, first_effect

LISTED, WITHIN, LATE, MISSING, WRONG = range(5)
"""What a stretch of a row means: as it should be; dead, but within the limit; dead, beyond it; healthy, yet gone; not
steady (only without a fault)."""
OK, SLOW, FAILED = range(3)
_MAX_ROWS: Final = 40
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Row(TypedDict):
    """One entry in one holder; `spans` are (start, end, meaning), stretches in which it was not listed are left out."""

    entry: str
    bad: bool
    spans: list[tuple[int, int, int]]


class Lane(TypedDict):
    """One holder: its rows, stretches in which it was not seen, and new entries of lists that must announce the fault."""

    holder: str
    rows: list[Row]
    hidden: int
    """Rows left out because there were too many; none of them is bad unless there is nothing else."""
    blind: Blind
    news: list[tuple[int, str, bool]]
    """(time, text, whether it is about the target)."""


class Arrivals(TypedDict):
    """Arrivals in columns; `text`, `by` and `called` are numbers of `words`, 0 for nothing."""

    of: int
    """How many there were; more than are here if they had to be thinned."""
    due: list[int]
    tenths: list[int]
    """Latency from the scheduled start, in tenths of a millisecond."""
    outcome: list[int]
    name: list[int]
    text: dict[int, int]
    """What went wrong, by position."""
    by: list[int]
    called: dict[int, int]
    """The dead instance that was called, by position."""
    missed: list[tuple[int, int]]
    """(time, number) of arrivals that could not be started."""
    words: list[str]


class Timeline(TypedDict):
    """Everything of one trial that is drawn."""

    start: int
    end: int
    zero: str
    """What happened at 0."""
    life: str
    """What a second stands for, where time passes faster than life: `10 min`."""
    down: tuple[int, int] | None
    """From the first effect to the end of the last heal."""
    bands: list[tuple[int, int, int, str]]
    """With several faults, for each: from effect, until healed, its row, and what it was."""
    marks: list[tuple[int, str]]
    status: Status
    locks: list[LocksLane]
    deadlines: list[tuple[int, str]]
    lanes: list[Lane]
    limit: int | None
    """Latency limit, in tenths of a millisecond."""
    limit_text: str
    excluded: int | None
    """Until when arrivals are not judged."""
    called_from: int | None
    """From when nothing may be sent to the dead; None where no expectation says so."""
    arrivals: Arrivals


def to_script(timeline: Timeline) -> str:
    """Write as JSON that may stand in a `<script>`: nothing in it can end the element or begin another."""
    return json.dumps(timeline, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def timeline(
    history: TrialHistory,
    scenario: Scenario,
    functions: Sequence[Function],
    max_arrivals: int,
    locks: Sequence[Locks] = (),
) -> Timeline:
    """Gather what is drawn of a trial; at most `max_arrivals` arrivals, the failed and the slow ones before the others."""
    fault = history.fault()
    ms = Scale(first_effect(history))
    latency = [e for e in scenario.expectations if isinstance(e, Latency)]
    limit = min((e.at_most for e in latency), default=None)
    excluded = max((e.except_first for e in scenario.expectations if isinstance(e, Availability | Latency)), default=0)
    strictest = [e for e in latency if e.at_most == limit]
    text = f"p{strictest[0].quantile * 100:g} limit {show_duration(strictest[0].at_most)}" if strictest else ""
    if strictest and (strictest[0].requests or strictest[0].cohort):
        text += f" for {one_line(', '.join([*strictest[0].requests, *strictest[0].cohort.values()]))}"
    return Timeline(
        start=ms(history.began),
        end=ms(history.ended),
        zero=f"{fault.kind} of {one_line(' and '.join(fault.targets))}" if fault else "the trial began",
        life=show_parts(scenario.compression.times) if scenario.compression else "",
        down=(0, max(ms(history.healed), 0)) if fault else None,
        bands=_bands(history, ms),
        marks=list(_marks(history, scenario, ms)),
        status=status(history, scenario, functions, ms),
        locks=locks_lanes(locks, history, scenario, ms),
        deadlines=_deadlines(scenario) if fault else [],
        lanes=list(_lanes(history, scenario, ms)),
        limit=None if limit is None else round(limit * 10_000),
        limit_text=text,
        excluded=round(excluded * 1000) if fault and excluded else None,
        called_from=min(
            (round(e.after * 1000) for e in scenario.expectations if isinstance(e, NotCalled)), default=None
        ),
        arrivals=_arrivals(history, latency, ms, max_arrivals),
    )


def _bands(history: TrialHistory, ms: Scale) -> list[tuple[int, int, int, str]]:
    """Give faults that overlap rows of their own; one fault alone needs none."""
    if len(history.faults) < 2:
        return []
    rows: list[int] = []
    bands = []
    for fault in sorted(history.faults, key=lambda f: f.injected):
        begins, ends = ms(fault.injected), max(ms(fault.healed), ms(fault.injected) + 1)
        row = next((n for n, until in enumerate(rows) if until <= begins), len(rows))
        rows[row : row + 1] = [ends]
        bands.append((begins, ends, row, f"{fault.id}: {fault.kind} of {one_line(' and '.join(fault.targets))}"))
    return bands


def _marks(history: TrialHistory, scenario: Scenario, ms: Scale) -> Iterator[tuple[int, str]]:
    if history.steady is not None:
        yield ms(history.steady), "steady"
    for fault in history.faults if len(history.faults) == 1 else ():  # several are drawn as bands of their own
        yield ms(fault.sent), "sent"
        yield ms(fault.injected), "takes effect"
        if fault.witness.at is not None:
            yield ms(fault.witness.at), "witnessed"
        yield ms(fault.heal_began), "heal begins"
        yield ms(fault.healed), "healed"
    if (known := first_known(history, scenario)) is not None:
        yield ms(known.at), "gate tripped" if history.tripped else "a gate could have known"
    if history.recovered is not None:
        yield ms(history.recovered), "steady again"


def _deadlines(scenario: Scenario) -> list[tuple[int, str]]:
    """Until when the dead must have left, one for each moment."""
    lists: dict[float, list[str]] = {}
    for e in scenario.expectations:
        if isinstance(e, Leaves):
            lists.setdefault(e.within, []).append(e.list)
    many = len(lists) > 1
    return [
        (round(within * 1000), f"limit {show_duration(within)}" + (f" ({', '.join(names)})" if many else ""))
        for within, names in sorted(lists.items())
    ]


def _lanes(history: TrialHistory, scenario: Scenario, ms: Scale) -> Iterator[Lane]:
    announcing, alerting = {e.list for e in scenario.expectations if isinstance(e, Appears)}, alert_lists(scenario)
    blocking = wait_lists(scenario)
    for holder, described in scenario.observers.holders.items():
        names = [name for name in described.lists if name not in alerting and (holder, name) not in blocking]
        if not names or described.kind == "containers":
            continue  # rows of the status view tell these
        mine = [copy for name in names for copy in copies(history, name) if copy.holder == holder]
        rows = [row for copy in mine if copy.list not in announcing for row in _rows(copy, history, scenario, ms)]
        if described.kind == "database" and not rows and not announcing.intersection(names):
            continue  # its own queries list nothing of the target; whether it was seen its locks and gauges tell
        kept = sorted(range(len(rows)), key=lambda n: (not rows[n]["bad"], n))[:_MAX_ROWS]
        yield Lane(
            holder=holder,
            rows=[rows[n] for n in sorted(kept)],
            hidden=len(rows) - len(kept),
            blind=blind(history, scenario, holder, mine, ms),
            news=[n for copy in mine if copy.list in announcing for n in _news(copy, history, ms)],
        )


def _rows(copy: Copy, history: TrialHistory, scenario: Scenario, ms: Scale) -> Iterator[Row]:
    """Make a row for each entry of the target, and for each healthy one that went missing; without a fault, one for the list."""
    if (fault := history.fault()) is None:
        yield from _sizes(copy, scenario, ms)
        return
    within = min(
        (e.within for e in scenario.expectations if isinstance(e, Leaves) and e.list == copy.list), default=None
    )
    for entry in sorted(entry for entry in copy.entries() if belongs(entry, history.targets)):
        down = next(f for f in history.faults if belongs(entry, f.targets))
        spans = [part for start, end in copy.listed(entry) for part in _dead(start, end, down, within)]
        yield _row(entry, spans, ms)
    if any(isinstance(e, Stays) and e.list == copy.list for e in scenario.expectations):
        present = copy.at(fault.injected)
        for entry in sorted((present.entries if present else None) or ()):
            listed = copy.listed(entry)
            gaps = _gaps(listed, fault.injected, history.ended)
            if gaps and not belongs(entry, history.targets):
                yield _row(entry, [*((a, b, LISTED) for a, b in listed), *((a, b, MISSING) for a, b in gaps)], ms)


def _row(entry: str, spans: Iterable[tuple[float, float, int]], ms: Scale) -> Row:
    drawn = sorted((ms(start), ms(end), meaning) for start, end, meaning in spans if end > start)
    return Row(entry=one_line(entry), bad=any(m in {LATE, MISSING} for _, _, m in drawn), spans=drawn)


def _dead(start: float, end: float, fault: FaultRecord, within: float | None) -> Iterator[tuple[float, float, int]]:
    """Cut a stretch in which the target was listed into before, within the limit, beyond it, and after heal.

    Without a limit nobody said that it must leave: it may be back by itself long before heal.
    """
    if within is None:
        yield start, end, LISTED
        return
    deadline = min(fault.injected + within, fault.heal_began)
    edges = [-math.inf, fault.injected, deadline, fault.heal_began, math.inf]
    for (low, high), meaning in zip(pairwise(edges), (LISTED, WITHIN, LATE, LISTED), strict=True):
        if max(start, low) < min(end, high):
            yield max(start, low), min(end, high), meaning


def _gaps(listed: Intervals, start: float, end: float) -> Intervals:
    """Find the stretches of [start, end] outside the intervals."""
    gaps, at = [], start
    for begins, ends in listed:
        if begins > at:
            gaps.append((at, min(begins, end)))
        at = max(at, ends)
    return [(a, b) for a, b in [*gaps, (at, end)] if b > a]


def _sizes(copy: Copy, scenario: Scenario, ms: Scale) -> Iterator[Row]:
    """Without a fault the question is why the topology was not steady: whether the list had its size."""
    wanted = scenario.steady.lists.get(copy.list)
    spans = [
        (span.start, span.end, LISTED if wanted in {None, len(span.entries)} else WRONG)
        for span in copy.spans
        if span.entries is not None
    ]
    sizes = sorted({len(span.entries) for span in copy.spans if span.entries is not None})
    counted = f": {sizes[0]}{f' to {sizes[-1]}' if sizes[1:] else ''}" if sizes else ""
    row = _row(f"{copy.list}{counted}{f' of {wanted}' if wanted is not None else ''}", spans, ms)
    row["bad"] = any(meaning == WRONG for _, _, meaning in spans)
    yield row


def _news(copy: Copy, history: TrialHistory, ms: Scale) -> Iterator[tuple[int, str, bool]]:
    targets = history.targets
    for entry in sorted(copy.entries()):
        for start, _ in copy.listed(entry)[:1]:
            if start > history.began:
                yield ms(start), one_line(entry), any(target in entry for target in targets)


def _too_slow(request: Request, limits: Iterable[Latency]) -> bool:
    """Whether it took longer than an expectation about such arrivals allows."""
    return any(
        request.latency > e.at_most
        and (not e.requests or request.name in e.requests)
        and e.cohort.items() <= request.labels.items()
        for e in limits
    )


def _arrivals(history: TrialHistory, limits: Sequence[Latency], ms: Scale, at_most: int) -> Arrivals:
    requests = history.requests
    outcomes = [FAILED if not r.ok else SLOW if _too_slow(r, limits) else OK for r in requests]
    kept = _thinned(outcomes, at_most)
    words: dict[str, int] = {"": 0}

    def word(text: str) -> int:
        return words.setdefault(one_line(text), len(words))

    text, called = {}, {}
    for place, n in enumerate(kept):
        if not requests[n].ok:
            text[place] = word(requests[n].error or f"status {requests[n].status}")
        if dead := _called_dead(requests[n], history.faults):
            called[place] = word(dead)
    return Arrivals(
        of=len(requests),
        due=[ms(requests[n].scheduled) for n in kept],
        tenths=[max(1, round(requests[n].latency * 10_000)) for n in kept],
        outcome=[outcomes[n] for n in kept],
        name=[word(requests[n].name) for n in kept],
        text=text,
        by=[word(requests[n].served_by) for n in kept],
        called=called,
        missed=[(ms(beat.at), beat.not_started) for beat in history.load_beats if beat.not_started],
        words=list(words),
    )


def _called_dead(request: Request, faults: Sequence[FaultRecord]) -> str:
    """Name the targets' instances that an arrival was sent on to while they were down."""
    down = [f for f in faults if f.injected < request.started < f.heal_began]
    return ", ".join(sorted({u for f in down for u in request.upstreams if belongs(u, f.targets)}))


def _thinned(outcomes: Sequence[int], at_most: int) -> list[int]:
    """Choose the positions that are drawn: the worst outcome first, evenly spread where not all of it fits."""
    chosen: list[int] = []
    for outcome in (FAILED, SLOW, OK):
        these, room = [n for n, o in enumerate(outcomes) if o == outcome], at_most - len(chosen)
        step = max(1.0, len(these) / room) if room > 0 else math.inf
        chosen += [these[int(i * step)] for i in range(math.ceil(len(these) / step))] if step < math.inf else []
    return sorted(chosen)


def by_trial(histories: Iterable[TrialHistory]) -> Mapping[tuple[str, str, int], TrialHistory]:
    """Index histories by scenario, variant and number of the trial."""
    return {(history.scenario, history.variant, history.index): history for history in histories}
