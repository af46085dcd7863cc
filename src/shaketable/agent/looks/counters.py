"""What the kernel counts of a cgroup and of all below it, and which limit on the way up is the tightest. v1 and v2.

Where something is counted, by the kernel's Documentation/admin-guide/cgroup-v1/{memory,pids}.rst, cgroup-v2.rst and
scheduler/sched-bwc.rst:
- OOM kills: v1 `memory.oom_control` in the victim's own cgroup only; v2 `memory.events` in all above it too.
- A memory limit that was met: v1 `memory.failcnt` of the cgroup with the limit, though not where the limit of memory and
  swap together is the same (measured on Linux 6.18); v2 `memory.events.local`, `oom`.
- Refused forks: `pids.events` of the cgroup that wanted to fork (v1, and v2 before Linux 6.11); since then v2 has them in
  the cgroup with the limit and all above it, and `pids.events.local` in the one with the limit alone.
- Time held back: `cpu.stat` of the cgroup with the quota.
What is counted in one cgroup only is read for all below the instance's, by path, "" being its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shaketable.agent import kernel
from shaketable.agent.changes import limits
from shaketable.agent.kernel import KernelError
from shaketable.agent.looks.databases import first_process

Folders = dict[str, Path]
_CONTROLLERS: Final = {"cpu": "cpu", "memory": "memory", "processes": "pids"}
_NAMES: Final = {"cpu": "cpus", "memory": "memory", "processes": "pids"}


def find(where: dict[str, str]) -> tuple[int, int, Folders]:
    """First process of an instance or nested host, when it began, and its cgroups. Raises KernelError when it does not run.

    `where` has "cgroup" and, of what runs in a nested host, "container".
    """
    cgroup = where["cgroup"]
    try:
        pid, start, _ = first_process(cgroup, where.get("container", ""))
        return pid, start, limits.folders(pid, start)
    except KernelError:
        if where.get("container"):
            raise
    # In v2 a cgroup with others below has no processes: a nested host has its own in a leaf.
    pid, start, _ = first_process(f"{cgroup}/init")
    return pid, start, {name: folder.parent for name, folder in limits.folders(pid, start).items()}


def own(folders: Folders) -> dict[str, float | None]:
    """Its own limits of `cpu` (CPUs), `memory` (bytes) and `processes`; None where it has none. FileNotFoundError if gone."""
    most = limits.read(folders)
    return {name: most[_NAMES[name]] for name in _NAMES}


def tightest(folders: Folders) -> dict[str, tuple[float, Folders] | None]:
    """For each limit the least on the way up, and the cgroups that have it; None where none does."""
    found: dict[str, tuple[float, Folders] | None] = {}
    for name, controller in _CONTROLLERS.items():
        held = [(limit, level) for level in _levels(folders, controller) if (limit := _limit(level, name)) is not None]
        found[name] = min(held, key=lambda one: one[0], default=None)
    return found


def _limit(folders: Folders, name: str) -> float | None:
    with contextlib.suppress(FileNotFoundError):  # the root has no limits
        return limits.limit(folders, _NAMES[name])
    return None


def _levels(folders: Folders, controller: str) -> Iterator[Folders]:
    key = controller if controller in folders else "unified"
    top = kernel.CGROUPS / controller if key == controller else kernel.CGROUPS
    yield {key: folders[key]}
    for folder in folders[key].parents:
        if not folder.is_relative_to(top):
            return
        yield {key: folder}


def held_back(folders: Folders) -> float:
    """Seconds in which the CPU limit of this cgroup held it back, so far."""
    rows = _rows(limits.file(folders, "cpu", "cpu.stat", "cpu.stat"))
    return rows["throttled_time"] / 1e9 if "throttled_time" in rows else rows.get("throttled_usec", 0) / 1e6


def tasks(folders: Folders) -> int:
    """Processes and threads in it and below."""
    return int(limits.file(folders, "pids", "pids.current", "pids.current").read_text())


def most_tasks(folders: Folders) -> int:
    """The most tasks since it was made; where the kernel does not keep that (before 6.1), those of now."""
    path = limits.file(folders, "pids", "pids.peak", "pids.peak")
    return int(path.read_text()) if path.exists() else tasks(folders)


def kills(folders: Folders) -> dict[str, int]:
    """Processes killed for want of memory, whoever's limit it was, by path; paths without any are left out."""
    if "memory" in folders:
        return _below(folders["memory"], "memory.oom_control", "oom_kill")
    return _present({"": _rows(folders["unified"] / "memory.events").get("oom_kill", 0)})


def met(folders: Folders) -> dict[str, int]:
    """How often memory limits were met, by the path of the cgroup that has the limit."""
    if "memory" in folders:
        return _below(folders["memory"], "memory.failcnt", "")
    local, whole = folders["unified"] / "memory.events.local", folders["unified"] / "memory.events"
    return _present({"": _rows(local if local.exists() else whole).get("oom", 0)})


def full(folders: Folders) -> list[str]:
    """Paths of cgroups whose memory limit was reached at some time, of those where `met` cannot tell (v1 without swap)."""
    if "memory" not in folders:
        return []
    found = []
    for one in below(folders["memory"]):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max_usage_in_bytes")
            limit, both, most = (int((one / name).read_text()) for name in names)
            if limit == both and most >= limit:
                found.append("" if one == folders["memory"] else str(one.relative_to(folders["memory"])))
    return found


def refused(folders: Folders) -> dict[str, int]:
    """Forks that a limit of processes refused, by path.

    Since Linux 6.11 v2 has nothing of those that the limit of a cgroup above refused.
    """
    folder = folders.get("pids") or folders["unified"]
    if "pids" not in folders and (folder / "pids.events.local").exists():
        return _present({"": _rows(folder / "pids.events").get("max", 0)})
    return _below(folder, "pids.events", "max")


def refused_by_it(folders: Folders) -> int | None:
    """Forks refused by this very cgroup's limit; None where the kernel does not tell whose limit it was."""
    path = None if "pids" in folders else folders["unified"] / "pids.events.local"
    return _rows(path).get("max", 0) if path is not None and path.exists() else None


def below(folder: Path) -> Iterator[Path]:
    """A cgroup and all below it, as far as they are still there."""
    yield folder
    with contextlib.suppress(OSError):
        for entry in sorted(folder.iterdir()):
            if entry.is_dir():
                yield from below(entry)


def _below(folder: Path, file: str, key: str) -> dict[str, int]:
    found = {}
    for one in below(folder):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            path = one / file
            number = _rows(path).get(key, 0) if key else int(path.read_text())
            found["" if one == folder else str(one.relative_to(folder))] = number
    return _present(found)


def _present(found: dict[str, int]) -> dict[str, int]:
    return {path: number for path, number in found.items() if number}


def _rows(path: Path) -> dict[str, int]:
    return {words[0]: int(words[1]) for line in path.read_text().splitlines() if len(words := line.split()) == 2}
