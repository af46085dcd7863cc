"""What a fault could leave on a target, read afresh: rules, queueing disciplines, mounts, frozen cgroups, processes."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path
from typing import Any

from shaketable.agent import kernel
from shaketable.agent.changes.ends import commands
from shaketable.agent.namespaces import inside

_NUMBERS = re.compile(r"\b\d{4,}\b|\b[0-9a-f]{8,}\b|(?<=\bveth)[0-9a-f]+")
"""Ports of Docker's own DNS rules, handles, ids and links: another life of a container has others."""
_OURS = "docker system dial-stdio"
"""How the harness reaches a nested host's engine; it comes and goes."""

_EMPTY = re.compile(r"#|\*|COMMIT|:[A-Z]+ ACCEPT")
"""What iptables-save says of a table without rules; looking at one is enough to make it."""


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [{"member", "pid", "netns", "cgroup"}]}: {"traces": {what: sorted lines}}, alike before and after."""
    traces: dict[str, list[str]] = {}
    for member in look["members"]:
        name = member["member"]
        with inside(member["netns"], member["pid"]):
            traces[f"rules of {name}"] = _lines("iptables-save")
            traces[f"queueing of {name}"] = _lines("tc", "qdisc", "show")
        mounts = Path(f"/proc/{member['pid']}/mountinfo").read_text().splitlines()
        traces[f"mounts of {name}"] = sorted(_NUMBERS.sub("N", " ".join(line.split()[4:6])) for line in mounts)
        traces[f"frozen of {name}"] = [] if kernel.thawed(member["cgroup"]) else ["frozen"]
        traces[f"processes of {name}"] = sorted(filter(None, map(_command, kernel.processes(member["cgroup"]))))
    return {"traces": traces}


def see_states(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [...]}: {"states": {member: its first process's state}}, a letter of proc(5), or "gone"."""
    states = {}
    for member in look["members"]:
        alive = kernel.started(member["pid"]) == member["start"]
        stat = Path(f"/proc/{member['pid']}/stat").read_text() if alive else ""
        states[member["member"]] = stat.rpartition(")")[2].split()[0] if stat else "gone"
    return {"states": states}


def see_processes(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [...]}: {"processes": {member: [[pid, start, command line]]}}, the oldest first."""
    return {"processes": {m["member"]: [list(one) for one in commands(m["cgroup"])] for m in look["members"]}}


def see_oom_kills(_: dict[str, Any]) -> dict[str, Any]:
    """{"kills": number}: how many processes the kernel has ended for want of memory, on the whole machine."""
    rows = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return {"kills": int(rows["oom_kill"])}


def _lines(*words: str) -> list[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=5)
    plain = (re.sub(r"\[\d+:\d+\]", "", line).strip() for line in done.stdout.splitlines())
    return sorted(_NUMBERS.sub("N", line) for line in plain if line and not _EMPTY.match(line))


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return "" if text == _OURS else text
    return ""
