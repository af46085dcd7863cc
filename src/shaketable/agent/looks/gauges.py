"""What the kernel counts of an instance, read 10 times a second: CPU, time held back, memory, tasks, and their limits.

Counters, not rates: who reads them knows what he read before. Sources: kernel Documentation/scheduler/sched-bwc.rst,
admin-guide/cgroup-v1/{cpuacct,memory,pids}.rst, admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from shaketable.agent.changes import limits
from shaketable.agent.kernel import KernelError
from shaketable.agent.looks.databases import first_process


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"instances": {name: {"cgroup", "container"}}}: {"counters": {name: row or None when nothing runs in it}}.

    A row has "life" (when its first process began, ticks), "cpu" and "throttled" in seconds so far, "cpus" as its limit,
    "memory" and "processes" as shares of their limits; where there is no limit it is that of the machine.
    """
    return {"counters": {name: _row(where) for name, where in look["instances"].items()}}


def _row(where: dict[str, str]) -> dict[str, float] | None:
    try:
        pid, start, _ = first_process(where["cgroup"], where.get("container", ""))
        folders = limits.folders(pid, start)
        most = limits.read(folders)
        return {
            "life": start,
            "cpu": limits.cpu_seconds(folders),
            "throttled": _throttled(folders),
            "cpus": most["cpus"] or os.cpu_count() or 1,
            "memory": limits.memory(folders) / (most["memory"] or _machine_memory()),
            "processes": _tasks(folders) / (most["pids"] or _machine_tasks()),
        }
    except (KernelError, FileNotFoundError, ProcessLookupError):
        return None


def _throttled(folders: dict[str, Path]) -> float:
    """Seconds in which it was held back by its CPU limit, so far."""
    rows = dict(line.split() for line in limits.file(folders, "cpu", "cpu.stat", "cpu.stat").read_text().splitlines())
    if "throttled_time" in rows:
        return int(rows["throttled_time"]) / 1e9
    return int(rows.get("throttled_usec", 0)) / 1e6


def _tasks(folders: dict[str, Path]) -> int:
    return int(limits.file(folders, "pids", "pids.current", "pids.current").read_text())


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _machine_tasks() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text())
