"""A target's line, made narrow or slow by the kernel: on its own interfaces for what it sends, on its links for what it gets.

    {"do": "shape", "rate": bits per second, "links": [[name, index]], **member.step}   links: what comes in; none: what goes out
    {"do": "shape", "delay": seconds, "jitter": seconds, ...}   where the kernel has netem
    {"do": "shape", "links": [[name, index, netns, via]], ...}  links that are in that namespace, where the process via is
    {"do": "shape", "interfaces": [name], ...}   of its own interfaces these alone
    {"do": "no-shape", ...}

The discipline carries a handle of ours, so that only what is ours is ever removed. Sources: tc(8), tc-tbf(8), tc-netem(8).
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any, Final

from shaketable.agent.kernel import KernelError, link_is_up
from shaketable.agent.namespaces import beside, inside, open_netns

_HANDLE: Final = "57a1:"
_LIMIT: Final = 5.0


def add(step: dict[str, Any]) -> None:
    """Set the disciplines. Raises KernelError with tc's own words, and where something else shapes already."""
    words = ["root", "handle", _HANDLE, *discipline(step)]
    if step["links"]:
        for name, index, *space in step["links"]:
            with beside(*(space or (0, 0))):
                if link_is_up(name, index) is None:
                    raise KernelError(f"link {name} of {step['member']} is another one than before")
                _tc("qdisc", "add", "dev", name, *words)
        return
    with inside(step["netns"], step["pid"]):
        for name in _interfaces(step):
            _tc("qdisc", "add", "dev", name, *words)


def discipline(step: dict[str, Any]) -> list[str]:
    """Give tc's words for what a step asks for."""
    if "rate" in step:
        rate = int(step["rate"])
        # A bucket of a millisecond, and a queue of 0.2 s behind it as a slow line's router has.
        burst, limit = max(3200, rate // 8 // 1000), max(16_384, rate // 8 // 5)
        return ["tbf", "rate", f"{rate}bit", "burst", str(burst), "limit", str(limit)]
    delay, jitter = (round(step[name] * 1e6) for name in ("delay", "jitter"))
    return ["netem", "limit", "100000", "delay", f"{delay}us", *([f"{jitter}us"] if jitter else [])]


def remove(step: dict[str, Any]) -> None:
    """Take the disciplines away; harmless when they, or the namespace, are gone. Raises KernelError when they stay."""
    for name, index, *space in step["links"]:
        with beside(*(space or (0, 0))):
            if link_is_up(name, index) is not None:
                _remove(name)
    if step["links"]:
        return
    there = open_netns(step["netns"], step["pid"])
    if there is None:
        return
    os.close(there)
    with inside(step["netns"], step["pid"]):
        for name in _interfaces(step):
            _remove(name)


def _remove(name: str) -> None:
    if f" {_HANDLE} " in _tc("qdisc", "show", "dev", name):
        _tc("qdisc", "del", "dev", name, "root", "handle", _HANDLE)


def _interfaces(step: dict[str, Any]) -> list[str]:
    there = [name for _, name in socket.if_nameindex() if name != "lo"]
    return [name for name in there if name in step.get("interfaces", there)]


def _tc(*words: str) -> str:
    try:
        done = subprocess.run(["tc", *words], capture_output=True, text=True, check=False, timeout=_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"tc could not be run: {error}") from error
    if done.returncode:
        raise KernelError(f"tc {' '.join(words)}: {done.stderr.strip()[:300]}")
    return done.stdout
