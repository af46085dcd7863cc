"""The Docker engine of a nested host, through what supervises it there: requests are lines in a pipe of the host's own.

    {"do": "engine", "ask": "stop" | "restart" | "upgrade 26.1" | "settle 20.10", **member.step}
    {"do": "engine-kill", **member.step}                                           SIGKILL to the engine's process

A request is carried out by the host itself, so it goes on whatever becomes of us; `settle` says the version that shall
run in the end, and is the undo of all. The engine host's own engine is out of reach here: a nested host is found by its
first process, and everything of it below that process's root.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel

_REQUESTS: Final = "run/nested-host.requests"
_ENGINE: Final = "run/nested-host.engine"


def ask(step: dict[str, Any]) -> None:
    """Hand in a request. Raises KernelError when nobody takes it."""
    root = _root(step)
    try:
        pipe = os.open(root / _REQUESTS, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(pipe, f"{step['ask']}\n".encode())
        finally:
            os.close(pipe)
    except OSError as error:
        raise kernel.KernelError(f"nobody looks after the engine of {step['member']}: {error.strerror}") from error


def kill(step: dict[str, Any]) -> None:
    """End the engine's process by SIGKILL; its containers' processes are others. Raises KernelError."""
    found = engine(step)
    if found is None or not kernel.signal_pid(*found, signal.SIGKILL):
        raise kernel.KernelError(f"no engine runs in {step['member']}")


def engine(step: dict[str, Any]) -> tuple[int, int] | None:
    """Pid and start of the engine's process, as this process sees it; None when none runs.

    Raises KernelError when the host has ended.
    """
    root = _root(step)
    try:
        inner = int((root / _ENGINE).read_text())
        pid = kernel.within(step["pid"], inner)
    except (OSError, ValueError, kernel.KernelError):
        return None
    with contextlib.suppress(OSError):
        start = kernel.started(pid)
        if start and Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
            return pid, start
    return None


def _root(step: dict[str, Any]) -> Path:
    if kernel.started(step["pid"]) != step["start"]:
        raise kernel.KernelError(f"{step['member']} has ended since it was resolved")
    return Path(f"/proc/{step['pid']}/root")
