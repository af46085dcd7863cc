"""Who blocks whom, over time: the looks at a database's lock waits as chains behind the session that holds them up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from shaketable.checks.listed import Span, copies
from shaketable.model.history import TrialHistory

_KEYS: Final = frozenset({"by", "for", "holds", "on", "state", "waiter", "who", "wants"})
WAITING: Final = "waiting"
"""The state of a session that is behind another."""


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """One session of a database, and what it does or did last."""

    id: str
    who: str
    """`user/application`."""
    state: str
    statement: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stretch of time, absolute seconds, in which a session waited for the same thing at the same place of a chain."""

    session: Session
    start: float
    end: float
    depth: int
    """1 waits for the root itself."""
    on: str
    """What is waited for: `relation subscriptions`."""
    by: str = ""
    """Whom it waits for itself: the id of the root at depth 1, of one that waits as well beyond."""
    also: tuple[str, ...] = ()
    """The ids of other roots that it waits for itself: it goes on only when they let go as well."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of a chain in which its blocker had the same state and statement."""

    session: Session
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Chain:
    """One root blocker, who waits for nobody, and all that were behind it without a break, directly or through others."""

    holder: str
    list: str
    blocker: Session
    """As it was for the longest time."""
    start: float
    end: float
    """When it was last seen to block: no later than it could be looked at."""
    behind: tuple[Waiting, ...]
    """By their start, then depth."""
    turns: tuple[Turn, ...] = ()
    """What the blocker did meanwhile, in order."""

    @property
    def most(self) -> int:
        """How many sessions were behind it at once, at most."""
        return max((number for _, number in at_once(self.behind)), default=0)


@dataclass(frozen=True, slots=True)
class Wait:
    """One statement of a session that waited, whomever for, absolute seconds."""

    session: Session
    start: float
    end: float
    """When it was last seen to wait."""
    on: str
    """What it waited for at first."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One holder's list of lock waits over a trial; `spans` lie within the trial, in order."""

    holder: str
    list: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Edge:
    waiter: Session
    blocker: Session
    on: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one session stands in one look."""

    session: Session
    depth: int
    on: str
    by: str
    also: tuple[str, ...]


@dataclass(slots=True)
class _Open:
    """A chain that the last look still had."""

    turns: list[Turn]
    behind: dict[str, list[Waiting]] = field(default_factory=dict)
    latest: frozenset[str] = frozenset()
    """Who was behind it in the last look."""


def watched(history: TrialHistory, name: str | None = None) -> tuple[Watched, ...]:
    """Every holder's list of this name; of any name, if it ever had an entry of lock waits, if None."""
    names = dict.fromkeys(look.list for look in history.looks) if name is None else [name]
    found = []
    for each in names:
        for copy in copies(history, each):
            if name is not None or any(_edge(entry) for span in copy.spans for entry in span.entries or ()):
                spans = (
                    Span(max(s.start, history.began), min(s.end, history.ended), s.entries)
                    for s in copy.spans
                    if s.end > history.began and s.start < history.ended
                )
                found.append(Watched(copy.holder, each, tuple(spans)))
    return tuple(found)


def chains(history: TrialHistory, name: str | None = None) -> tuple[Chain, ...]:
    """Every chain of every holder with such a list, in the order in which they began.

    In each look every session that waits is in exactly one chain: with the root that is the fewest steps away, of several
    the one with the smallest id. Of sessions that wait for each other in a cycle the smallest id stands as root. A
    holder that cannot be read ends nothing by itself: what is there before and after is one stretch.
    """
    found = [chain for one in watched(history, name) for chain in _chains(one)]
    return tuple(sorted(found, key=lambda c: (c.start, c.holder, c.list, _order(c.blocker.id))))


def _chains(one: Watched) -> Iterator[Chain]:
    going: dict[str, _Open] = {}
    for span in one.spans:
        if span.entries is None:
            continue
        here = graph(span.entries)
        for root in [root for root in going if root not in here]:
            yield _closed(one, going.pop(root))
        for root, (session, places) in here.items():
            _extend(going.setdefault(root, _Open([])), session, places, span)
    for last in going.values():
        yield _closed(one, last)


def _extend(chain: _Open, blocker: Session, places: Mapping[str, _Place], span: Span) -> None:
    """Let a chain go on over one more look."""
    if chain.turns and chain.turns[-1].session == blocker:
        chain.turns[-1] = replace(chain.turns[-1], end=span.end)
    else:
        chain.turns.append(Turn(blocker, span.start, span.end))
    for waiter, place in places.items():
        mine = chain.behind.setdefault(waiter, [])
        if waiter in chain.latest and _place(mine[-1]) == place:
            mine[-1] = replace(mine[-1], end=span.end)
        else:
            mine.append(Waiting(place.session, span.start, span.end, place.depth, place.on, place.by, place.also))
    chain.latest = frozenset(places)


def _place(waiting: Waiting) -> _Place:
    return _Place(waiting.session, waiting.depth, waiting.on, waiting.by, waiting.also)


def _closed(one: Watched, chain: _Open) -> Chain:
    spent: dict[Session, float] = {}
    for turn in chain.turns:
        spent[turn.session] = spent.get(turn.session, 0.0) + turn.end - turn.start
    behind = [waiting for mine in chain.behind.values() for waiting in mine]
    return Chain(
        holder=one.holder,
        list=one.list,
        blocker=max(spent, key=lambda session: spent[session]),
        start=chain.turns[0].start,
        end=chain.turns[-1].end,
        behind=tuple(sorted(behind, key=lambda w: (w.start, w.depth, _order(w.session.id)))),
        turns=tuple(chain.turns),
    )


