"""The load of a server, out of the kernel's own counters for it: which share of its limits is in use.

Reads a tree of control groups at its root: two layouts, as Linux has them. Version 1 has a folder for each controller
(memory, cpu, pids), version 2 has all in one. Without a limit a share is that of nothing, 0.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """Shares of the limits, from 0 on."""

    memory: float
    """Memory that cannot be given back by forgetting files: anonymous and shared."""
    cpu: float
    """Over the time since the look before."""
    processes: float

    @property
    def most(self) -> float:
        """The largest share."""
        return max(self.memory, self.cpu, self.processes)


class Meter:
    """Reads the load of the server whose control groups are at `tree`. Raises OSError and ValueError."""

    def __init__(self, tree: Path) -> None:
        one_tree = (tree / "cgroup.controllers").exists()
        self._memory, self._cpu, self._used, self._pids = (tree,) * 4 if one_tree else _folders(tree)
        self._one_tree = one_tree
        self._before = (time.monotonic(), self._cpu_seconds())

    def look(self) -> Load:
        """Read the load now."""
        now, used = time.monotonic(), self._cpu_seconds()
        (before, used_before), self._before = self._before, (now, used)
        share = (used - used_before) / max(now - before, 1e-3)
        return Load(
            _share(self._memory_used(), self._limit(self._memory, "memory.max", "memory.limit_in_bytes")),
            _share(share, self._cpus()),
            _share(int((self._pids / "pids.current").read_text()), self._limit(self._pids, "pids.max", "pids.max")),
        )

    def _memory_used(self) -> int:
        lines = (self._memory / "memory.stat").read_text().splitlines()
        stat = {name: int(value) for name, value in (line.split() for line in lines)}
        names = ("anon", "shmem") if self._one_tree else ("total_rss", "total_shmem")
        return sum(stat.get(name, 0) for name in names)

    def _limit(self, folder: Path, name: str, name_v1: str) -> float:
        text = (folder / (name if self._one_tree else name_v1)).read_text().strip()
        # Version 1 has no word for "no limit" of memory, but the largest number of pages that it can count.
        return 0.0 if text == "max" or int(text) >= 1 << 60 else float(text)

    def _cpus(self) -> float:
        if self._one_tree:
            quota, period = (self._cpu / "cpu.max").read_text().split()
        else:
            quota, period = ((self._cpu / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return 0.0 if quota in {"max", "-1"} else int(quota) / int(period)

    def _cpu_seconds(self) -> float:
        if self._one_tree:
            lines = (self._used / "cpu.stat").read_text().splitlines()
            return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6
        return int((self._used / "cpuacct.usage").read_text()) / 1e9


def _folders(tree: Path) -> tuple[Path, Path, Path, Path]:
    """Folders of version 1: memory, cpu, cpuacct, pids; cpu and cpuacct may be mounted as one, under names that differ."""
    both = next((tree / name for name in ("cpu,cpuacct", "cpuacct,cpu") if (tree / name).exists()), None)
    return tree / "memory", both or tree / "cpu", both or tree / "cpuacct", tree / "pids"


def _share(used: float, limit: float) -> float:
    return used / limit if limit else 0.0
