"""Open files and file systems: what each process may open and a container may write, read from proc(5) and statvfs(3).

A file system counts when it has a size of its own: a disk under a volume, or a tmpfs with a size. Others are the
machine's, and full for all when they are.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shaketable.agent import kernel
from shaketable.agent.changes import limits
from shaketable.agent.looks.counters import Folders, below

_LOOP: Final = 7
"""Major number of the disks under volumes: loop devices (kernel Documentation/admin-guide/devices.txt)."""
_KERNELS: Final = ("/dev", "/proc", "/sys")
"""Mounts below these are the engine's doing, and nobody's room."""
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Files:
    """Of all processes of an instance: the most open files of one, the nearest to its soft limit (share), the hard limit."""

    most: int = 0
    nearest: float = 0.0
    hard: int | None = None


@dataclass(frozen=True, slots=True)
class Disk:
    """The fullest file system with a size of its own: bytes used, its size, and the share as df(1) tells it."""

    used: int
    size: int
    share: float


def processes(folders: Folders) -> list[int]:
    """Process ids in a cgroup and below."""
    found: set[int] = set()
    for folder in below(folders.get("pids") or folders["unified"]):
        with contextlib.suppress(OSError, ValueError):
            found.update(map(int, (folder / "cgroup.procs").read_text().split()))
    return sorted(found - {0})


def files(pids: Iterable[int]) -> Files:
    """Open files and their limits (RLIMIT_NOFILE, getrlimit(2)); processes that end meanwhile are left out."""
    most, nearest, hard = 0, 0.0, 0
    for pid in pids:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            count = _open(pid)
            least, highest = limits.most_files(pid)
            most, nearest, hard = max(most, count), max(nearest, count / max(1, least)), max(hard, highest)
    return Files(most, nearest, hard or None)


def _open(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    # Since Linux 6.2 the folder's size is the number of its entries; before, and where there is none, it is 0.
    return folder.stat().st_size or len(list(folder.iterdir()))


def disk(pids: Iterable[int]) -> Disk | None:
    """The fullest file system with a size of its own that one of these processes may write to; None without one."""
    found = [one for pid in pids for one in _disks(pid)]
    return max(found, key=lambda one: one.share, default=None)


def _disks(pid: int) -> list[Disk]:
    found = []
    with contextlib.suppress(OSError):
        for point in places(Path(f"/proc/{pid}/mountinfo").read_text()):
            with contextlib.suppress(OSError):
                seen = os.statvfs(f"/proc/{pid}/root{point}")
                used = seen.f_blocks - seen.f_bfree
                room = used + seen.f_bavail
                found.append(Disk(used * seen.f_frsize, seen.f_blocks * seen.f_frsize, used / room if room else 0.0))
    return found


def places(mounts: str) -> list[str]:
    """Mount points of the text of /proc/PID/mountinfo that may be written to and have a size of their own."""
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split(" ", 2)
        point = _ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        sized = int(fields[2].split(":")[0]) == _LOOP or (kind == "tmpfs" and "size=" in options)
        engines = any(point == root or point.startswith(f"{root}/") for root in _KERNELS)
        if sized and not engines and "ro" not in fields[5].split(",") and "ro" not in options.split(","):
            found.append(point)
    return found


def first_of(cgroup: str) -> list[int]:
    """The processes of a nested host itself, the lowest id first, by its cgroup; those of its containers not."""
    for place in (cgroup, f"{cgroup}/init"):
        with contextlib.suppress(OSError, ValueError):
            if pids := sorted(map(int, (kernel.CGROUPS / place / "cgroup.procs").read_text().split())):
                return pids
    return []
