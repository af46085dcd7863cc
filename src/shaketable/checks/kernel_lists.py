"""What a trial's looks say of processes that ended and of limits: the entries of `ends` and `limits`, read back."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from shaketable.checks.listed import Copy, Span, copies
from shaketable.model.history import TrialHistory
from shaketable.model.kernel import End, Limit
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

_Entry = TypeVar("_Entry", End, Limit)


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that ended, and the holder that says so."""

    holder: str
    end: End


def instance_of(scenario: Scenario, name: str) -> str:
    """The instance or nested host that a list or gauge of a holder `containers` is of; empty if it names none."""
    for holder in scenario.observers.holders.values():
        word = holder.lists.get(name) or holder.gauges.get(name)
        if holder.kind == "containers" and word is not None:
            return word.partition(" ")[2].strip()
    return ""


def looked(copy: Copy, start: float, end: float) -> tuple[Span, ...]:
    """What it was between two moments, clipped to them: the look that was in force at the start comes first."""
    found = (Span(max(s.start, start), min(s.end, end), s.entries) for s in copy.spans if s.start < end)
    return tuple(s for s in found if s.end > s.start)


def read_entries(kind: type[_Entry], entries: Iterable[str]) -> tuple[list[_Entry], list[str]]:
    """Read entries back; and those that could not be, as they are."""
    found: list[_Entry] = []
    odd: list[str] = []
    for text in sorted(entries):
        try:
            found.append(kind.model_validate_json(text))
        except ValidationError:
            odd.append(text)
    return found, odd


def ended(history: TrialHistory, name: str, since: float) -> list[Ended]:
    """Every process of a list that ended from a moment on, in time order; what two holders say of one is said once."""
    found: dict[tuple[str, int, float], Ended] = {}
    for copy in copies(history, name):
        for end in read_entries(End, copy.entries())[0]:
            if since <= end.at <= history.ended:
                found.setdefault((end.of, end.pid, round(end.at, 1)), Ended(copy.holder, end))
    return sorted(found.values(), key=lambda e: (e.end.at, e.end.pid))


def unread(history: TrialHistory, scenario: Scenario, name: str, start: float) -> str:
    """Why an end that happened from a moment on could be missing from the list; empty if it could not.

    What ended stays on the list for a while, so that a short time in which nobody could read it hides nothing: only
    what the last look does not tell is lost. An entry that is no end of a process says that some were not heard of; one
    that was there at the start is about what came before.
    """
    held, end = copies(history, name), history.ended
    if not held:
        return f"nobody ever said what is on the list {name}"
    paces = [holder.pace or 0.0 for holder in scenario.observers.holders.values() if name in holder.lists]
    gap = scenario.observers.max_gap + max(paces, default=0.0)
    for copy in held:
        spans = looked(copy, start, end)
        if not any(s.entries is not None for s in spans):
            return f"the list {name} of {copy.holder} could not be read"
        last = max(s.end for s in spans if s.entries is not None)
        if end - last > gap:
            return f"the list {name} of {copy.holder} could not be read in the last {show(end - last)}"
        new = {entry for span in spans for entry in span.entries or ()} - copy.known_at(start)
        if odd := read_entries(End, new)[1]:
            return f"the list {name} of {copy.holder} says of itself: {odd[0][:200]}"
    return ""


def how(end: End) -> str:
    """What ended a process, its name and how long it lived: `SIGXCPU, python3 that ran for 2.5 s`."""
    cause = f"code {end.code}"
    if end.signal:
        known = {int(s): s.name for s in signal.Signals}
        cause = known.get(end.signal, f"signal {end.signal}")
    return f"{cause}, {end.command} that ran for {show(max(0.0, end.at - end.began))}"


def by_whom(end: End) -> str:
    """Who ended a process, in words."""
    words = {"itself": "itself", "guard": "the guard", "limit": end.who or "a memory limit", "engine": "the engine"}
    return words.get(end.by) or (f"the watchdog {end.who}" if end.who else "a watchdog")


def dark(spans: Sequence[Span]) -> float:
    """The longest time without a break in which nothing could be read, seconds; infinity if nothing ever could."""
    if not any(s.entries is not None for s in spans):
        return math.inf
    longest = run = 0.0
    for span in spans:
        run = run + span.end - span.start if span.entries is None else 0.0
        longest = max(longest, run)
    return longest