def graph(entries: Iterable[str]) -> dict[str, tuple[Session, dict[str, _Place]]]:
    """One look as chains: by the root's id the root, and by their ids where those behind it stand.

    A root all of whose waiters are behind another one that is as near has no chain; they say that they wait for it, too.
    """
    edges = sorted(
        {edge for entry in entries if (edge := _edge(entry))},
        key=lambda e: (_order(e.waiter.id), _order(e.blocker.id), e.on, e.waiter, e.blocker),
    )
    blockers: dict[str, set[str]] = {}
    behind: dict[str, list[_Edge]] = {}
    for edge in edges:
        blockers.setdefault(edge.waiter.id, set()).add(edge.blocker.id)
        behind.setdefault(edge.blocker.id, []).append(edge)
    roots = _roots(blockers, behind)
    found: dict[str, tuple[Session, dict[str, _Place]]] = {root: (behind[root][0].blocker, {}) for root in roots}
    free = {root for root in roots if root not in blockers}
    seen, at = set(roots), [(root, root) for root in roots]
    depth = 1
    while at:
        further = []
        for root, blocker in at:
            for edge in behind.get(blocker, ()):
                if (waiter := edge.waiter.id) not in seen:
                    seen.add(waiter)
                    found[root][1][waiter] = _Place(
                        edge.waiter,
                        depth,
                        edge.on,
                        blocker,
                        tuple(sorted((blockers[waiter] & free) - {blocker}, key=_order)),
                    )
                    further.append((root, waiter))
        at, depth = further, depth + 1
    return {root: told for root, told in found.items() if told[1]}


def _roots(blockers: Mapping[str, set[str]], behind: Mapping[str, Sequence[_Edge]]) -> list[str]:
    """Whoever blocks and waits for nobody; of each cycle that waits for nobody else, the smallest id."""
    waiters_of = {blocker: {edge.waiter.id for edge in edges} for blocker, edges in behind.items()}
    roots = {blocker for blocker in behind if blocker not in blockers}
    reached = set().union(*({root} | _reach(root, waiters_of) for root in roots))
    for waiter in sorted(blockers, key=_order):
        if waiter in reached:
            continue
        cycle = _reach(waiter, blockers)
        while beyond := next((c for node in sorted(cycle) if (c := _reach(node, blockers)) < cycle), None):
            cycle = beyond  # the waiter is only on the way to the cycle
        root = min(cycle, key=_order)
        roots.add(root)
        reached |= {root} | _reach(root, waiters_of)
    return sorted(roots, key=_order)


def _reach(node: str, along: Mapping[str, set[str]]) -> set[str]:
    """All that one comes to from a node; itself only if it is on a cycle."""
    found: set[str] = set()
    open_ends = [node]
    while open_ends:
        new = along.get(open_ends.pop(), set()) - found
        found |= new
        open_ends += new
    return found


def waits(spans: Iterable[Span]) -> tuple[Wait, ...]:
    """Every wait of a session for a lock, over all whom it waited for; another statement is another wait.

    What is there before and after a stretch that could not be read is one wait.
    """
    going: dict[tuple[str, str], Wait] = {}
    found: list[Wait] = []
    for span in spans:
        if span.entries is None:
            continue
        edges = sorted((edge for entry in span.entries if (edge := _edge(entry))), key=lambda e: (e.waiter, e.on))
        here = {(edge.waiter.id, edge.waiter.statement): edge for edge in reversed(edges)}
        found += [going.pop(key) for key in [key for key in going if key not in here]]
        for key, edge in here.items():
            before = going.get(key)
            going[key] = replace(before, end=span.end) if before else Wait(edge.waiter, span.start, span.end, edge.on)
    return tuple(sorted([*found, *going.values()], key=lambda w: (w.start, _order(w.session.id), w.session.statement)))


def at_once(stretches: Iterable[Waiting]) -> list[tuple[float, int]]:
    """How many different sessions waited, from each moment on at which that changed or could have."""
    moments = [m for w in stretches for m in ((w.start, 1, w.session.id), (w.end, -1, w.session.id))]
    inside: dict[str, int] = {}
    counts: dict[float, int] = {}
    now = 0
    for moment, change, session in sorted(moments):
        before = inside.get(session, 0)
        inside[session] = before + change
        now += (inside[session] > 0) - (before > 0)
        counts[moment] = now
    return list(counts.items())


def _order(session: str) -> tuple[bool, int, str]:
    """Numbers by their size, before whatever is none."""
    number = session.isascii() and session.isdigit()
    return not number, len(session) if number else 0, session


@lru_cache(maxsize=16384)
def _edge(entry: str) -> _Edge | None:
    """Read an entry; None for one that is no lock wait."""
    if not entry.startswith("{"):
        return None
    try:
        told = json.loads(entry)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or told.keys() != _KEYS or not all(isinstance(v, str) for v in told.values()):
        return None
    if told["waiter"] == told["for"]:
        return None
    return _Edge(
        waiter=Session(told["waiter"], told["who"], WAITING, told["wants"]),
        blocker=Session(told["for"], told["by"], told["state"], told["holds"]),
        on=told["on"],
    )
