"""Faults that use up a target's own resources, within its own cgroups: spin, hog, leak, fork."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen
from shaketable.faults.host import each
from shaketable.model.units import Size, show_size
from shaketable.ports.targets import Target


class Spin(Params):
    """How many busy loops in each instance."""

    workers: int = Field(default=1, ge=1, le=64)


class Hog(Params):
    """How much memory in each instance."""

    size: Size = Field(gt=0)


class Leak(Params):
    """How quickly memory goes, and up to what."""

    rate: Size = Field(gt=0, description="bytes per second")
    size: Size = Field(gt=0, description="where it ends")


class Fork(Params):
    """How many processes in each instance."""

    processes: int | None = Field(
        default=None, ge=1, le=10_000, description="as many as its limit lets be when not named"
    )


def _looks(target: Target, _: Params) -> Mapping[str, Look]:
    return {"usage": {"see": "usage", "members": [m.step for m in target.members]}}


def _rows(seen: Seen) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """For each member: its name, its use now, its use before."""
    now, before = seen.now["usage"]["usage"], seen.before["usage"]["usage"]
    return [(m.name, now[m.name], before[m.name]) for m in seen.target.members]


def _run(program: str, target: Target, **what: Any) -> Plan:
    return Plan(each(target, "run", program=program, cgroups=True, **what))


def _spin_wrong(seen: Seen) -> list[str]:
    """At least half of what the loops may take: the rest is for whoever else runs on the machine."""
    wrong = []
    for name, now, _ in _rows(seen):
        may = min(float(seen.params.workers), now["quota"] or float(seen.params.workers), 1.0)
        if now["cores"] < 0.5 * may:
            wrong.append(f"{name} uses {now['cores']:.2f} cores, not {may:g}")
    return wrong


def _grown(seen: Seen, size: float) -> list[str]:
    return [
        f"{name} uses {show_size(now['memory'] - before['memory'])} more than before, not {show_size(size)}"
        for name, now, before in _rows(seen)
        if now["memory"] - before["memory"] < 0.9 * size
    ]


def _hog_wrong(seen: Seen) -> list[str]:
    return _grown(seen, seen.params.size)


def _leak_wrong(seen: Seen) -> list[str]:
    return _grown(seen, min(seen.params.size, seen.params.rate / 4))


def _fork_wrong(seen: Seen) -> list[str]:
    wrong = []
    for name, now, before in _rows(seen):
        if seen.params.processes is None:
            if now["pids_limit"] is None or now["pids"] < now["pids_limit"]:
                wrong.append(f"{name} has {now['pids']} processes, its limit is {now['pids_limit'] or 'none'}")
        elif now["pids"] - before["pids"] < seen.params.processes:
            wrong.append(f"{name} has {now['pids'] - before['pids']} more processes, not {seen.params.processes}")
    return wrong


def _shown(seen: Seen) -> str:
    return "; ".join(
        f"{name}: {now['cores']:.2f} cores, {show_size(now['memory'])}, {now['pids']} processes"
        for name, now, _ in _rows(seen)
    )


def _left(seen: Seen) -> list[str]:
    """Memory and processes are as before; a machine that catches up may use some CPU."""
    left = []
    for name, now, before in _rows(seen):
        if now["pids"] > before["pids"] + 2:
            left.append(f"{name} has {now['pids']} processes, {before['pids']} before")
        if now["memory"] > before["memory"] + (8 << 20):
            left.append(f"{name} uses {show_size(now['memory'])}, {show_size(before['memory'])} before")
    return left


RESOURCE_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "spin",
        "resource",
        "answers come late: a busy loop takes the target's CPU",
        lambda target, params: _run("spin", target, workers=params.workers),
        Proof("the kernel counts the loops' CPU as the target's", _looks, _spin_wrong, _shown, _left),
        params=Spin,
        example={"workers": 1},
    ),
    FaultKind(
        "hog",
        "resource",
        "nothing, until its memory limit is near",
        lambda target, params: _run("hog", target, bytes=int(params.size)),
        Proof("the kernel counts the memory as the target's", _looks, _hog_wrong, _shown, _left),
        params=Hog,
        example={"size": "32 MiB"},
    ),
    FaultKind(
        "leak",
        "resource",
        "nothing, until its memory limit is near",
        lambda target, params: _run("hog", target, bytes=int(params.size), rate=params.rate),
        Proof("the kernel counts more and more memory as the target's", _looks, _leak_wrong, _shown, _left),
        params=Leak,
        example={"rate": "16 MiB", "size": "32 MiB"},
    ),
    FaultKind(
        "fork",
        "resource",
        "whatever needs a new process or thread fails",
        lambda target, params: _run("fork", target, processes=params.processes),
        Proof("the kernel counts as many processes as the target may have", _looks, _fork_wrong, _shown, _left),
        params=Fork,
        example={},
    ),
)
