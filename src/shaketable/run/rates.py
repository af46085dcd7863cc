"""The kernel's counters of instances as gauges: shares of a limit over the last second. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

_OVER = 1.0
"""Seconds over which CPU use is told: ten of the periods in which the kernel deals it out, so that none stands out."""

Row = Mapping[str, float]


class Rates:
    """What was counted of each instance in the last second."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[float, Row]]] = {}

    def gauges(self, at: float, counters: Mapping[str, Row | None]) -> Mapping[str, tuple[str, ...] | None]:
        """Gauges as `cpu web`, by what was counted at `at`; None for an instance that does not run, or only just does."""
        found: dict[str, tuple[str, ...] | None] = {}
        for name, row in counters.items():
            first = self._first(name, at, row)
            elapsed = at - first[0] if first else 0.0
            found |= dict.fromkeys(f"{word} {name}" for word in ("cpu", "throttled", "memory", "processes"))
            if row is None:
                continue
            found |= {f"{word} {name}": (_text(row[word]),) for word in ("memory", "processes")}
            if first and elapsed > 0:
                used, held = row["cpu"] - first[1]["cpu"], row["throttled"] - first[1]["throttled"]
                found[f"cpu {name}"] = (_text(used / elapsed / row["cpus"]),)
                found[f"throttled {name}"] = (_text(min(1.0, held / elapsed)),)
        return found

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
