"""Looks at lock waits, written by hand: who waits for whom, for the tests of the lock graph and of its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from inbox_histories import BEGAN, INJECTED, trial

from shaketable.checks.locks import Session
from shaketable.model.history import Look, TrialHistory

MIGRATE = Session("7", "migration/migrate", "idle in transaction", "UPDATE subscriptions SET moved = true")
ON = "relation subscriptions"


def chat(session: str, statement: str = "") -> Session:
    """A session of the chat API that waits."""
    return Session(session, "app/chat", "waiting", statement or f"UPDATE chats SET accepted = {session}")


def waits(waiter: Session, blocker: Session, on: str = ON) -> str:
    """An entry as the observer writes it."""
    told = {
        "by": blocker.who,
        "for": blocker.id,
        "holds": blocker.statement,
        "on": on,
        "state": blocker.state,
        "waiter": waiter.id,
        "who": waiter.who,
        "wants": waiter.statement,
    }
    return json.dumps(told, sort_keys=True)


def looked(
    *states: tuple[float, Sequence[str] | None], holder: str = "shared", first: Sequence[str] = (), name: str = "waits"
) -> list[Look]:
    """What the holder listed at first, and from these moments after the fault's effect on."""
    rows = [Look(BEGAN - 5, holder, name, tuple(first))]
    return rows + [Look(INJECTED + at, holder, name, None if found is None else tuple(found)) for at, found in states]


def blocked(*states: tuple[float, Sequence[str] | None], **changes: object) -> TrialHistory:
    """A trial with these looks at one holder."""
    return replace(trial(looks=looked(*states)), **changes)
