"""What ends a target's processes without asking them: the kernel's memory limit, one signal, or a signal each time it starts.

Sources: proc(5) oom_score_adj, kernel Documentation/admin-guide/cgroup-v1/memory.rst, pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import time
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.children import Ready, forked
from shaketable.agent.kernel import KernelError

_STEP: Final = 1 << 20
_PAGE: Final = 4096
_LOOK: Final = 0.005
"""Seconds between two looks for a new life of a container."""


def oom(request: dict[str, Any], ready: Ready) -> None:
    """{**member.step}, in the target's cgroups: use up its memory until the kernel ends its first process for it."""
    pid, start = request["pid"], request["start"]
    try:
        # The kernel picks the task with the highest score: the target, not this one.
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    except OSError as error:
        raise KernelError(f"{request['member']} cannot be picked for the kernel to end: {error.strerror}") from error
    eater = 0
    while kernel.started(pid) == start:
        if not eater or os.waitpid(eater, os.WNOHANG)[0]:  # the kernel may have to end that one, too
            eater = forked()
            if not eater:
                _eat()
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError):
        os.kill(eater, signal.SIGKILL)
    ready()


def _eat() -> None:
    taken: list[mmap.mmap] = []
    while True:
        block = mmap.mmap(-1, _STEP)
        for page in range(0, _STEP, _PAGE):
            block[page] = 1
        taken.append(block)


def kill_worker(step: dict[str, Any]) -> None:
    """{"match": regular expression, "count": number, **member.step}: SIGKILL the oldest that match, never the first process."""
    there = commands(step["cgroup"])
    found = [(pid, start) for pid, start, words in there if pid != step["pid"] and re.search(step["match"], words)]
    if len(found) < step["count"]:
        others = sorted({words for pid, _, words in there if pid != step["pid"]}) or ["none"]
        raise KernelError(
            f"{len(found)} of {step['count']} processes of {step['member']} match {step['match']!r}; "
            f"those beside the first one are: {', '.join(others)[:300]}"
        )
    for pid, start in found[: step["count"]]:
        if not kernel.signal_pid(pid, start, signal.SIGKILL):
            raise KernelError(f"process {pid} of {step['member']} ended by itself before it was killed")


def commands(cgroup: str) -> list[tuple[int, int, str]]:
    """Id, start time and command line of each process in a cgroup, the oldest first."""
    found = []
    for pid in kernel.processes(cgroup):
        with contextlib.suppress(OSError):
            words = (
                Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
            )
            found.append((pid, kernel.started(pid), words))
    return sorted(found, key=lambda one: (one[1], one[0]))


def crash_loop(request: dict[str, Any], ready: Ready) -> None:
    """{"cgroup", "up": seconds, **member.step}: each time the container runs, end it after so long; for ever."""
    told = False
    while True:
        first = _first(request["cgroup"])
        if first is None:
            time.sleep(_LOOK)
            continue
        if told:
            time.sleep(request["up"])
        kernel.signal_pid(*first, signal.SIGKILL)
        while kernel.started(first[0]) == first[1]:
            time.sleep(_LOOK)
        if not told:
            ready()
        told = True


def _first(cgroup: str) -> tuple[int, int] | None:
    """Give the first process of a container, (pid, start): 1 in its own process namespace."""
    for pid in kernel.processes(cgroup):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[1:][1:] and line.split()[-1] == "1":
                    start = kernel.started(pid)
                    return (pid, start) if start else None
    return None
