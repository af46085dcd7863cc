"""What the kernel says of instances beyond numbers: entries of the lists `ends` and `limits` of a holder `containers`.

An entry is the JSON text of one of these, with sorted keys.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Ender = Literal["itself", "guard", "limit", "watchdog", "engine"]
"""Who ended a process, by the kernel's word.

`itself`: it left with code 0. `guard`: the program: another code, a signal that the kernel sends for a limit that a
process has set itself (SIGXCPU, SIGALRM, SIGXFSZ), or one from another process of the same instance. `limit`: the
kernel's OOM killer, as the memory limit of its instance or host was reached. `watchdog`: a process outside of the
instance. `engine`: the container engine.
"""

LimitName = Literal["memory", "cpu", "processes", "files", "disk"]
"""Units: bytes, CPUs, tasks, open files of a process, bytes."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class End(_Entry):
    """One process that ended: by another or a signal, or by itself after 0.5 s or 0.2 s of CPU.

    One that left with an error is told after 0.2 s or 0.1 s of CPU.
    """

    of: str
    """The instance or nested host it belonged to: `server-1/acme`."""
    pid: int
    command: str
    """Its name, at most 15 characters (proc(5), comm)."""
    began: float
    at: float
    """Moments, CLOCK_MONOTONIC seconds."""
    cpu: float
    """CPU seconds that it had used when it was last seen."""
    signal: int
    """What ended it; 0 when it left by itself."""
    code: int
    """Its exit code; 0 when a signal ended it."""
    by: Ender
    who: str
    """Who sent the signal, as `lfd of server-1/firewall`, or `the memory limit of server-1`; empty for `itself`."""


class Limit(_Entry):
    """One limit of an instance: as configured, as the kernel has it, the most that was used, and how often it was hit."""

    of: str
    limit: LimitName
    configured: float | None
    """What the compose file says; None where it says nothing."""
    kernel: float | None
    """What the kernel holds this instance to by itself; None where nothing does."""
    used: float
    """The most since the observer's first look, in the limit's unit; of the CPU over one second."""
    hits: float
    """Since the observer's first look: seconds held back (cpu), OOM events (memory), refused forks (processes); else 0."""
