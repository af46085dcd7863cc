"""Which rows belong to a trial: one rule for the live run and for a stored one, so that both judge the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from shaketable.model.history import LoadBeat, Look, LookBeat, Request


class Rows(TypedDict):
    """The rows of one trial, as `TrialHistory` takes them."""

    requests: tuple[Request, ...]
    load_beats: tuple[LoadBeat, ...]
    looks: tuple[Look, ...]
    look_beats: tuple[LookBeat, ...]


def slice_rows(
    began: float,
    ended: float,
    heard: float,
    *,
    requests: Iterable[Request],
    load_beats: Iterable[LoadBeat],
    looks: Iterable[Look],
    look_beats: Iterable[LookBeat],
) -> Rows:
    """Rows of one lane that belong to the trial between `began` and `ended` (seconds), in time order.

    Arrivals belong to the trial in which they were due, if they had ended by `heard`. The first look of each holder
    and list is its state at `began`, however old.
    """
    state: dict[tuple[str, str], Look] = {}
    during: list[Look] = []
    for look in sorted(looks, key=lambda look: look.at):
        if look.at <= began:
            state[look.holder, look.list] = look
        elif look.at <= ended:
            during.append(look)
    mine = [r for r in requests if began <= r.scheduled <= ended and r.ended <= heard]
    return Rows(
        requests=tuple(sorted(mine, key=lambda r: (r.scheduled, r.ended))),
        load_beats=tuple(sorted((b for b in load_beats if began <= b.at <= ended), key=lambda b: b.at)),
        looks=(*sorted(state.values(), key=lambda look: (look.at, look.holder, look.list)), *during),
        look_beats=tuple(sorted((b for b in look_beats if began <= b.at <= ended), key=lambda b: (b.at, b.holder))),
    )
