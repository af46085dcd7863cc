"""What a write to a target's disk comes to, tried by a process of its own that may well hang: with the disk, not with us."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Final

from shaketable.agent.kernel import KernelError, started

_LIMIT: Final = 0.4
"""Seconds after which a write hangs."""
_WRITE: Final = """
import errno, os, sys
try:
    file = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(file, bytes(4096))
    print("written")
except OSError as error:
    print(errno.errorcode.get(error.errno, error.errno))
"""


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"paths": [{"path", "member", "pid", "start"}]}: {"writes": {"member:path": outcome}, "room": {same: bytes}}.

    The outcome of a write of 4 KiB into a file without a name: "written", "hangs", an error's name as "ENOSPC", or "gone"
    when the target has ended. It is not synced: a sync would save what the target has not synced.
    """
    places = {f"{p['member']}:{p['path']}": p for p in look["paths"]}
    tries = {name: _begin(p) for name, p in places.items()}
    writes = {name: _outcome(tried) for name, tried in tries.items()}
    return {"writes": writes, "room": {name: _room(p) for name, p in places.items()}}


def _reached(place: dict[str, Any]) -> str:
    return f"/proc/{place['pid']}/root{place['path']}"


def _begin(place: dict[str, Any]) -> subprocess.Popen[str] | None:
    if started(place["pid"]) != place["start"]:
        return None
    return subprocess.Popen([sys.executable, "-S", "-c", _WRITE, _reached(place)], stdout=subprocess.PIPE, text=True)


def _outcome(tried: subprocess.Popen[str] | None) -> str:
    if tried is None:
        return "gone"
    try:
        said = tried.communicate(timeout=_LIMIT)[0].strip()
    except subprocess.TimeoutExpired:
        tried.kill()  # it ends when the disk lets it
        return "hangs"
    if not said:
        raise KernelError("the write that was tried has ended without a word")
    return said


def _room(place: dict[str, Any]) -> int | None:
    try:
        found = os.statvfs(_reached(place))
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
