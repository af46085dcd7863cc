"""Faults of a container's processes that the kernel or a signal brings: oom, crash-loop, kill-worker."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, field_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.host import ENDED, each, holders_last
from shaketable.model.units import Duration
from shaketable.ports.targets import Target


class Loop(Params):
    """How long each life lasts."""

    up: Duration = Field(default=0.2, le=3600, description="how long it runs each time before it ends")


class Worker(Params):
    """Which of the processes beside the first one."""

    match: str = Field(min_length=1, max_length=200, description="regular expression, found in the command line")
    count: int = Field(default=1, ge=1, le=1000, description="how many, the oldest first")

    @field_validator("match")
    @classmethod
    def _readable(cls, match: str) -> str:
        try:
            re.compile(match)
        except re.error as error:
            raise ValueError(f"{match!r} is not a regular expression: {error}") from error
        return match


def _oom(target: Target, _: Params) -> Plan:
    run = {"do": "run", "program": "oom", "cgroups": True}
    return Plan(tuple({**run, **m.step} for m in holders_last(target)), each(target, "kill"), revive="start")


def _oom_looks(target: Target, params: Params) -> Mapping[str, Look]:
    return {**ENDED.looks(target, params), "engine": {"see": "engine"}, "kills": {"see": "oom-kills"}}


def _oom_wrong(seen: Seen) -> list[str]:
    wrong = ENDED.wrong(seen)
    if seen.now["kills"]["kills"] - seen.before["kills"]["kills"] < len(seen.target.members):
        wrong.append("the kernel has not counted that it ended somebody for want of memory")
    for name, state in seen.now["engine"]["members"].items():
        if not state["oom_killed"] or state["exit_code"] != 137:
            wrong.append(f"the engine says that {name} ended with {state['exit_code']}, and not for want of memory")
    return wrong


def _crash_loop(target: Target, params: Loop) -> Plan:
    if never := [m.name for m in target.members if m.restart_policy == "no"]:
        raise UnfitError(f"nobody starts {' and '.join(never)} again (restart: no), so it cannot crash again and again")
    if len(target.members) > 1 or target.shared_with:
        for member in target.members:
            if member.holds_namespace:
                raise UnfitError(
                    f"{member.name} brings the network namespace that others of its host live in, and each of its lives "
                    "a new one; crash-loop needs one of the others as its target"
                )
    return Plan(each(target, "run", program="crash-loop", outlives=True, up=params.up), revive="if-ended")


def _crash_looks(_: Target, __: Params) -> Mapping[str, Look]:
    return {"engine": {"see": "engine"}}


def _restarts(seen: Seen) -> dict[str, int]:
    now, before = seen.now["engine"]["members"], seen.before["engine"]["members"]
    return {name: state["restarts"] - before[name]["restarts"] for name, state in now.items()}


def _crash_wrong(seen: Seen) -> list[str]:
    return [f"the engine has started {name} again {n} times, not twice" for name, n in _restarts(seen).items() if n < 2]


def _crash_says(seen: Seen) -> str:
    return "; ".join(f"{name}: started again {n} times" for name, n in _restarts(seen).items())


def _crash_left(seen: Seen) -> list[str]:
    states = seen.now["engine"]["members"]
    return [f"{name} does not run" for name, state in states.items() if not state["running"]]


def _kill_worker(target: Target, params: Worker) -> Plan:
    return Plan(each(target, "kill-worker", match=params.match, count=params.count), revive="if-ended")


def _worker_looks(target: Target, _: Worker) -> Mapping[str, Look]:
    return {"processes": {"see": "processes", "members": [m.step for m in target.members]}}


def _gone(seen: Seen) -> dict[str, list[str]]:
    """Command lines of the processes beside the first that matched before and are no longer there, by member."""
    found = {}
    for member in seen.target.members:
        before, now = (look["processes"]["processes"][member.name] for look in (seen.before, seen.now))
        alive = {(pid, start) for pid, start, _ in now}
        found[member.name] = [
            words
            for pid, start, words in before
            if pid != member.pid and re.search(seen.params.match, words) and (pid, start) not in alive
        ]
    return found


def _worker_wrong(seen: Seen) -> list[str]:
    count = seen.params.count
    return [
        f"{len(gone)} of the processes of {name} that match are gone, not {count}"
        for name, gone in _gone(seen).items()
        if len(gone) < count
    ]


def _worker_says(seen: Seen) -> str:
    return "; ".join(f"{name}: {', '.join(gone)[:120]} gone" for name, gone in _gone(seen).items())


PROCESS_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "oom",
        "process",
        "as kill: the kernel ends it because its memory limit is reached",
        _oom,
        Proof(
            "the kernel counts it, the engine calls it that (137), held connections end, new ones find nobody",
            _oom_looks,
            _oom_wrong,
            ENDED.says,
            ENDED.left,
        ),
        disk="page cache survives",
    ),
    FaultKind(
        "crash-loop",
        "process",
        "it is there and gone again, each time it is started",
        _crash_loop,
        Proof("the engine has started it again and again", _crash_looks, _crash_wrong, _crash_says, _crash_left),
        params=Loop,
        disk="page cache survives",
        example={"up": "200 ms"},
        roles=("workers",),
    ),
    FaultKind(
        "kill-worker",
        "process",
        "what that worker was doing ends (FIN or RST); the first process lives on",
        _kill_worker,
        Proof("those processes are gone from the kernel's list", _worker_looks, _worker_wrong, _worker_says),
        params=Worker,
        disk="page cache survives",
        example={"match": "^sleep"},
        roles=("workers",),
    ),
)
