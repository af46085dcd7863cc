"""The lock graph of a trial as people are told it: each session that blocked others, and the ones that matter behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from shaketable.checks.locks import Chain, Session, Waiting, chains
from shaketable.model.claims import NotBlocked
from shaketable.model.history import TrialHistory
from shaketable.model.result import Cell, ScenarioResult
from shaketable.model.scenario import WAITS, Scenario
from shaketable.model.units import show_duration as show
from shaketable.reports.digest import one_line
from shaketable.reports.functions_by_cell import trial_key

_ROOM: Final = (12, 12, 6, 3, 3, 2, 2, 2)
"""For how many sessions behind it there is room, by the rank of the blocker at its database."""
NOTABLE: Final = 1.0
"""Seconds from which a wait is told as bad where no claim says: from then on databases log it (deadlock_timeout)."""
_STATEMENT: Final = 120
_MOST_STATEMENTS: Final = 4


@dataclass(frozen=True, slots=True)
class Behind:
    """One session behind a blocker, with every stretch in which it was there, by time."""

    session: Session
    """As it was for the longest time."""
    depth: int
    """How far it is indented: 1 is right below the blocker."""
    waiting: tuple[Waiting, ...]
    """Stretches that follow one another with the same statement, for the same thing, are one."""

    @property
    def seconds(self) -> float:
        """How long it was behind, all in all."""
        return sum(w.end - w.start for w in self.waiting)

    @property
    def longest(self) -> float:
        """Its longest stretch without a break."""
        return max(end - start for start, end in joined(self.waiting))


@dataclass(frozen=True, slots=True)
class Blocking:
    """One session that blocked others at one database, over the whole trial."""

    holder: str
    blocker: Session
    chains: tuple[Chain, ...]
    """Each time that it did, in order."""
    behind: tuple[Behind, ...]
    """The ones for which there is room, as a tree: each below the one it waits for."""
    rest: tuple[Behind, ...]
    """The others, the longest first."""
    most: int
    """How many waited at once, at most."""
    longest: float
    """The longest wait of one of them, seconds."""
    bad: bool
    """Whether that is longer than a claim allows, or notable where there is none."""

    @property
    def seconds(self) -> float:
        """For how long it blocked others, all in all."""
        return sum(chain.end - chain.start for chain in self.chains)


@dataclass(frozen=True, slots=True)
class Locks:
    """Who blocked others at one holder of lock waits."""

    holder: str
    list: str
    blocking: tuple[Blocking, ...]
    """Those for which there is room, the one that cost the others the most time first."""
    hidden: int
    hidden_longest: float
    """How many more there were, and for how long anybody was behind one of them at most."""


def locks(history: TrialHistory, scenario: Scenario) -> tuple[Locks, ...]:
    """Gather who blocked whom at every holder that has a list of lock waits, in the scenario's order."""
    found: dict[tuple[str, str], list[Chain]] = {place: [] for place in wait_lists(scenario)}
    for chain in chains(history):
        found.setdefault((chain.holder, chain.list), []).append(chain)
    looked_at = {(look.holder, look.list) for look in history.looks}
    return tuple(_locks(*place, mine, scenario) for place, mine in found.items() if place in looked_at)


def wait_lists(scenario: Scenario) -> tuple[tuple[str, str], ...]:
    """Name (holder, list) of every list of lock waits that a scenario observes."""
    return tuple(
        (holder, name)
        for holder, described in scenario.observers.holders.items()
        if described.kind == "database"
        for name, what in described.lists.items()
        if what == WAITS
    )


def _locks(holder: str, name: str, mine: Sequence[Chain], scenario: Scenario) -> Locks:
    limits = [e.longest for e in scenario.expectations if isinstance(e, NotBlocked) and e.list == name]
    by_blocker: dict[str, list[Chain]] = {}
    for chain in mine:
        by_blocker.setdefault(chain.blocker.id, []).append(chain)
    cost = {session: sum(w.end - w.start for c in held for w in c.behind) for session, held in by_blocker.items()}
    ranked = sorted(by_blocker, key=lambda session: -cost[session])
    room = [*_ROOM, *[0] * len(ranked)]
    all_of_them = [
        _blocking(by_blocker[session], most, min(limits, default=NOTABLE))
        for session, most in zip(ranked, room, strict=False)
    ]
    shown, others = all_of_them[: len(_ROOM)], all_of_them[len(_ROOM) :]
    return Locks(holder, name, tuple(shown), len(others), max((b.longest for b in others), default=0.0))


def _blocking(mine: Sequence[Chain], room: int, limit: float) -> Blocking:
    every = _behind(mine)
    longest = max(one.longest for one in every.values())
    kept = _kept(every, room)
    rest = [one for session, one in every.items() if session not in kept]
    return Blocking(
        holder=mine[0].holder,
        blocker=max(mine, key=lambda c: c.end - c.start).blocker,
        chains=tuple(mine),
        behind=tuple(_tree({session: every[session] for session in every if session in kept})),
        rest=tuple(sorted(rest, key=lambda one: -one.seconds)),
        most=max(chain.most for chain in mine),
        longest=longest,
        bad=longest > limit,
    )


