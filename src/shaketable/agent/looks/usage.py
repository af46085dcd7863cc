"""What a target's cgroups say of its use and its limits: the kernel's own counters, read while somebody else uses them.

Sources: kernel Documentation/admin-guide/cgroup-v1/{cpuacct,memory,pids}.rst, cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Final

from shaketable.agent.changes import limits

_OVER: Final = 0.25
"""Seconds over which CPU use is measured."""
_AGENT: Final = b"shaketable.agent.serve"


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [{"member", "pid", "start", ...}]}: {"usage": {member: row}, "cpus": of the machine}.

    A row has "cores" used over a quarter of a second, "memory" in bytes (what processes hold, not what the kernel keeps
    of files) and "pids" in tasks, at the end of that time; the limits of each, "quota" in CPUs, "memory_limit",
    "pids_limit", None where there is none; and "ours", how many of the processes are the fault agent's.
    """
    folders = {m["member"]: limits.folders(m["pid"], m["start"]) for m in look["members"]}
    first = {name: (limits.cpu_seconds(f), time.monotonic()) for name, f in folders.items()}
    time.sleep(_OVER)
    return {"usage": {name: _usage(f, *first[name]) for name, f in folders.items()}, "cpus": os.cpu_count() or 1}


def _usage(folders: dict[str, Path], cpu: float, at: float) -> dict[str, Any]:
    most = limits.read(folders)
    return {
        "cores": round((limits.cpu_seconds(folders) - cpu) / (time.monotonic() - at), 4),
        "quota": most["cpus"],
        "memory": limits.memory(folders),
        "memory_limit": most["memory"],
        "pids": int(limits.file(folders, "pids", "pids.current", "pids.current").read_text()),
        "pids_limit": most["pids"],
        "ours": _ours(limits.file(folders, "pids", "cgroup.procs", "cgroup.procs")),
    }


def _ours(members: Path) -> int:
    """A child of the agent is a fork of it, so that it has its command line."""
    ours = 0
    for pid in members.read_text().split():
        with contextlib.suppress(OSError):  # it has ended since
            ours += _AGENT in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return ours
