"""The kernel's counters of instances as gauges: shares of a limit over the last second, and what was counted. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from shaketable.model.scenario import CONTAINER_GAUGES

_OVER = 1.0
"""Seconds over which CPU use is told: ten of the periods in which the kernel deals it out, so that none stands out."""

Row = Mapping[str, Any]
"""As agent/looks/gauges.py tells it."""


class Counted:
    """What counters of cgroups have risen by since the first look, by path; a cgroup that is gone keeps what it counted.

    A container that starts again has new cgroups, whose counters begin at 0.
    """

    def __init__(self) -> None:
        self._before: Mapping[str, float] | None = None
        self._life: object = None
        self.total: dict[str, float] = {}

    def take(self, life: object, now: Mapping[str, float] | None) -> Mapping[str, float]:
        """By how much each rose since the look before; None for an instance that does not run."""
        if now is None:
            self._before = {} if self._before is None else self._before
            return {}
        before = now if self._before is None else self._before if life == self._life else {}
        self._before, self._life = now, life
        rises = {path: count - before.get(path, 0) for path, count in now.items()}
        rises = {path: now[path] if rise < 0 else rise for path, rise in rises.items()}
        rises = {path: rise for path, rise in rises.items() if rise > 0}
        for path, rise in rises.items():
            self.total[path] = self.total.get(path, 0) + rise
        return rises

    @property
    def all(self) -> float:
        """Of all paths together."""
        return sum(self.total.values())


class Rates:
    """What was counted of each instance in the last second."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, Row]]] = {}
        self._counted: dict[str, tuple[Counted, Counted]] = {}
        self.cpus: dict[str, float] = {}
        """CPUs that each instance used over the last whole second."""

    def gauges(self, at: float, counters: Mapping[str, Row | None]) -> Mapping[str, tuple[str, ...] | None]:
        """Gauges as `cpu web`, by what was counted at `at`; None for an instance that does not run, or only just does."""
        found: dict[str, tuple[str, ...] | None] = {}
        for name, row in counters.items():
            first = self._first(name, at, row)
            elapsed = at - first[0] if first else 0.0
            found |= dict.fromkeys(f"{word} {name}" for word in CONTAINER_GAUGES)
            self.cpus.pop(name, None)
            found |= self._counts(name, row)
            if row is None:
                continue
            now = {"memory": row["bytes"] / row["most"]["memory"], "processes": row["tasks"] / row["most"]["processes"]}
            now |= {word: share for word in ("files", "disk") if (share := row.get(f"{word}_share")) is not None}
            found |= {f"{word} {name}": (_text(share),) for word, share in now.items()}
            if first and elapsed > 0:
                used = (row["cpu"] - first[1]["cpu"]) / elapsed
                found[f"cpu {name}"] = (_text(used / row["most"]["cpu"]),)
                if elapsed >= _OVER:
                    self.cpus[name] = used
                if first[1]["holder"] == row["holder"]:
                    held = row["throttled"] - first[1]["throttled"]
                    found[f"throttled {name}"] = (_text(min(1.0, held / elapsed)),)
        return found

    def _counts(self, name: str, row: Row | None) -> Mapping[str, tuple[str, ...] | None]:
        """`oom-kills` and `failed-forks`; unknown for an instance that never ran."""
        known = name in self._counted
        kills, forks = self._counted.setdefault(name, (Counted(), Counted()))
        kills.take(row and row["life"], row and row["kills"])
        forks.take(row and row["life"], row and row["refused"])
        if row is None and not known:
            return {}
        return {f"oom-kills {name}": (f"{kills.all:.0f}",), f"failed-forks {name}": (f"{forks.all:.0f}",)}

    def _first(self, name: str, at: float, row: Row | None) -> tuple[float, Row] | None:
        """The oldest reading of this life within the last second, or the last one before it."""
        seen = self._seen.setdefault(name, deque())
        if row is None or (seen and seen[-1][1]["life"] != row["life"]):
            seen.clear()
        if row is None:
            return None
        while len(seen) > 1 and at - seen[1][0] >= _OVER:
            seen.popleft()
        first = seen[0] if seen else None
        seen.append((at, row))
        return first


def _text(share: float) -> str:
    return f"{share:.3f}".rstrip("0").rstrip(".")
