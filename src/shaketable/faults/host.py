"""Faults of a whole host: stop, kill, freeze, power-off, cut. Each is steps, their undo, and a signature, all data.

What a peer sees is the definition (design, section 5): a stopped or killed machine says goodbye (FIN or RST) because its
kernel lives; a frozen one still completes handshakes; one without power, or cut off, says nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shaketable.faults.witness import Connect, Held, Signature
from shaketable.model.scenario import FaultKind
from shaketable.ports.hosts import HostFacts

Step = dict[str, Any]
_SIGKILL = 9


@dataclass(frozen=True, slots=True)
class Plan:
    """What the agent is asked to do, and what undoes it. `revive`: the containers must be started again afterwards."""

    steps: tuple[Step, ...]
    undo: tuple[Step, ...]
    revive: bool
    grace: float | None = None


@dataclass(frozen=True, slots=True)
class HostFault:
    """One kind of fault. `summary` is what a peer sees, in one line, for listings."""

    kind: FaultKind
    summary: str
    signature: Signature
    plan: Callable[[HostFacts, float], Plan]


def _links(facts: HostFacts, *, up: bool) -> tuple[Step, ...]:
    members = [member.name for member in facts.members]
    return tuple(
        {"do": "link", "name": link.name, "index": link.index, "up": up, "members": members} for link in facts.links
    )


def _each(facts: HostFacts, do: str) -> tuple[Step, ...]:
    return tuple(
        {"do": do, "cgroup": m.cgroup, "pid": m.pid, "start": m.start, "member": m.name} for m in facts.members
    )


def _signals(facts: HostFacts, number: int | None) -> tuple[Step, ...]:
    return tuple(
        {"do": "signal", "pid": m.pid, "start": m.start, "signal": number or m.stop_signal, "member": m.name}
        for m in facts.members
    )


def _stop(facts: HostFacts, grace: float) -> Plan:
    return Plan(_signals(facts, None), _each(facts, "kill"), revive=True, grace=grace)


def _kill(facts: HostFacts, _: float) -> Plan:
    return Plan(_signals(facts, _SIGKILL), _each(facts, "kill"), revive=True)


def _freeze(facts: HostFacts, _: float) -> Plan:
    return Plan(_each(facts, "freeze"), _each(facts, "thaw"), revive=False)


def _cut(facts: HostFacts, _: float) -> Plan:
    return Plan(_links(facts, up=False), _links(facts, up=True), revive=False)


def _power_off(facts: HostFacts, _: float) -> Plan:
    # The link goes first and comes back last: what the dying processes would say must never reach a peer.
    return Plan(
        _links(facts, up=False) + _each(facts, "freeze"),
        _each(facts, "kill") + _links(facts, up=True),
        revive=True,
    )


_GOODBYE: frozenset[Held] = frozenset({"eof", "reset"})
_NO_ONE: frozenset[Connect] = frozenset({"refused", "silent", "unreachable"})
_SILENCE: frozenset[Connect] = frozenset({"silent", "unreachable"})

HOST_FAULTS: dict[str, HostFault] = {
    fault.kind: fault
    for fault in (
        HostFault(
            "stop",
            "the app says goodbye (FIN), then the port is closed",
            Signature(
                "held connections end, new ones find nobody, every process is gone", _NO_ONE, _GOODBYE, False, False
            ),
            _stop,
        ),
        HostFault(
            "kill",
            "FIN (RST if data was unread) from the kernel, then the port is closed",
            Signature(
                "held connections end, new ones find nobody, every process is gone", _NO_ONE, _GOODBYE, False, False
            ),
            _kill,
        ),
        HostFault(
            "freeze",
            "handshakes and keepalives are answered by the kernel, the app is silent",
            Signature(
                "handshakes still succeed, held connections stay open, the kernel says FROZEN",
                frozenset({"answered"}),
                frozenset({"open"}),
                True,
                True,
                later=frozenset({"silent"}),
            ),
            _freeze,
        ),
        HostFault(
            "power-off",
            "total silence both ways; no code of it runs again",
            Signature(
                "new connections get no answer, held ones no goodbye, the kernel says FROZEN",
                _SILENCE,
                frozenset({"open"}),
                True,
                True,
            ),
            _power_off,
        ),
        HostFault(
            "cut",
            "total silence both ways, yet the processes live on",
            Signature(
                "new connections get no answer, held ones no goodbye, the processes run on",
                _SILENCE,
                frozenset({"open"}),
                True,
                False,
            ),
            _cut,
        ),
    )
}
