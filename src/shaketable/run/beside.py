"""Holders that are looked at from beside the targets: a thread that looks at a pace, tells what changed, and sends beats."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from shaketable.adapters.fault_agent import Witness
from shaketable.model.errors import AgentError
from shaketable.model.history import Look, LookBeat

_BEAT = 0.2

Values = Mapping[tuple[str, str], tuple[str, ...] | None]
"""Entries by holder and list; None while they cannot be read."""


class Beside:
    """Looks until it is stopped, and says what it sees as any observer does. A look that failed was a look all the same.

    `take` gives the moment of a look, in seconds of the engine's machine, and what was seen, or raises AgentError when
    there is nobody any more who could look.
    """

    def __init__(
        self,
        holders: Sequence[str],
        every: float,
        witness: Witness,
        take: Callable[[Witness], tuple[float, Values]],
        *,
        on_look: Callable[[Look], None],
        on_beat: Callable[[LookBeat], None],
    ) -> None:
        self._holders, self._every, self._witness, self._take = holders, every, witness, take
        self._on_look, self._on_beat = on_look, on_beat
        self._known: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"beside-{'-'.join(holders)}"[:60], daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()
        self._witness.leave()

    @property
    def lost(self) -> bool:
        """Whether the witness that looks is gone, or gives no answer any more."""
        return (self._witness.lost or not self._thread.is_alive()) and not self._stop.is_set()

    def _watch(self) -> None:
        wait, looks, gap = 0.0, 0, 0.0
        last: float | None = None
        beat = 0.0
        while not self._stop.wait(wait):
            began = time.monotonic()
            try:
                at, values = self._take(self._witness)
            except AgentError:
                return
            wait = max(
                0.0, self._every - (time.monotonic() - began)
            )  # what a look took is part of the time between two
            self._tell(at, values)
            if last is None:
                last = beat = at
            looks, gap, last = looks + 1, max(gap, at - last), at
            if at - beat >= _BEAT:
                for name in self._holders:
                    self._on_beat(LookBeat(at, name, looks, round(gap, 6)))
                looks, gap, beat = 0, 0.0, at

    def _tell(self, at: float, values: Values) -> None:
        for (holder, name), found in values.items():
            if (holder, name) not in self._known or self._known[holder, name] != found:
                self._known[holder, name] = found
                self._on_look(Look(round(at, 6), holder, name, found))
