"""What the clean-up tests compare: the machine and the inside of a target, before and after."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from conftest import traces

from shaketable.adapters.docker_engine import DockerEngine
from shaketable.run.conform import CanarySite

AGENT = b"shaketable.agent.serve"
LIMIT = 2.0
"""Seconds after an event within which the machine must be as before."""


def holders(engine: DockerEngine) -> set[int]:
    """Processes of ours that hold faults: forks of an agent, wherever their cgroup is now. The agents themselves are not."""
    rows = engine._api.containers(filters={"label": "shaketable.tool=serve"})
    agents = {engine.inspect(row["Id"]).pid for row in rows}
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                entry.name.isdigit()
                and AGENT in (entry / "cmdline").read_bytes()
                and b"docker" not in entry.name.encode()
            ):
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if int(entry.name) not in agents and state != "Z":
                    found.add(int(entry.name))
    return found


def machine(engine: DockerEngine) -> dict[str, set[str]]:
    """What a fault can leave on the machine, beside the containers of the topology itself."""
    kept = {what: found for what, found in traces(engine).items() if what not in ("containers", "networks", "volumes")}
    return {**kept, "holders": {str(pid) for pid in holders(engine)}}


def inside(site: CanarySite, role: str) -> dict[str, list[str]]:
    """What a fault can leave within its target."""
    target = site.resolve(role)
    look = {"see": "traces", "members": [m.step for m in target.members]}
    return {k: list(v) for k, v in site.keeper.witness().look({"x": look})["x"]["traces"].items()}


def seconds_until(condition: Callable[[], bool], limit: float) -> float:
    """Seconds until a condition came true; infinity if it did not within the limit."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began
