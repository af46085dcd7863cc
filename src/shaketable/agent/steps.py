"""What the agent can do to a target, by name: each step is data, and each change has another step that undoes it.

    {"do": "link", "name": "veth1a2b", "index": 12, "up": false, "members": [...]}   with "netns" and "via" (a pid): there
    {"do": "freeze" | "thaw" | "kill", "cgroup": "freezer/docker/ID", "pid": 41, "start": 9120, "member": "host-2"}
    {"do": "signal", "pid": 41, "start": 9120, "signal": 15, "member": "host-2"}
    {"do": "run", "program": "spin", "pid": 41, "start": 9120, "member": "host-2", ...}   a child that holds the fault

A step that changes something raises kernel.KernelError when it cannot. A step that undoes something is idempotent and
quiet about a target that no longer exists, for then nothing is left to undo. One that is `late` comes after the fault's
children have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.changes import (
    burden,
    clients,
    clock,
    commands,
    connections,
    deadlocks,
    disks,
    ends,
    engines,
    limits,
    names,
    packets,
    proxy,
    rules,
    shape,
)
from shaketable.agent.children import Child, Program, spawn
from shaketable.agent.namespaces import beside, link_is_up

Step = dict[str, Any]


def _link(step: Step) -> None:
    with beside(step.get("netns", 0), step.get("via", 0)):
        kernel.set_link(step["name"], step["index"], up=step["up"])


def _freeze(step: Step) -> None:
    kernel.freeze(step["cgroup"])


def _thaw(step: Step) -> None:
    kernel.thaw(step["cgroup"])
    if not kernel.thawed(step["cgroup"]):
        raise kernel.KernelError(f"{step['member']} is still frozen after a thaw")


def _kill(step: Step) -> None:
    if kernel.started(step["pid"]) != step["start"]:
        return  # it is gone already, and what may run in its cgroup now is a new life of the container
    if not kernel.kill_cgroup(step["cgroup"]):
        raise kernel.KernelError(f"{step['member']} has processes that survive SIGKILL")


def _signal(step: Step) -> None:
    if not kernel.signal_pid(step["pid"], step["start"], step["signal"]):
        raise kernel.KernelError(f"{step['member']} was already gone before it was signalled")


STEPS: Final[Mapping[str, Callable[[Step], None]]] = {
    "link": _link,
    "freeze": _freeze,
    "thaw": _thaw,
    "kill": _kill,
    "signal": _signal,
    "rules": rules.add,
    "no-rules": rules.remove,
    "reset": connections.reset,
    "shape": shape.add,
    "no-shape": shape.remove,
    "kill-worker": ends.kill_worker,
    "limits": limits.change,
    "limits-back": limits.restore,
    "descriptors": limits.exhaust,
    "descriptors-back": limits.relax,
    "skew": clock.skew,
    "no-skew": clock.unskew,
    "db-do": clients.do,
    "db-end": clients.end,
    "command": commands.run,
    "engine": engines.ask,
    "engine-kill": engines.kill,
    "disk-off": disks.power_off,
    "disk-free": disks.free,
    "disk-stall": disks.stall,
    "disk-resume": disks.resume,
    "no-disk": disks.detach,
}
"""Changes that the kernel keeps, and their undo."""

PROGRAMS: Final[Mapping[str, Program]] = {
    "delay": packets.delay,
    "spin": burden.spin,
    "hog": burden.hog,
    "fork": burden.fork,
    "fill": disks.fill,
    "http": proxy.http,
    "dns": names.proxy,
    "sessions": clients.sessions,
    "deadlocks": deadlocks.deadlocks,
    "oom": ends.oom,
    "crash-loop": ends.crash_loop,
}
"""What a child can do; it holds the fault while it lives."""


def carry_out(step: Step) -> Child | None:
    """One step; the child of a `run`. Raises kernel.KernelError with the step's target in the message."""
    do = step["do"]
    if do == "run":
        if kernel.started(step["pid"]) != step["start"]:
            raise kernel.KernelError(f"{step['member']} has ended since it was resolved")
        return spawn(PROGRAMS[step["program"]], step)
    if do not in STEPS:
        raise kernel.KernelError(f"unknown step {do!r}")
    STEPS[do](step)
    return None


def undo_all(steps: list[Step]) -> list[str]:
    """Every undo step, whatever the others did; what no longer exists needs no undo. Answers the problems."""
    problems = []
    for step in steps:
        try:
            carry_out(step)
        except kernel.KernelError as error:
            if not _target_gone(step):
                problems.append(str(error))
    return problems


def _target_gone(step: Step) -> bool:
    """Whether there is nothing left to undo. Asked only after a failure: a target may go away at any moment."""
    if step["do"] == "link":
        return link_is_up(step["name"], step["index"], step.get("netns", 0), step.get("via", 0)) is None
    ended = "start" in step and kernel.started(step["pid"]) != step["start"]
    # What a command changed is in the container's files, which its next life has, too.
    return ended and not (step["do"] == "command" and kernel.first_process(step["cgroup"]))
