"""Faults that use up a target's own resources, or change their limits: spin, hog, leak, fork, fds, limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.host import each
from shaketable.model.units import Share, Size, show_share, show_size
from shaketable.ports.targets import Target

_LOOK = 0.25
"""Seconds that a look at the usage lasts; a leak has leaked that long at least when the look ends."""


class Spin(Params):
    """How many busy loops in each instance."""

    workers: int = Field(default=1, ge=1, le=64)


class Hog(Params):
    """How much memory in each instance."""

    size: Size | None = Field(default=None, gt=0, description="so much more than it has")
    share: Share | None = Field(default=None, gt=0, description="until it holds this share of its limit")

    @model_validator(mode="after")
    def _one(self) -> Hog:
        if (self.size is None) == (self.share is None):
            raise ValueError("name either a size or a share of the limit")
        return self


class Leak(Params):
    """How quickly memory goes, and up to what."""

    rate: Size = Field(gt=0, description="bytes per second")
    size: Size = Field(gt=0, description="where it ends")


class Fork(Params):
    """How many processes in each instance."""

    processes: int | None = Field(
        default=None, ge=1, le=10_000, description="as many as its limit lets be when not named"
    )


class Descriptors(Params):
    """How many files each process may still open."""

    spare: int = Field(default=0, ge=0, le=1_000_000, description="beyond those it has open when it begins")


class Limits(Params):
    """What each instance may use from now on."""

    cpus: float | None = Field(default=None, ge=0.01, le=1024, description="CPUs, as 0.5")
    memory: Size | None = Field(default=None, ge=4 << 20)
    pids: int | None = Field(default=None, ge=1, le=4_000_000, description="processes and threads")

    @model_validator(mode="after")
    def _some(self) -> Limits:
        if not self.named:
            raise ValueError("name at least one of cpus, memory and pids")
        return self

    @property
    def named(self) -> dict[str, float]:
        """The limits that are to change."""
        return {name: value for name, value in self.model_dump().items() if value is not None}


def _looks(target: Target, _: Params) -> Mapping[str, Look]:
    return {"usage": {"see": "usage", "members": [m.step for m in target.members]}}


def _rows(seen: Seen) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """For each member: its name, its use now, its use before."""
    now, before = seen.now["usage"]["usage"], seen.before["usage"]["usage"]
    return [(m.name, now[m.name], before[m.name]) for m in seen.target.members]


def _run(program: str, target: Target, **what: Any) -> Plan:
    return Plan(each(target, "run", program=program, cgroups=True, **what))


def _absent(seen: Seen) -> list[str]:
    return [f"none of the fault's processes is in {name}" for name, now, _ in _rows(seen) if not now["ours"]]


def _spin_wrong(seen: Seen) -> list[str]:
    """At least half of what the loops may take beside what was used: the rest is for whoever else runs on the machine."""
    wrong = _absent(seen)
    for name, now, before in _rows(seen):
        shared = seen.now["usage"]["cpus"] / len(seen.target.members)
        most = min(float(seen.params.workers), (now["quota"] or math.inf) - before["cores"], shared)
        if now["quota"] and before["cores"] >= 0.9 * now["quota"]:
            wrong.append(f"{name} used all of its {now['quota']:g} CPUs before, too")
        elif now["cores"] < 0.9 * (now["quota"] or 1e9) and now["cores"] - before["cores"] < 0.5 * most:
            wrong.append(f"{name} uses {now['cores']:.2f} CPUs, {before['cores']:.2f} before, not {most:.2g} more")
    return wrong


def _grown(seen: Seen, size: float) -> list[str]:
    return _absent(seen) + [
        f"{name} uses {show_size(now['memory'] - before['memory'])} more than before, not {show_size(size)}"
        for name, now, before in _rows(seen)
        if now["memory"] - before["memory"] < 0.9 * size
    ]


def _hog(target: Target, params: Hog) -> Plan:
    if params.share is None:
        return _run("hog", target, bytes=int(params.size or 0))
    if without := [m.name for m in target.members if m.limits.get("memory") is None]:
        raise UnfitError(f"{' and '.join(without)} has no memory limit to take a share of", hint="name a size")
    return _run("hog", target, share=params.share)


def _hog_wrong(seen: Seen) -> list[str]:
    share = seen.params.share
    if share is None:
        return _grown(seen, seen.params.size)
    return _absent(seen) + [
        f"{name} holds {show_share(now['memory'] / now['memory_limit'])} of its memory limit, not {show_share(share)}"
        for name, now, before in _rows(seen)
        if now["memory"] < (share - 0.03) * now["memory_limit"] or now["memory"] <= before["memory"]
    ]


def _leak_wrong(seen: Seen) -> list[str]:
    return _grown(seen, min(seen.params.size, seen.params.rate * _LOOK))


def _fork(target: Target, params: Fork) -> Plan:
    without = [m.name for m in target.members if m.limits.get("pids") is None]
    if params.processes is None and without:
        raise UnfitError(
            f"{' and '.join(without)} may have any number of processes", hint="name a number, or a pids_limit"
        )
    return _run("fork", target, processes=params.processes)


def _fork_wrong(seen: Seen) -> list[str]:
    wrong = _absent(seen)
    for name, now, before in _rows(seen):
        if seen.params.processes is None:
            if now["pids_limit"] is None or now["pids"] < now["pids_limit"]:
                wrong.append(f"{name} has {now['pids']} processes, its limit is {now['pids_limit'] or 'none'}")
            elif before["pids"] >= now["pids_limit"]:
                wrong.append(f"{name} had as many processes as it may before, too")
        elif now["pids"] - before["pids"] < seen.params.processes:
            wrong.append(f"{name} has {now['pids'] - before['pids']} more processes, not {seen.params.processes}")
    return wrong


def _shown(seen: Seen) -> str:
    return "; ".join(
        f"{name}: {now['cores']:.2f} CPUs, {show_size(now['memory'])}, {now['pids']} processes, {now['ours']} of the fault"
        for name, now, _ in _rows(seen)
    )


def _left(seen: Seen) -> list[str]:
    """None of our processes is in the target, and its memory is as before; it may use more CPU and processes of its own."""
    left = []
    for name, now, before in _rows(seen):
        if now["ours"]:
            left.append(f"{name} still has {now['ours']} of the fault's processes")
        if now["memory"] > before["memory"] + (8 << 20):
            left.append(f"{name} uses {show_size(now['memory'])}, {show_size(before['memory'])} before")
    return left


# Limits

_ROW = {"cpus": "quota", "memory": "memory_limit", "pids": "pids_limit"}


def _limits(target: Target, params: Limits) -> Plan:
    undo = tuple(
        {"do": "limits-back", "limits": {name: m.limits.get(name) for name in params.named}, **m.step}
        for m in target.members
    )
    return Plan(each(target, "limits", limits=params.named), undo)


def _same(a: float | None, b: float | None) -> bool:
    """The kernel rounds memory to pages, and CPUs to microseconds of a period."""
    return a == b or (a is not None and b is not None and abs(a - b) <= max(4096 if max(a, b) > 1e6 else 0, 0.011 * b))


def _limits_wrong(seen: Seen) -> list[str]:
    return [
        f"the limit of {limit} of {name} is {now[_ROW[limit]]}, not {value:g}"
        for name, now, _ in _rows(seen)
        for limit, value in seen.params.named.items()
        if not _same(now[_ROW[limit]], value)
    ]


def _limits_say(seen: Seen) -> str:
    return "; ".join(
        f"{name}: {', '.join(f'{limit} {before[_ROW[limit]]} -> {now[_ROW[limit]]}' for limit in seen.params.named)}"
        for name, now, before in _rows(seen)
    )


def _limits_left(seen: Seen) -> list[str]:
    return [
        f"the limit of {limit} of {name} is {now[_ROW[limit]]}, {before[_ROW[limit]]} before"
        for name, now, before in _rows(seen)
        for limit in seen.params.named
        if not _same(now[_ROW[limit]], before[_ROW[limit]])
    ]


# Open files


def _fds(target: Target, params: Descriptors) -> Plan:
    undo = tuple(
        {"do": "descriptors-back", "was": [list(row) for row in m.open_files], **m.step} for m in target.members
    )
    return Plan(each(target, "descriptors", spare=params.spare), undo)


def _fds_looks(target: Target, _: Descriptors) -> Mapping[str, Look]:
    return {"files": {"see": "descriptors", "members": [m.step for m in target.members]}}


def _first(seen: Seen, when: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Soft limit and open files of the first process of each member."""
    rows = when["files"]["descriptors"]
    return {m.name: (s, n) for m in seen.target.members for pid, _, s, n in rows[m.name] if pid == m.pid}


