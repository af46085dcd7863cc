"""What a target's cgroups say of its use and its limits: the kernel's own counters, read while somebody else uses them.

Sources: kernel Documentation/admin-guide/cgroup-v1/{cpuacct,memory,pids}.rst, cgroup-v2.rst.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from shaketable.agent.kernel import CGROUPS, KernelError

_NO_LIMIT: Final = 1 << 60
_OVER: Final = 0.25
"""Seconds over which CPU use is measured."""


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [{"member", "pid", ...}]}: {"usage": {member: row}}.

    A row has "cores" used over a quarter of a second and their "quota", "memory" and "memory_limit" in bytes, "pids" and
    "pids_limit" in tasks; a limit that is none is None.
    """
    folders = {m["member"]: _folders(m["pid"]) for m in look["members"]}
    first = {name: (_cpu(f), time.monotonic()) for name, f in folders.items()}
    time.sleep(_OVER)
    return {"usage": {name: _usage(f, *first[name]) for name, f in folders.items()}}


def _folders(pid: int) -> dict[str, Path]:
    """Folder of each controller's cgroup; all the same one in v2."""
    found = {}
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError as error:
        raise KernelError(f"process {pid} is gone") from error
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            if (CGROUPS / name).is_dir():
                found[name or "unified"] = CGROUPS / name / path.lstrip("/")
    return found


def _read(folders: dict[str, Path], controller: str, v1: str, v2: str) -> str:
    folder = folders.get(controller)
    path = folder / v1 if folder is not None else folders["unified"] / v2
    return path.read_text().strip()


def _cpu(folders: dict[str, Path]) -> float:
    """CPU seconds used so far."""
    if "cpuacct" in folders:
        return int((folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
    return int((folders["unified"] / "cpu.stat").read_text().split()[1]) / 1e6


def _quota(folders: dict[str, Path]) -> float | None:
    if "cpu" in folders:
        quota, period = ((folders["cpu"] / f"cpu.cfs_{w}_us").read_text() for w in ("quota", "period"))
    else:
        quota, period = (folders["unified"] / "cpu.max").read_text().split()
    return None if quota.strip() in ("max", "-1") else int(quota) / int(period)


def _limit(text: str) -> int | None:
    return None if text == "max" or int(text) >= _NO_LIMIT else int(text)


def _usage(folders: dict[str, Path], cpu: float, at: float) -> dict[str, Any]:
    return {
        "cores": round((_cpu(folders) - cpu) / (time.monotonic() - at), 4),
        "quota": _quota(folders),
        "memory": int(_read(folders, "memory", "memory.usage_in_bytes", "memory.current")),
        "memory_limit": _limit(_read(folders, "memory", "memory.limit_in_bytes", "memory.max")),
        "pids": int(_read(folders, "pids", "pids.current", "pids.current")),
        "pids_limit": _limit(_read(folders, "pids", "pids.max", "pids.max")),
    }