def _behind(mine: Iterable[Chain]) -> dict[str, Behind]:
    """Gather each session behind, by its id, in the order in which they came."""
    found: dict[str, list[Waiting]] = {}
    for waiting in sorted((w for c in mine for w in c.behind), key=lambda w: w.start):
        found.setdefault(waiting.session.id, []).append(waiting)
    return {session: _one(waiting) for session, waiting in found.items()}


def _one(waiting: Sequence[Waiting]) -> Behind:
    longest = max(waiting, key=lambda w: w.end - w.start)
    merged: list[Waiting] = []
    for w in waiting:
        last = merged[-1] if merged else None
        if last and last.end == w.start and (last.session, last.on) == (w.session, w.on):
            merged[-1] = replace(last, end=w.end)
        else:
            merged.append(w)
    place = [replace(w, depth=longest.depth, by=longest.by, also=longest.also) for w in merged]
    return Behind(longest.session, longest.depth, tuple(place))


def joined(waiting: Iterable[Waiting]) -> list[tuple[float, float]]:
    """Join stretches that overlap or follow one another."""
    found: list[tuple[float, float]] = []
    for start, end in sorted((w.start, w.end) for w in waiting):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _kept(every: Mapping[str, Behind], room: int) -> set[str]:
    """Choose those behind for the longest time, each with all that stand between it and the blocker."""
    kept: set[str] = set()
    for session in sorted(every, key=lambda s: (-every[s].seconds, every[s].depth)):
        path: list[str] = []
        at = session
        while at in every and at not in kept and at not in path:
            path.append(at)
            at = every[at].waiting[0].by
        if len(kept) + len(path) <= room:
            kept.update(path)
    return kept


def _tree(kept: Mapping[str, Behind]) -> Iterator[Behind]:
    """Yield each below the one it waits for, indented once more than it."""
    below: dict[str, list[str]] = {}
    for session, one in kept.items():
        below.setdefault(one.waiting[0].by if one.waiting[0].by in kept else "", []).append(session)
    left = dict(kept)
    tops = below.get("", [])
    while left:
        stack = [(session, 1) for session in reversed(tops)] or [(next(iter(left)), 1)]  # in turn behind each other
        tops = []
        while stack:
            session, depth = stack.pop()
            if session in left:
                yield replace(left.pop(session), depth=depth)
                stack += [(child, depth + 1) for child in reversed(below.get(session, []))]


def statements(behind: Iterable[Behind]) -> list[tuple[int, str]]:
    """Count what sessions wanted to do, the most frequent first."""
    return [(n, what) for what, n in Counter(one.session.statement for one in behind).most_common(_MOST_STATEMENTS)]


def who(session: Session) -> str:
    """Name a session: `session 1234 (migration/migrate)`."""
    return one_line(f"session {session.id} ({session.who})" if session.who else f"session {session.id}")


def sentence(one: Blocking, *, statement: bool = True) -> str:
    """Say what a session did to the others: `session 7 (app/job, active) blocked up to 17 others for 6.2 s, with UPDATE ...`."""
    told = ", ".join(filter(None, (one.blocker.who, one.blocker.state)))
    others = "1 other" if one.most == 1 else f"up to {one.most} others"
    times = f"{len(one.chains)} times, {show(one.seconds)} in all" if one.chains[1:] else f"for {show(one.seconds)}"
    text = one_line(one.blocker.statement)
    short = f"{text[: _STATEMENT - 1].rstrip()}…" if len(text) > _STATEMENT else text
    did = f", with {short}" if short and statement else ""
    return one_line(f"session {one.blocker.id}{f' ({told})' if told else ''} blocked {others} {times}{did}")


def others_words(found: Locks) -> str:
    """Say how many more blocked others; empty if none did."""
    if not found.hidden:
        return ""
    sessions = "1 more session" if found.hidden == 1 else f"{found.hidden} more sessions"
    return f"{sessions} blocked others, nobody for longer than {show(found.hidden_longest)}"


BlockedFound = Mapping[tuple[str, str, int], Sequence[Blocking]]
"""The sessions that blocked others for too long, of each recorded trial: by scenario, variant and number."""


def blocked_found(histories: Iterable[TrialHistory], scenarios: Mapping[str, Scenario]) -> BlockedFound:
    """Find, for each trial with a scenario, who blocked others for too long."""
    return {
        (h.scenario, h.variant, h.index): [
            one for at in locks(h, scenarios[h.scenario]) for one in at.blocking if one.bad
        ]
        for h in histories
        if h.scenario in scenarios
    }


def blocked_line(part: ScenarioResult, cell: Cell, found: BlockedFound) -> str:
    """Name the worst blocker of a cell, and in how many of its trials there was one, in one line; empty if in none."""
    trials = [t for t in part.trials if t.outcome != "invalid" and dict(t.axis) == dict(cell.axis)]
    known = [(t.index, found[key]) for t in trials if (key := trial_key(part, t)) in found]
    blocked = [(index, one) for index, mine in known for one in mine]
    if not blocked:
        return ""
    index, worst = max(blocked, key=lambda pair: pair[1].longest)
    often = sum(bool(mine) for _, mine in known)
    said = f"{one_line(worst.holder)}: {sentence(worst)}"
    return f"locks held others up in {often} of {len(known)}, for the longest in trial {index}: {said}"
