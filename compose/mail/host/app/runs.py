"""What the mailer's processes know of each other: their names in the kernel, and which runs live.

A run is named by the container's life, its process id and when that began, so a name never comes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

LIFE = f"{time.time_ns():x}"
"""This life of the container: made by the first process, and inherited by all others."""
HELPER = "sender-helper"


def call_this(name: str) -> None:
    """Name this process for the kernel and for people: proc(5), comm, at most 15 characters."""
    Path("/proc/self/comm").write_text(name, encoding="ascii")


def named(pid: int) -> str:
    """Name of the run that this process is."""
    return f"{LIFE}:{pid}:{_stat(pid)[1]}"


def lives(run: str) -> bool:
    """Whether a run's process is there, and has not ended."""
    life, pid, began = run.split(":")
    return life == LIFE and is_there(int(pid)) and _stat(int(pid))[1] == began


def is_there(pid: int) -> bool:
    """Whether a process is there, and has not ended."""
    return _stat(pid)[0] not in {"", "Z", "X"}


def _stat(pid: int) -> tuple[str, str]:
    """State of a process, and when it began, in ticks since boot: proc(5), stat, fields 3 and 22; empty if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", ""
    return fields[0], fields[19]


def helpers() -> Iterator[tuple[int, int]]:
    """Process and session of each helper that is there."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")
        except OSError:
            continue
        if name.partition("(")[2] == HELPER:
            yield int(folder.name), int(rest.split()[3])
