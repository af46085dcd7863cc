"""The lock graph as the page draws and lists it, in the numbers of the timeline: whole milliseconds since the fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from shaketable.checks.listed import copies
from shaketable.checks.locks import Session, at_once
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration
from shaketable.reports.digest import one_line
from shaketable.reports.html_axis import Blind, Scale, blind
from shaketable.reports.locks import (
    Behind,
    Blocking,
    Locks,
    joined,
    others_words,
    sentence,
    statements,
    who,
)

_MOST_STEPS = 400


class WaiterRow(TypedDict):
    """One session behind a blocker; its spans are (start, end, what is waited for, statement), texts by number."""

    name: str
    """Its id and application, as much as there is room for at the edge."""
    who: str
    """Its id, user and application."""
    depth: int
    by: str
    """Whom it waits for itself, and other roots it waits for as well: `session 7 and session 9`."""
    spans: list[tuple[int, int, int, int]]


class Rest(TypedDict):
    """The sessions behind a blocker for which there is no room."""

    count: int
    longest: int
    spans: list[tuple[int, int]]
    statements: list[tuple[int, int]]
    """(how many, statement)."""


class BlockerRow(TypedDict):
    """One session that blocked others."""

    name: str
    who: str
    bad: bool
    most: int
    lasted: int
    """Milliseconds for which it blocked others, all in all."""
    spans: list[tuple[int, int]]
    turns: list[tuple[int, int, int, int]]
    """(start, end, state, statement)."""
    counts: list[tuple[int, int]]
    """(from when, how many were behind)."""
    behind: list[WaiterRow]
    rest: Rest | None


class LocksLane(TypedDict):
    """Who blocked whom at one holder."""

    holder: str
    rows: list[BlockerRow]
    more: str
    """How many more blocked others, in words; empty if none did."""
    blind: Blind
    words: list[str]


def lanes(found: Sequence[Locks], history: TrialHistory, scenario: Scenario, ms: Scale) -> list[LocksLane]:
    """Gather what is drawn of the lock graph; one lane for each holder, whether anybody waited or not."""
    return [_lane(one, history, scenario, ms) for one in found]


def _lane(one: Locks, history: TrialHistory, scenario: Scenario, ms: Scale) -> LocksLane:
    words: dict[str, int] = {}
    mine = [copy for copy in copies(history, one.list) if copy.holder == one.holder]
    return LocksLane(
        holder=one_line(one.holder),
        rows=[_blocker(blocking, ms, words) for blocking in one.blocking],
        more=others_words(one),
        blind=blind(history, scenario, one.holder, mine, ms) if one.holder in scenario.observers.holders else [],
        words=list(words),
    )


def _word(words: dict[str, int], text: str) -> int:
    return words.setdefault(one_line(text), len(words))


def _blocker(one: Blocking, ms: Scale, words: dict[str, int]) -> BlockerRow:
    counted = at_once(waiting for chain in one.chains for waiting in chain.behind)
    by = max(1, -(-len(counted) // _MOST_STEPS))
    return BlockerRow(
        name=_short(one.blocker),
        who=who(one.blocker),
        bad=one.bad,
        most=one.most,
        lasted=round(one.seconds * 1000),
        spans=[(ms(chain.start), ms(chain.end)) for chain in one.chains],
        turns=[
            (ms(turn.start), ms(turn.end), _word(words, turn.session.state), _word(words, turn.session.statement))
            for chain in one.chains
            for turn in chain.turns
        ],
        counts=[(ms(at), number) for at, number in counted[::by]],
        behind=[_waiter(behind, ms, words) for behind in one.behind],
        rest=_rest(one.rest, ms, words) if one.rest else None,
    )


def _short(session: Session) -> str:
    """Name a session by its application, or by its user if it has not said: `1234 migrate`."""
    user, _, application = session.who.partition("/")
    return one_line(f"{session.id} {application or user}".strip())


def _waiter(one: Behind, ms: Scale, words: dict[str, int]) -> WaiterRow:
    return WaiterRow(
        name=_short(one.session),
        who=who(one.session),
        depth=one.depth,
        by=_waits_for(one),
        spans=[(ms(w.start), ms(w.end), _word(words, w.on), _word(words, w.session.statement)) for w in one.waiting],
    )


def _waits_for(one: Behind) -> str:
    return one_line(" and ".join(f"session {session}" for session in (one.waiting[0].by, *one.waiting[0].also)))


def _rest(rest: Sequence[Behind], ms: Scale, words: dict[str, int]) -> Rest:
    return Rest(
        count=len(rest),
        longest=round(max(one.longest for one in rest) * 1000),
        spans=[(ms(start), ms(end)) for start, end in joined(w for one in rest for w in one.waiting)],
        statements=[(number, _word(words, statement)) for number, statement in statements(rest)],
    )


@dataclass(frozen=True, slots=True)
class WaiterView:
    """One session behind a blocker, in words."""

    who: str
    depth: int
    """How far it is indented, at most 6."""
    waited: str
    """`6.2 s for relation subscriptions, held by session 7`."""
    statement: str


@dataclass(frozen=True, slots=True)
class BlockerView:
    """One session that blocked others, in words."""

    holder: str
    sentence: str
    bad: bool
    statements: tuple[str, ...]
    """Each that it ran meanwhile, or had run last, in whole."""
    count: str
    """`17 sessions were behind it`."""
    behind: tuple[WaiterView, ...]
    rest: str
    """`and 48 more, the longest for 5.1 s, 40 with UPDATE ...`; empty if there are none."""


@dataclass(frozen=True, slots=True)
class LocksView:
    """Who blocked whom at one holder, in words."""

    holder: str
    blockers: tuple[BlockerView, ...]
    more: str


def locks_views(found: Sequence[Locks]) -> tuple[LocksView, ...]:
    """Put the lock graph as a list; holders at which nobody waited are left out."""
    return tuple(
        LocksView(one_line(one.holder), tuple(map(_blocker_view, one.blocking)), others_words(one))
        for one in found
        if one.blocking
    )


def _blocker_view(one: Blocking) -> BlockerView:
    total = len(one.behind) + len(one.rest)
    return BlockerView(
        holder=one_line(one.holder),
        sentence=sentence(one, statement=False),
        bad=one.bad,
        statements=tuple(dict.fromkeys(_turns(one))),
        count=f"{total} sessions were behind it" if total != 1 else "1 session was behind it",
        behind=tuple(
            WaiterView(
                who=who(behind.session),
                depth=min(6, behind.depth),
                waited=f"{show_duration(behind.seconds)} for {one_line(behind.waiting[0].on)}, held by {_waits_for(behind)}",
                statement=one_line(behind.session.statement),
            )
            for behind in one.behind
        ),
        rest=_rest_words(one.rest),
    )


def _turns(one: Blocking) -> Iterator[str]:
    for chain in one.chains:
        for turn in chain.turns:
            if turn.session.statement:
                yield one_line(turn.session.statement)


def _rest_words(rest: Sequence[Behind]) -> str:
    if not rest:
        return ""
    said = ", ".join(f"{number} with {one_line(statement) or 'nothing told'}" for number, statement in statements(rest))
    return f"{len(rest)} more, the longest for {show_duration(max(one.longest for one in rest))}: {said}"
