"""What the engine of a nested host says of itself and its containers, and what the kernel says of containers' lives.

The engine is asked over its own socket, found below the root of the nested host's first process. Nothing here is shared
with how faults reach it. Sources: Docker Engine API (/version, /containers/json), cgroups(7), proc(5).
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel

_SOCKET: Final = "run/docker.sock"
_LIMIT: Final = 1.0
"""Seconds an engine has to answer."""
_ID: Final = re.compile(r"[0-9a-f]{64}")
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{**member.step}: {"version", "engines": [[pid, start]], "containers": {name: {"state", "id", "since"}}}.

    The version is empty while there is no answer; `engines` are its processes; `since` is when a container's first
    process began, seconds of CLOCK_MONOTONIC, or 0.
    """
    if kernel.started(look["pid"]) != look["start"]:
        raise kernel.KernelError(f"{look['member']} has ended")
    path = f"/proc/{look['pid']}/root/{_SOCKET}"
    engines = [[pid, kernel.started(pid)] for pid in kernel.processes(look["cgroup"]) if _command(pid) == "dockerd"]
    try:
        version = str(_ask(path, "/version")["Version"])
        # A container that is just being removed has no name any more.
        rows = [row for row in _ask(path, "/containers/json?all=1") if row["Names"]]
        states = {row["Names"][0].lstrip("/"): (str(row["State"]), str(row["Id"])) for row in rows}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {"version": "", "engines": engines, "containers": {}}
    lives = _lives(look["cgroup"])
    containers = {
        name: {"state": state, "id": identity, "since": lives.get(identity, 0.0)}
        for name, (state, identity) in states.items()
    }
    return {"version": version, "engines": engines, "containers": containers}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _ask(path: str, what: str) -> Any:
    """One answer of the engine. Raises OSError when there is none, ValueError when it is not whole, or not JSON."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(_LIMIT)
        stream.connect(path)
        stream.sendall(f"GET {what} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        parts = []
        while piece := stream.recv(65536):
            parts.append(piece)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ValueError(head[:80])
    return json.loads(body)


def see_running(look: dict[str, Any]) -> dict[str, Any]:
    """{"containers": {name: cgroup}, "hosts": {name: cgroup of a nested host}}: what runs, by the kernel's word.

    {"running": {name: seconds}, "inside": {host: {container id: seconds}}}; the seconds are when the first process of
    its life began, on CLOCK_MONOTONIC. What does not run is not there.
    """
    running = {name: since for name, cgroup in look["containers"].items() if (since := _since(cgroup))}
    return {"running": running, "inside": {host: _lives(cgroup) for host, cgroup in look["hosts"].items()}}


def _lives(cgroup: str) -> dict[str, float]:
    """Beginning of each container's life below a nested host's cgroup, by container id."""
    folder = kernel.CGROUPS / cgroup
    found = {}
    for parent in (folder / "docker", folder / "system.slice"):
        if parent.is_dir():
            for entry in parent.iterdir():
                name = _ID.search(entry.name)
                if name and (since := _since(str(entry.relative_to(kernel.CGROUPS)))):
                    found[name[0]] = since
    return found


def _since(cgroup: str) -> float:
    """When the first process of those in a cgroup began, seconds; 0 when there is none."""
    try:
        pids = (kernel.CGROUPS / cgroup / "cgroup.procs").read_text().split()
    except OSError:
        return 0.0
    # A process that has ended while it was looked at has no start.
    starts = [start for pid in pids if (start := kernel.started(int(pid)))]
    return min(starts) / _TICKS if starts else 0.0
