"""Processes of a topology: whose each one is by its cgroup, and what the kernel says of it as long as it is there.

Sources: proc(5) (/proc/PID/stat), cgroups(7).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from shaketable.agent import kernel
from shaketable.agent.looks.attribution import Source
from shaketable.agent.looks.exits import Exit
from shaketable.agent.looks.signals import Sent

TICKS: Final = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """What /proc/PID/stat says."""

    command: str
    state: str
    cpu: float
    """Seconds, of all its threads."""
    threads: int
    start: int
    """Clock ticks since boot."""

    @property
    def dead(self) -> bool:
        """Whether all of it has ended, and it only waits to be asked how."""
        return self.state in "ZX" and self.threads <= 1


def read_stat(text: bytes) -> Stat:
    """Read such a file. Raises ValueError."""
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    if len(fields) < 20:
        raise ValueError("this is no stat of a process")
    command = head.partition(b"(")[2].decode(errors="replace")
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    return Stat(command, fields[0].decode(), cpu, int(fields[17]), int(fields[19]))


def stat_of(pid: int) -> Stat | None:
    """What the kernel says of a process; None when it is gone."""
    try:
        return read_stat(Path(f"/proc/{pid}/stat").read_bytes())
    except (OSError, ValueError):
        return None


@dataclass(slots=True)
class Process:
    """A process of the topology, as it was last seen."""

    pid: int
    of: str
    cgroup: str
    began: float
    command: str
    start: int = 0
    """Clock ticks; 0 while it is known only by its parent's fork."""
    cpu: float = 0.0
    threads: int = 1
    stale: bool = True
    """Whether it has done something since that changes what is known."""
    busy: bool = True
    """Whether it used CPU between the last two readings."""
    missing: int = 0
    """Looks in a row in which it was in no cgroup of the topology."""
    exit: Exit | None = None
    """The end of its first thread, or of another one after that."""
    sent: list[tuple[Sent, Source | None]] = field(default_factory=list)
    """Signals to those of its threads that have ended."""

    def learn(self, stat: Stat) -> None:
        """Take over what was read of it."""
        self.busy = stat.cpu != self.cpu or not self.start
        self.command, self.cpu, self.threads, self.start = (
            stat.command,
            max(stat.cpu, self.cpu),
            stat.threads,
            stat.start,
        )
        self.stale = False


class Places:
    """Cgroups of the instances and nested hosts that were asked for."""

    def __init__(self, instances: Mapping[str, Mapping[str, str]]) -> None:
        self.names: dict[str, str] = {}
        """Whose a cgroup is, and what lies below it unless that is another's."""
        for name, where in instances.items():
            for cgroup in _cgroups(where["cgroup"], where.get("container", "")):
                self.names[cgroup] = name
        self.tops = [one for one in self.names if not any(one.startswith(f"{other}/") for other in self.names)]
        self.hosts = {
            name for one, name in self.names.items() if any(other.startswith(f"{one}/") for other in self.names)
        }

    def whose(self, cgroup: str) -> str:
        """Instance or nested host of a cgroup; empty when it is none's."""
        while cgroup:
            if name := self.names.get(cgroup):
                return name
            cgroup = cgroup.rpartition("/")[0]
        return ""

    def processes(self) -> Iterator[tuple[int, str, str]]:
        """Id, cgroup and owner of every process in them."""
        for top in self.tops:
            yield from self._below(top, self.names[top])

    def _below(self, cgroup: str, name: str) -> Iterator[tuple[int, str, str]]:
        folder = kernel.CGROUPS / cgroup
        with contextlib.suppress(OSError):
            for pid in (folder / "cgroup.procs").read_bytes().split():
                yield int(pid), cgroup, name
            if folder.stat().st_nlink > 2:  # a cgroup file system counts the folders in a folder by its links
                with os.scandir(folder) as entries:
                    below = [f"{cgroup}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
                for one in below:
                    yield from self._below(one, self.names.get(one, name))


def _cgroups(cgroup: str, container: str) -> Iterator[str]:
    """Where an instance can be, by either of the kernel's hierarchies."""
    if not container:
        yield cgroup
        return
    yield f"{cgroup}/docker/{container}"
    yield f"{cgroup}/system.slice/docker-{container}.scope"
