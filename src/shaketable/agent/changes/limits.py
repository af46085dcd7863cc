"""Limits of a container, read and changed while it runs: CPU, memory and tasks of its cgroups, and open files.

Sources: kernel Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst, scheduler/sched-bwc.rst, prlimit(2).
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.kernel import CGROUPS, KernelError, started

_NO_LIMIT: Final = 1 << 60
_FILES: Final = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}
"""Each limit's file in v1 (in its controller's folder) and in v2."""


def folders(pid: int, start: int) -> dict[str, Path]:
    """Folder of each controller's cgroup of a process; in v2 all the same one, `unified`. Raises KernelError."""
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
    if started(pid) != start:
        raise KernelError(f"process {pid} is another one than before")
    return found


def file(where: dict[str, Path], controller: str, v1: str, v2: str) -> Path:
    """Where something of a controller is read or written."""
    folder = where.get(controller)
    return folder / v1 if folder is not None else where["unified"] / v2


def read(where: dict[str, Path]) -> dict[str, float | int | None]:
    """`cpus`, `memory` in bytes and `pids`; None where there is no limit. Raises FileNotFoundError when it is gone."""
    return {name: limit(where, name) for name in ("cpus", *_FILES)}


def limit(where: dict[str, Path], name: str) -> float | int | None:
    """One of the limits of `read`."""
    if name == "cpus":
        return _cpus(where)
    v1, v2 = _FILES[name]
    text = file(where, name, v1, v2).read_text().strip()
    return None if text == "max" or int(text) >= _NO_LIMIT else int(text)


def _cpus(where: dict[str, Path]) -> float | None:
    if "cpu" in where:
        quota, period = ((where["cpu"] / f"cpu.cfs_{w}_us").read_text() for w in ("quota", "period"))
    else:
        quota, period = (where["unified"] / "cpu.max").read_text().split()
    return None if quota.strip() in ("max", "-1") else int(quota) / int(period)


def cpu_seconds(folders: dict[str, Path]) -> float:
    """CPU seconds used so far."""
    if "cpuacct" in folders:
        return int((folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
    return int((folders["unified"] / "cpu.stat").read_text().split()[1]) / 1e6


def memory(folders: dict[str, Path]) -> int:
    """Bytes of memory that is nobody's copy of a file."""
    path = file(folders, "memory", "memory.stat", "memory.stat")
    rows = dict(line.split() for line in path.read_text().splitlines())
    names = ("total_rss", "total_shmem") if "total_rss" in rows else ("anon", "shmem")
    return sum(int(rows.get(name, 0)) for name in names)


def change(step: dict[str, Any]) -> None:
    """{"limits": {name: value or None}, **member.step}: set these. Raises KernelError when the kernel refuses one."""
    _set(folders(step["pid"], step["start"]), step)


def restore(step: dict[str, Any]) -> None:
    """Set limits back; harmless when the container is gone or restarted, for then it has its own again."""
    if started(step["pid"]) == step["start"]:
        _set(folders(step["pid"], step["start"]), step)


def _set(where: dict[str, Path], step: dict[str, Any]) -> None:
    for name, value in step["limits"].items():
        try:
            if name == "cpus":
                _set_cpus(where, value)
            else:
                v1, v2 = _FILES[name]
                path = file(where, name, v1, v2)
                none = "-1" if path.name == "memory.limit_in_bytes" else "max"
                path.write_text(none if value is None else str(int(value)))
        except OSError as error:
            shown = "no limit" if value is None else f"{value:g}"
            raise KernelError(
                f"the kernel refuses {shown} as limit of {name} of {step['member']}: {error.strerror}"
            ) from error


def _set_cpus(where: dict[str, Path], value: float | None) -> None:
    if "cpu" in where:
        period = int((where["cpu"] / "cpu.cfs_period_us").read_text())
        quota = "-1" if value is None else str(max(1000, round(value * period)))
        (where["cpu"] / "cpu.cfs_quota_us").write_text(quota)
    else:
        path = where["unified"] / "cpu.max"
        period = int(path.read_text().split()[1])
        path.write_text(f"{'max' if value is None else max(1000, round(value * period))} {period}")


# Open files


def descriptors(cgroup: str) -> list[list[int]]:
    """[pid, start, soft limit, open files] of each process of a cgroup."""
    found = []
    for pid in kernel.processes(cgroup):
        with contextlib.suppress(OSError, StopIteration):
            soft, _ = most_files(pid)
            found.append([pid, started(pid), soft, len(list(Path(f"/proc/{pid}/fd").iterdir()))])
    return found


def most_files(pid: int) -> tuple[int, int]:
    """Soft and hard limit of open files of a process; 2^30 for none. Raises OSError or StopIteration when it is gone."""
    row = next(t for t in Path(f"/proc/{pid}/limits").read_text().splitlines() if t.startswith("Max open files"))
    soft, hard = row.split()[3:5]
    most = 1 << 30
    return (most if soft == "unlimited" else int(soft), most if hard == "unlimited" else int(hard))


def exhaust(step: dict[str, Any]) -> None:
    """{"spare": number, **member.step}: let no process open more files than it has, and so many more. Raises KernelError."""
    if started(step["pid"]) != step["start"]:
        raise KernelError(f"{step['member']} has ended since it was resolved")
    for pid, start, _, open_ in descriptors(step["cgroup"]):
        _set_soft(pid, start, open_ + int(step["spare"]), step["member"])


def relax(step: dict[str, Any]) -> None:
    """{"was": [[pid, start, soft]], **member.step}: give each process its limit back; forks get the first one's."""
    if started(step["pid"]) != step["start"]:
        return
    was = {(pid, start): soft for pid, start, soft in step["was"]}
    usual = was.get((step["pid"], step["start"]))
    for pid, start, soft, _ in descriptors(step["cgroup"]):
        wanted = was.get((pid, start), usual)
        if wanted is not None and soft < wanted:
            _set_soft(pid, start, wanted, step["member"])


def _set_soft(pid: int, start: int, soft: int, member: str) -> None:
    """The limit of another's process may be set by a process that runs as the same user."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        uids, gids = (
            {int(n) for n in row.split()[1:4]} for row in status.splitlines() if row.startswith(("Uid:", "Gid:"))
        )
        hard = most_files(pid)[1]
    except (OSError, StopIteration):
        return  # it has ended
    if len(uids) != 1 or len(gids) != 1:
        raise KernelError(f"process {pid} of {member} runs as several users at once, so its limits cannot be changed")
    child = os.fork()
    if not child:
        code = 1
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(*gids, *gids, *gids)
            os.setresuid(*uids, *uids, *uids)
            if started(pid) == start:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, hard), hard))
            code = 0
        os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and started(pid) == start:
        raise KernelError(f"the kernel refuses to limit the open files of process {pid} of {member}")


def see_descriptors(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [...]}: {"descriptors": {member: [[pid, start, soft limit, open files]]}}."""
    return {"descriptors": {m["member"]: descriptors(m["cgroup"]) for m in look["members"]}}
