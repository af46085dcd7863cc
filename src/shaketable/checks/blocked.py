"""No session waits long for another's lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from shaketable.checks.findings import finding
from shaketable.checks.listed import Span
from shaketable.checks.locks import Chain, Session, Wait, Watched, chains, waits, watched
from shaketable.model.claims import NotBlocked
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

_MOST_EVIDENCE = 50


@dataclass(frozen=True, slots=True)
class _Blocked:
    """A wait within the window of the claim."""

    holder: str
    wait: Wait

    @property
    def seconds(self) -> float:
        return self.wait.end - self.wait.start


def not_blocked(e: NotBlocked, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """No wait for a lock that was seen between the fault's effect and the trial's end is longer than the limit.

    What was seen to wait too long fails, whatever could not be seen elsewhere.
    """
    start, end = fault.injected, history.ended
    lists = [replace(one, spans=tuple(_within(one.spans, start, end))) for one in watched(history, e.list)]
    gap = scenario.observers.max_gap
    seen = [_Blocked(one.holder, wait) for one in lists for wait in waits(_broken(one.spans, gap))]
    worst = max(seen, key=lambda b: b.seconds, default=None)
    found = [c for c in chains(history, e.list) if c.end > start]
    if worst is not None and worst.seconds > e.longest:
        evidence = _evidence(found, [b for b in seen if b.seconds > e.longest], fault)
        because = f"{_words(worst, found)} (limit {show(e.longest)})"
        return finding(e, "fail", because, worst.seconds, e.longest, evidence=evidence)
    evidence = _evidence(found, [], fault)
    if unseen := _unseen(e, lists, start):
        return finding(e, "unknown", unseen, None, e.longest, evidence=evidence)
    if worst is None:
        return finding(e, "pass", "nobody was seen to wait for a lock", 0.0, e.longest)
    return finding(e, "pass", _words(worst, found), worst.seconds, e.longest, evidence=evidence)


def _within(spans: Iterable[Span], start: float, end: float) -> Iterator[Span]:
    for span in spans:
        if span.end > start and span.start < end:
            yield Span(max(span.start, start), min(span.end, end), span.entries)


def _broken(spans: Sequence[Span], gap: float) -> Iterator[Span]:
    """Count what nobody saw for longer than the gap as nobody waiting: what is left was surely seen."""
    for start, end in _dark(spans):
        if end - start > gap:
            spans = [Span(s.start, s.end, frozenset()) if start <= s.start < end else s for s in spans]
    yield from spans


def _dark(spans: Iterable[Span]) -> list[tuple[float, float]]:
    """Stretches without a break that could not be read."""
    found: list[tuple[float, float]] = []
    for span in spans:
        if span.entries is None:
            joins = bool(found) and found[-1][1] == span.start
            found[-1:] = [(found[-1][0], span.end)] if joins else [*found[-1:], (span.start, span.end)]
    return found


def _unseen(e: NotBlocked, lists: Sequence[Watched], start: float) -> str:
    """Why somebody could have waited too long unseen; empty if nobody could."""
    if not lists:
        return f"nobody ever said what is on the list {e.list}"
    for one in lists:
        if not one.spans or one.spans[0].start > start:
            return f"{one.holder} had not said what is on the list {e.list} when the fault took effect"
        dark = _dark(one.spans)
        longest = max((stop - begin for begin, stop in dark), default=0.0)
        if longest > e.longest:
            return f"{one.holder} could not be looked at for {show(longest)}, and nobody may wait for {show(e.longest)}"
        for wait in waits(one.spans):
            before = next((stop - begin for begin, stop in dark if stop == wait.start), 0.0)
            after = next((stop - begin for begin, stop in dark if begin == wait.end), 0.0)
            if (most := wait.end - wait.start + before + after) > e.longest:
                beside = f"{one.holder} could not be looked at for {show(max(before, after, longest))}"
                return f"{beside}: session {wait.session.id} may have waited up to {show(most)}"
    return ""


def _words(worst: _Blocked, found: Sequence[Chain]) -> str:
    """Name the root that the longest wait was behind for the most of its time, how many were, and the wait itself."""
    wait = worst.wait
    mine = [c for c in found if c.holder == worst.holder]
    chain = max(mine, key=lambda c: _shared(c, wait), default=None)
    how = f"session {wait.session.id} ({wait.session.who}) waited {show(worst.seconds)} for {wait.on}"
    if chain is None:  # cannot be: who waits is in a chain
        return f"{worst.holder}: {how}"
    others = f"up to {chain.most} others" if chain.most > 1 else "1 other"
    return f"{worst.holder}: {named(chain.blocker)} blocked {others}; the longest, {how}"


def named(session: Session) -> str:
    """Name a session that blocks: `session 1234 (migration/migrate, idle in transaction: UPDATE ...)`."""
    said = f": {session.statement}" if session.statement else ""
    return f"session {session.id} ({', '.join(filter(None, (session.who, session.state)))}{said})"


def _shared(chain: Chain, wait: Wait) -> float:
    """Seconds of a wait for which the chain had it, as one behind or as the root of a cycle."""
    mine = [(w.start, w.end) for w in chain.behind if w.session.id == wait.session.id]
    if chain.blocker.id == wait.session.id:
        mine.append((chain.start, chain.end))
    return sum(max(0.0, min(end, wait.end) - max(start, wait.start)) for start, end in mine)


def _evidence(found: Sequence[Chain], too_long: Sequence[_Blocked], fault: FaultRecord) -> list[Evidence]:
    """The chains, the longest first, and the waits that were too long."""
    t0 = fault.injected
    spans = [
        Evidence(where=c.holder, start=c.start - t0, end=c.end - t0, text=f"{named(c.blocker)} blocked {c.most}")
        for c in sorted(found, key=lambda c: c.start - c.end)
    ]
    waited = [
        Evidence(
            where=b.holder,
            start=b.wait.start - t0,
            end=b.wait.end - t0,
            text=f"session {b.wait.session.id} waited for {b.wait.on}",
        )
        for b in sorted(too_long, key=lambda b: -b.seconds)
    ]
    return [*spans[: _MOST_EVIDENCE // 2], *waited[: _MOST_EVIDENCE // 2]]
