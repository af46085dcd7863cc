"""Live connections of a target, ended by its kernel. Source: ss(8) -K (SOCK_DESTROY)."""

from __future__ import annotations

import subprocess
from typing import Any

from shaketable.agent.kernel import KernelError
from shaketable.agent.namespaces import inside


def reset(step: dict[str, Any]) -> None:
    """{"port": number or None, **member.step}: end every established TCP connection of its network namespace, or the port's."""
    words = ["ss", "-H", "-K", "-t", "state", "established"]
    if step.get("port"):
        words.append(f"( sport = :{step['port']} or dport = :{step['port']} )")
    with inside(step["netns"], step["pid"]):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=5)
    if done.returncode:
        raise KernelError(f"the connections of {step['member']} could not be ended: {done.stderr.strip()[:300]}")
