"""The list `limits INSTANCE`: each limit as configured and as the kernel has it, what was used of it, how often it was hit.

Pure: it is told what a witness counted, look by look. Entries are texts of model.kernel.Limit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from shaketable.model.kernel import Limit, LimitName
from shaketable.run.rates import Counted, Row

NAMES: Final[tuple[LimitName, ...]] = ("memory", "cpu", "processes", "files", "disk")
_MET_FOR: Final = 1.0
"""Seconds for which a memory limit that was met is taken for the cause of a kill: the kernel tries to free some first."""


class LimitUse:
    """Of one instance, called `of`; `configured` by the limit's name. It knows nothing before the instance first ran."""

    def __init__(self, of: str, configured: Mapping[LimitName, float]) -> None:
        self._of, self._configured = of, configured
        self._counted = {name: Counted() for name in ("kills", "met", "refused", "own", "held")}
        self._met_at: dict[str, float] = {}
        self._used = dict.fromkeys(NAMES, 0.0)
        self._hits = dict.fromkeys(NAMES, 0.0)
        self._own: Mapping[str, float | None] = {}

    def take(self, at: float, row: Row | None, cpus: float | None) -> None:
        """Take what was counted at `at`, and the CPUs used over the last second; None for what is not known."""
        life = row and row["life"]
        now = {name: row and row[name] for name in ("kills", "met", "refused")}
        now |= {"held": row and {"": row["held"]}, "own": row and {"": row["refused_by_it"] or 0}}
        rises = {name: counted.take(life, now[name]) for name, counted in self._counted.items()}
        if row is None:
            return
        self._own = row["own"]
        used = {"memory": row["bytes"], "cpu": cpus or 0.0, "processes": row["tasks"]}
        used |= {"files": row.get("files", 0), "disk": row.get("disk", 0)}
        for name in NAMES:
            self._used[name] = max(self._used[name], used[name])
        self._met_at |= dict.fromkeys(rises["met"], at)
        by = {path: self._whose(path, at, row["full"]) for path in rises["kills"]}
        self._hit("memory", sum(kills for path, kills in rises["kills"].items() if by[path] == ""))
        self._hit("cpu", sum(rises["held"].values()))
        limit = self._own["processes"]
        if row["refused_by_it"] is not None:
            self._hit("processes", sum(rises["own"].values()))
        elif limit is not None and row["peak"] >= limit:
            self._hit("processes", sum(rises["refused"].values()))

    def _hit(self, name: LimitName, times: float) -> None:
        if self._own.get(name) is not None:
            self._hits[name] += times

    def _whose(self, path: str, at: float, full: Sequence[str]) -> str | None:
        """Path of the nearest cgroup, from that of a killed process up, whose memory limit was just met, or is `full`."""
        steps = path.split("/") if path else []
        for length in range(len(steps), -1, -1):
            level = "/".join(steps[:length])
            if level in full or at - self._met_at.get(level, -math.inf) <= _MET_FOR:
                return level
        return None

    def entries(self) -> tuple[str, ...] | None:
        """The list as it is now; None before the instance first ran."""
        if not self._own:
            return None
        return tuple(json.dumps(one.model_dump(), sort_keys=True) for one in map(self._limit, NAMES) if _says(one))

    def _limit(self, name: LimitName) -> Limit:
        return Limit(
            of=self._of,
            limit=name,
            configured=self._configured.get(name),
            kernel=self._own.get(name),
            used=_floor(self._used[name], 3),
            hits=_floor(self._hits[name], 2),
        )


def _says(limit: Limit) -> bool:
    """Whether there is anything to say: not of a disk where there is none."""
    return limit.limit != "disk" or limit.configured is not None or limit.kernel is not None


def _floor(number: float, digits: int) -> float:
    """So many significant digits, never more than it was: the record stays small, and no limit seems passed."""
    if number <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - digits + 1)
    return float(f"{math.floor(number / unit + 1e-9) * unit:.{digits}g}")
