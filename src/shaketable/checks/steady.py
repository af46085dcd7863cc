"""Since when has steady state held? Kept up to date look by look and arrival by arrival, so that asking costs nothing."""

from __future__ import annotations

from shaketable.checks.listed import gauged
from shaketable.model.history import Look, Request
from shaketable.model.scenario import Scenario


class SteadyWatch:
    """Steady: each list and gauge of `steady` is as it says in every holder that keeps it, and arrivals succeed."""

    def __init__(self, scenario: Scenario) -> None:
        self._sizes, self._most = scenario.steady.lists, scenario.steady.gauges
        self._wanted = {
            (holder, name)
            for holder, described in scenario.observers.holders.items()
            for name in (*described.lists, *described.gauges)
            if name in self._sizes or name in self._most
        }
        self._right_since: dict[tuple[str, str], float] = {}
        self._failed = 0.0
        self._succeeded = 0.0

    def look(self, look: Look) -> None:
        """A holder's list or gauge is now this."""
        key = (look.holder, look.list)
        if key not in self._wanted:
            return
        if look.entries is not None and self._right(look.list, look.entries):
            self._right_since.setdefault(key, look.at)
        else:
            self._right_since.pop(key, None)

    def _right(self, name: str, entries: tuple[str, ...]) -> bool:
        if name in self._sizes:
            return len(entries) == self._sizes[name]
        return gauged(entries) <= self._most[name]

    def request(self, request: Request) -> None:
        """An arrival has ended."""
        if request.ok:
            self._succeeded = max(self._succeeded, request.ended)
        else:
            self._failed = max(self._failed, request.ended)

    def since(self) -> float | None:
        """Since when it has held without a break, seconds; None while it does not."""
        if len(self._right_since) < len(self._wanted):
            return None
        since = max([self._failed, *self._right_since.values()])
        return since if self._succeeded > since else None
