"""Whose memory limit it was that made the kernel's OOM killer end a process: of its instance, its host, or the machine.

cgroup v1 tells it by an event on memory.oom_control, for the cgroup that is short of memory and for all below it; v2
counts it in memory.events.local of that cgroup alone. Sources: kernel Documentation/admin-guide/cgroup-v1/memory.rst
(10. OOM Control), admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from shaketable.agent import kernel

_TOGETHER: Final = 0.15
"""Seconds within which victims are of the same shortage."""
_LATELY: Final = 0.5
"""Seconds in which an end is taken for one that the counters told of, where nothing tells whom the OOM killer picked."""
MACHINE: Final = "the memory of the engine's machine"


def folder_of(cgroup: str) -> Path:
    """Where the memory controller has a cgroup that is called as kernel.cgroup_of does."""
    if cgroup.startswith("freezer/"):
        return kernel.CGROUPS / "memory" / cgroup.removeprefix("freezer/")
    return kernel.CGROUPS / cgroup


class _Watched:
    """How often one cgroup was short of memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.inode = _inode(folder)
        self._event = -1
        self._known = 0
        self.last = float("-inf")
        if not self.inode:
            raise FileNotFoundError(folder)
        control = folder / "memory.oom_control"
        if control.exists():
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            try:
                descriptor = os.open(control, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    (folder / "cgroup.event_control").write_text(f"{self._event} {descriptor}")
                finally:
                    os.close(descriptor)
            except OSError:
                self.close()
                raise
        else:
            self._known = self._counted()

    def _counted(self) -> int:
        with contextlib.suppress(OSError):
            rows = dict(line.split() for line in (self._folder / "memory.events.local").read_text().splitlines())
            return int(rows.get("oom", 0))
        return self._known

    def rose(self) -> bool:
        """Whether it was, just now."""
        if self._event >= 0:
            with contextlib.suppress(BlockingIOError):
                if os.eventfd_read(self._event):
                    self.last = time.monotonic()
        elif (count := self._counted()) > self._known:
            self._known, self.last = count, time.monotonic()
        return time.monotonic() - self.last <= _TOGETHER

    def close(self) -> None:
        if self._event >= 0:
            os.close(self._event)
            self._event = -1


class Shortage:
    """Memory limits that processes of a topology may run into."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._kills: dict[str, tuple[int, float]] = {}

    def watch(self, cgroups: Mapping[str, str]) -> None:
        """Watch these and no others from now on: what each is called, by cgroup. What is gone or not there is passed over."""
        # A container's next life has another cgroup under the same name.
        for cgroup in [c for c, one in self._watched.items() if c not in cgroups or _inode(folder_of(c)) != one.inode]:
            self._watched.pop(cgroup).close()
        for cgroup in cgroups:
            if cgroup not in self._watched:
                with contextlib.suppress(OSError):
                    self._watched[cgroup] = _Watched(folder_of(cgroup))

    def whose(self, cgroup: str, names: Mapping[str, str]) -> str:
        """In the name of which limit a process in this cgroup was just picked; `names` by cgroup."""
        before = set(self._watched.values())
        self.watch(names)
        path = [place for place in _upwards(cgroup) if place in self._watched]
        short = [place for place in path if self._watched[place].rose()]
        if short:
            return f"the memory limit of {names.get(short[-1], short[-1])}"
        # One that began only just now was not watched yet: its own counter says whether it ran into its limit.
        for place in _upwards(cgroup):
            if place in names and self._watched.get(place) not in before and _failed(folder_of(place)):
                return f"the memory limit of {names[place]}"
        return MACHINE

    def killed(self, cgroup: str) -> bool:
        """Whether the OOM killer ended one in this cgroup lately, if this is asked at a pace."""
        count = _kills(folder_of(cgroup))
        known, last = self._kills.get(cgroup, (count, float("-inf")))
        self._kills[cgroup] = count, time.monotonic() if count > known else last
        return time.monotonic() - self._kills[cgroup][1] <= _LATELY

    def close(self) -> None:
        """Watch no more."""
        self.watch({})


def _upwards(cgroup: str) -> list[str]:
    """Names a cgroup and those above it."""
    parts = cgroup.split("/")
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _inode(folder: Path) -> int:
    """Tell a folder from another of its name; 0 when there is none."""
    with contextlib.suppress(OSError):
        return folder.stat().st_ino
    return 0


def _failed(folder: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return int((folder / "memory.failcnt").read_text()) > 0
    return False


def _kills(folder: Path) -> int:
    for name in ("memory.oom_control", "memory.events"):
        with contextlib.suppress(OSError, ValueError):
            rows = dict(line.split() for line in (folder / name).read_text().splitlines())
            return int(rows.get("oom_kill", 0))
    return 0