_MEANWHILE = 16
"""Files that come and go in a process between two looks, as a connection that is answered."""


def _fds_wrong(seen: Seen) -> list[str]:
    now, before = _first(seen, seen.now), _first(seen, seen.before)
    wrong = [f"{name} has ended" for name in before if name not in now]
    for name, (soft, open_) in now.items():
        if soft >= before[name][0] or soft > max(open_, before[name][1]) + seen.params.spare + _MEANWHILE:
            wrong.append(f"{name} may open {soft} files and has {open_} open")
    return wrong


def _fds_say(seen: Seen) -> str:
    return "; ".join(f"{name}: {open_} files open of {soft}" for name, (soft, open_) in _first(seen, seen.now).items())


def _fds_left(seen: Seen) -> list[str]:
    before = _first(seen, seen.before)
    return [
        f"{name} may open {soft} files, {before[name][0]} before"
        for name, (soft, _) in _first(seen, seen.now).items()
        if soft != before[name][0]
    ]


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
        _hog,
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
        _fork,
        Proof("the kernel counts as many processes as the target may have", _looks, _fork_wrong, _shown, _left),
        params=Fork,
        example={},
    ),
    FaultKind(
        "fds",
        "resource",
        "new connections are taken by the kernel and never served; files cannot be opened",
        _fds,
        Proof(
            "the kernel says that the first process has as many files open as it may",
            _fds_looks,
            _fds_wrong,
            _fds_say,
            _fds_left,
        ),
        params=Descriptors,
        example={"spare": 0},
    ),
    FaultKind(
        "limits",
        "resource",
        "whatever comes of less (or more) CPU, memory and processes",
        _limits,
        Proof("the kernel says that the limits are so", _looks, _limits_wrong, _limits_say, _limits_left),
        params=Limits,
        example={"cpus": 0.2, "memory": "64 MiB", "pids": 48},
    ),
)
