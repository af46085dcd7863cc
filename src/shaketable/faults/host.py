"""Faults of a whole host or a single instance: stop, kill, freeze, power-off, reboot, cut.

What a peer sees is the definition (design, section 5): a stopped or killed machine says goodbye (FIN or RST) because its
kernel lives; a frozen one still completes handshakes; one without power, or cut off, says nothing at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shaketable.faults.contract import FaultKind, Params, Plan, Step
from shaketable.faults.signature import Connect, Held, Signature
from shaketable.model.units import Duration
from shaketable.ports.targets import Member, Target

_SIGKILL = 9


class Grace(Params):
    """How long the instances have to say goodbye before they are killed."""

    grace: Duration = 2.0


class Outage(Params):
    """How long a machine is off."""

    off: Duration = 1.0


def links(target: Target, *, up: bool) -> tuple[Step, ...]:
    """The engine-side ends of the target's network, all of them."""
    members = [member.name for member in target.members]
    return tuple(
        {
            "do": "link",
            "name": link.name,
            "index": link.index,
            "up": up,
            "members": members,
            **({"netns": link.netns, "via": link.via} if link.netns else {}),
        }
        for link in target.links
    )


def each(target: Target, do: str, **more: Any) -> tuple[Step, ...]:
    """One step for each member."""
    return tuple({"do": do, **member.step, **more} for member in target.members)


def holders_last(target: Target) -> list[Member]:
    """Whoever holds a namespace goes last: the engine takes its link away, and with it the goodbyes of the others."""
    return sorted(target.members, key=lambda m: m.holds_namespace)


def _stop(target: Target, params: Grace) -> Plan:
    goodbye = tuple({"do": "signal", **m.step, "signal": m.stop_signal} for m in holders_last(target))
    return Plan(goodbye, each(target, "kill"), revive="start", grace=params.grace)


def _kill(target: Target, _: Params) -> Plan:
    shots = tuple({"do": "signal", **m.step, "signal": _SIGKILL} for m in holders_last(target))
    return Plan(shots, each(target, "kill"), revive="start")


def _freeze(target: Target, _: Params) -> Plan:
    return Plan(each(target, "freeze"), each(target, "thaw"))


def _cut(target: Target, _: Params) -> Plan:
    return Plan(links(target, up=False), links(target, up=True))


def _disks(target: Target) -> tuple[tuple[Member, str, str], ...]:
    """Each disk of its own once, with a member that sees it, and where."""
    found = {device: (member, path, device) for member in target.members for path, device in member.disks}
    return tuple(found.values())


def _power_off(target: Target, _: Params) -> Plan:
    # The link goes first and comes back last: what the dying processes would say must never reach a peer.
    disks = _disks(target)
    return Plan(
        links(target, up=False)
        + each(target, "freeze")
        + tuple({"do": "disk-off", "path": path, "device": device, **m.step} for m, path, device in disks),
        each(target, "kill")
        + tuple({"do": "disk-free", "device": device, "member": m.name} for m, _, device in disks)
        + links(target, up=True),
        revive="start",
    )


def _reboot(target: Target, params: Outage) -> Plan:
    return replace(_power_off(target, params), returns=params.off)


_GOODBYE: frozenset[Held] = frozenset({"eof", "reset"})
_NO_ONE: frozenset[Connect] = frozenset({"refused", "silent", "unreachable"})
_SILENCE: frozenset[Connect] = frozenset({"silent", "unreachable"})
_OPEN: frozenset[Held] = frozenset({"open"})
ENDED = Signature(
    "held connections end, new ones find nobody, every process is gone",
    _NO_ONE,
    _GOODBYE,
    alive=False,
    frozen=False,
    revived=True,
).proof
"""The proof that containers were ended."""

HOST_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "stop",
        "process",
        "the app says goodbye (FIN), then the port is closed",
        _stop,
        ENDED,
        params=Grace,
        disk="flushed",
    ),
    FaultKind(
        "kill",
        "process",
        "FIN (RST if data was unread) from the kernel, then the port is closed",
        _kill,
        ENDED,
        disk="page cache survives",
    ),
    FaultKind(
        "freeze",
        "process",
        "handshakes and keepalives are answered by the kernel, the app is silent",
        _freeze,
        Signature(
            "handshakes still succeed, held connections stay open, the kernel says FROZEN",
            frozenset({"answered"}),
            _OPEN,
            alive=True,
            frozen=True,
            later=frozenset({"silent"}),
        ).proof,
    ),
    FaultKind(
        "power-off",
        "host",
        "total silence both ways; no code of it runs again",
        _power_off,
        Signature(
            "new connections get no answer, held ones no goodbye, the kernel says FROZEN, its own disks are off",
            _SILENCE,
            _OPEN,
            alive=True,
            frozen=True,
            revived=True,
            disks_off=True,
        ).proof,
        whole_host=True,
        disk="what was not synced is gone from disks of its own (x-shaketable.volumes)",
    ),
    FaultKind(
        "reboot",
        "host",
        "total silence, then the same address with a new life, which resets what speaks of the old one",
        _reboot,
        Signature(
            "new connections to the same addresses are answered again, and every former process is gone",
            frozenset({"answered"}),
            frozenset({"open", "reset", "eof", "none"}),
            alive=False,
            frozen=False,
            revived=True,
        ).proof,
        params=Outage,
        whole_host=True,
        disk="as power-off",
        example={"off": "500 ms"},
    ),
    FaultKind(
        "cut",
        "network",
        "total silence both ways, yet the processes live on",
        _cut,
        Signature(
            "new connections get no answer, held ones no goodbye, the processes run on",
            _SILENCE,
            _OPEN,
            alive=True,
            frozen=False,
        ).proof,
        whole_host=True,
    ),
)
