"""Faults of a disk of its own (a volume named in `x-shaketable.volumes`): disk-full, disk-stall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from pydantic import Field, field_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.model.units import Size, show_size
from shaketable.ports.targets import Member, Target

_BLOCK = 4096


class Disk(Params):
    """Which disk."""

    path: str = Field(default="", description="a path on it, as the instance sees it; its only disk when not named")

    @field_validator("path")
    @classmethod
    def _whole(cls, path: str) -> str:
        if path and not path.startswith("/"):
            raise ValueError(f"{path!r} is not a path from the root, as '/var/lib/postgresql'")
        return path


class Full(Disk):
    """How full."""

    leave: Size = Field(default=0.0, description="what stays free")


def place(member: Member, path: str) -> tuple[str, str]:
    """The disk of a member that a path is on: where it is mounted, and its device. Raises UnfitError."""
    if not member.disks:
        raise UnfitError(
            f"{member.name} has no disk of its own, and the engine's is never touched",
            hint="name one of its volumes in x-shaketable.volumes of the compose file",
        )
    shown = ", ".join(where for where, _ in member.disks)
    if not path:
        if len(member.disks) > 1:
            raise UnfitError(f"{member.name} has several disks: name the path of one ({shown})")
        return member.disks[0]
    for where, device in member.disks:
        if PurePosixPath(path).is_relative_to(where):
            return where, device
    raise UnfitError(f"{path} of {member.name} is on no disk of its own; those are at {shown}")


def _members(target: Target, params: Disk) -> tuple[tuple[Member, str, str], ...]:
    """One member for each disk: who else uses it has the same fault."""
    found: dict[str, tuple[Member, str, str]] = {}
    for member in target.members:
        if member.disks or len(target.members) == 1:
            where, device = place(member, params.path)
            found.setdefault(device, (member, where, device))
    if not found:
        place(target.members[0], params.path)  # which says why
    return tuple(found.values())


def writes(members: tuple[tuple[Member, str], ...]) -> Mapping[str, Look]:
    """A write on each disk, tried by the witness."""
    return {"writes": {"see": "writes", "paths": [{**member.step, "path": where} for member, where in members]}}


def _looks(target: Target, params: Disk) -> Mapping[str, Look]:
    return writes(tuple((member, where) for member, where, _ in _members(target, params)))


def _full(target: Target, params: Full) -> Plan:
    steps = [
        {"do": "run", "program": "fill", "path": where, "leave": int(params.leave), **member.step}
        for member, where, _ in _members(target, params)
    ]
    return Plan(tuple(steps))


def _full_wrong(seen: Seen) -> list[str]:
    reading, wrong = seen.now["writes"], []
    for name, outcome in reading["writes"].items():
        room = reading["room"][name] or 0
        if room > seen.params.leave + _BLOCK:
            wrong.append(f"{show_size(room)} are free at {name}, not {show_size(seen.params.leave)}")
        if not seen.params.leave and outcome != "ENOSPC":
            wrong.append(f"a write at {name} came to {outcome}, not to ENOSPC")
    return wrong


def _stall(target: Target, params: Disk) -> Plan:
    found = _members(target, params)
    return Plan(
        tuple({"do": "disk-stall", "path": where, **member.step} for member, where, _ in found),
        tuple({"do": "disk-resume", "device": device, "member": member.name} for member, _, device in found),
    )


def _stall_wrong(seen: Seen) -> list[str]:
    outcomes = seen.now["writes"]["writes"]
    return [f"a write at {name} came to {outcome}" for name, outcome in outcomes.items() if outcome != "hangs"]


def _says(seen: Seen) -> str:
    reading = seen.now["writes"]
    return "; ".join(
        f"a write at {name}: {outcome}, {show_size(reading['room'][name] or 0)} free"
        for name, outcome in reading["writes"].items()
    )


def _left(seen: Seen) -> list[str]:
    outcomes = seen.now["writes"]["writes"]
    return [
        f"a write at {name} comes to {outcome}"
        for name, outcome in outcomes.items()
        if outcome not in ("written", "gone") and seen.before["writes"]["writes"].get(name) == "written"
    ]


DISK_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "disk-full",
        "disk",
        "whatever has to be stored fails",
        _full,
        Proof("nothing is free, and a write ends with ENOSPC", _looks, _full_wrong, _says, _left),
        params=Full,
        disk="ENOSPC",
        needs=("disks",),
        example={"path": "/data"},
    ),
    FaultKind(
        "disk-stall",
        "disk",
        "whatever has to be stored hangs",
        _stall,
        Proof("a write hangs", _looks, _stall_wrong, _says, _left),
        params=Disk,
        disk="writes hang",
        needs=("disks",),
        example={"path": "/data"},
    ),
)
