"""A command run where an instance runs, as its own people would run it: in its namespaces, as its user, with its variables.

    {"do": "command", "words": ["release", "2.0"], **member.step}

It gets none of our rights. A container that was started again since it was resolved still has the files that were changed,
so the command runs in the life that it has now. Sources: setns(2), capabilities(7).
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.entering import enter

_LIMIT: Final = 10.0
"""Seconds that a command may take."""
_RESTARTED: Final = 8.0
"""Seconds that a container is waited for that ends and is started again: an engine takes longer each time."""


def run(step: dict[str, Any]) -> None:
    """Run it to its end. Raises KernelError with its last words when it fails."""
    done = _run(step, awaited=_RESTARTED)
    if done.returncode:
        raise kernel.KernelError(f"{_words(step)} in {step['member']} ended with {done.returncode}: {_last(done)}")


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"words": [...], **member.step}: {"code": exit code, "output": what it printed}.

    Of a container that does not run just now: {"away": True, "code": None, "output": why}.
    """
    try:
        done = _run(look)
    except kernel.KernelError as error:
        if kernel.started(look["pid"]) == look["start"] or kernel.first_process(look["cgroup"]):
            raise
        return {"away": True, "code": None, "output": str(error)}
    return {"code": done.returncode, "output": (done.stdout if not done.returncode else _last(done)).strip()[:4000]}


def _run(step: dict[str, Any], awaited: float = 0.0) -> subprocess.CompletedProcess[str]:
    pid, start = _life(step, awaited)
    if kernel.netns(pid) == kernel.own_netns():
        raise kernel.KernelError(f"{step['member']} shares the engine host's own network; it is never entered")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    uid, gid = (int(status[name].split()[1]) for name in ("Uid", "Gid"))
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    environment = dict(one.split("=", 1) for one in variables if "=" in one)
    words = enter(pid, start, uid, gid, list(step["words"]), among_its_processes=True)
    try:
        return subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False, timeout=_LIMIT, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise kernel.KernelError(f"{_words(step)} in {step['member']} did not end within {_LIMIT:g} s") from error


def _life(step: dict[str, Any], awaited: float) -> tuple[int, int]:
    """Its first process, and when that began; one between two lives is waited for, for so many seconds."""
    if kernel.started(step["pid"]) == step["start"]:
        return step["pid"], step["start"]
    deadline = time.monotonic() + awaited
    while True:
        if life := kernel.first_process(step["cgroup"]):
            return life
        if time.monotonic() >= deadline:
            raise kernel.KernelError(f"{step['member']} has ended since it was resolved, and was not started again")
        time.sleep(0.05)


def _words(step: dict[str, Any]) -> str:
    return " ".join(step["words"])[:80]


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it said nothing"
