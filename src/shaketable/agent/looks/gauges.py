"""What the kernel counts of an instance, read 10 times a second: CPU, time held back, memory, tasks, files, and limits.

Counters, not rates: who reads them knows what he read before. What is counted where: agent/looks/counters.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shaketable.agent.changes import limits
from shaketable.agent.kernel import KernelError
from shaketable.agent.looks import counters, room


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"instances": {name: {"cgroup", "container", "words"}}}: {"counters": {name: row or None when nothing runs in it}}.

    A row has
    - "life": when its first process began, ticks;
    - "cpu", "throttled", "held": seconds so far that it used, was held back by the tightest limit, and by its own;
    - "holder": the cgroup that has the tightest CPU limit, empty where none has;
    - "bytes" and "tasks" now, "peak" the most tasks so far;
    - "kills", "refused": OOM kills and refused forks so far, by path below it; read with "oom-kills", "failed-forks" or
      "limits" in "words", as that takes a file of each cgroup below it, and else empty;
    - with "limits" in "words", else empty: "met", meetings of a memory limit so far, by path, and "full", paths whose
      memory limit was reached at some time, where "met" cannot tell;
    - "refused_by_it": forks refused by its own limit alone, None where the kernel does not say;
    - "most": {"cpu", "memory", "processes"}, the tightest limit on the way up, or the machine's;
    - "own": its own limits of those, and of "files" and "disk", None where it has none;
    - with "files" in "words": "files" most open ones of a process, "files_share" of the process nearest to its limit;
    - with "disk" in "words": "disk" bytes used of the fullest file system of its own, "disk_share" how full the fullest
      is that holds it (of its nested host too), None where there is none.
    """
    return {"counters": {name: _row(where) for name, where in look["instances"].items()}}


def _row(where: dict[str, Any]) -> dict[str, Any] | None:
    try:
        pid, start, folders = counters.find(where)
        tight, own = counters.tightest(folders), counters.own(folders)
        machine = {"cpu": os.cpu_count() or 1, "memory": _machine_memory(), "processes": _machine_tasks()}
        slowest, words = tight["cpu"], set(where.get("words", ()))
        row: dict[str, Any] = {
            "life": start,
            "cpu": limits.cpu_seconds(folders),
            "throttled": counters.held_back(slowest[1]) if slowest else 0.0,
            "holder": str(next(iter(slowest[1].values()))) if slowest else "",
            "held": counters.held_back(folders),
            "bytes": limits.memory(folders),
            "tasks": counters.tasks(folders),
            "peak": counters.most_tasks(folders),
            "kills": counters.kills(folders) if words & {"oom-kills", "limits"} else {},
            "met": counters.met(folders) if "limits" in words else {},
            "full": counters.full(folders) if "limits" in words else [],
            "refused": counters.refused(folders) if words & {"failed-forks", "limits"} else {},
            "refused_by_it": counters.refused_by_it(folders),
            "most": {name: found[0] if found else machine[name] for name, found in tight.items()},
            "own": {**own, "files": None, "disk": None},
        }
        if "files" in words:
            row |= _files(folders, row["own"])
        if "disk" in words:
            row |= _disk(pid, where, row["own"])
    except (KernelError, FileNotFoundError, ProcessLookupError):
        return None
    return row


def _files(folders: Mapping[str, Path], own: dict[str, float | None]) -> dict[str, Any]:
    seen = room.files(room.processes(dict(folders)))
    own["files"] = seen.hard
    return {"files": seen.most, "files_share": seen.nearest}


def _disk(pid: int, where: dict[str, Any], own: dict[str, float | None]) -> dict[str, Any]:
    mine = room.disk([pid])
    around = room.disk(room.first_of(where["cgroup"])[:1]) if where.get("container") else None
    own["disk"] = mine.size if mine else None
    shares = [one.share for one in (mine, around) if one]
    return {"disk": mine.used if mine else 0, "disk_share": max(shares, default=None)}


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _machine_tasks() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text())
