"""The proof of faults that peers and the kernel recognise by their signature: who answers, what is open, alive, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shaketable.faults.contract import Look, Proof, Reading, Seen
from shaketable.ports.targets import Target

Connect = Literal["answered", "refused", "silent", "unreachable"]
Held = Literal["open", "eof", "reset", "none"]


@dataclass(frozen=True, slots=True)
class Probe:
    """What a peer in the topology's network saw of one address: a new connection, and one held open since before."""

    at: float
    address: str
    connect: Connect
    held: Held


@dataclass(frozen=True, slots=True)
class Signature:
    """What must be seen, address by address and member by member. `revived`: heal starts the containers anew."""

    claim: str
    connect: frozenset[Connect]
    held: frozenset[Held]
    alive: bool
    frozen: bool
    later: frozenset[Connect] = frozenset()
    """What new connections may also come to see while the fault lasts, as a frozen host's backlog fills."""
    revived: bool = False
    disks_off: bool = False
    """Whether disks of the target's own must be without power."""

    @property
    def proof(self) -> Proof:
        """The looks: the kernel's own word on members and links, and a peer that knocks at every address."""
        return Proof(self.claim, self._looks, self._wrong, self._says, self._left)

    def _looks(self, target: Target, _: Any) -> Mapping[str, Look]:
        looks: dict[str, Look] = {"kernel": {"see": "kernel"}, "peer": {"see": "peer"}}
        disks = [{**m.step, "path": path} for m in target.members for path, _ in m.disks]
        return {**looks, "writes": {"see": "writes", "paths": disks}} if self.disks_off and disks else looks

    def _wrong(self, seen: Seen) -> list[str]:
        kernel, probes = seen.now["kernel"], _probes(seen.now["peer"])
        alive, frozen = kernel["alive"], kernel["frozen"]
        wrong = [f"{m} is {'running' if is_so else 'gone'}" for m, is_so in alive.items() if is_so != self.alive]
        wrong += [f"{m} is {'' if is_so else 'not '}frozen" for m, is_so in frozen.items() if is_so != self.frozen]
        if not alive:
            wrong.append("the kernel was not asked")
        if missing := {f"{ip}:{port}" for ip, port in seen.target.addresses} - {p.address for p in probes}:
            wrong.append(f"no peer has looked at {', '.join(sorted(missing))} since")
        if not probes:
            wrong.append("no peer has looked since")
        held_before = {p.address: p.held for p in _probes(seen.before.get("peer", {}))}
        for probe in probes:
            if probe.connect not in (self.connect | self.later if seen.lasting else self.connect):
                wrong.append(f"a new connection to {probe.address} was {probe.connect}")
            # Only a connection that was open before can tell anything.
            if held_before.get(probe.address) == "open" and probe.held not in self.held:
                wrong.append(f"the connection held to {probe.address} is {probe.held}")
        for name, outcome in seen.now.get("writes", {}).get("writes", {}).items():
            if outcome != "EIO":
                wrong.append(f"a write to the disk at {name} came to {outcome}, not to EIO")
        return wrong

    def _says(self, seen: Seen) -> str:
        probes, members = _probes(seen.now["peer"]), seen.now["kernel"]["alive"]
        return (
            f"{len(probes)} addresses: new connections {' or '.join(sorted({p.connect for p in probes}))}, "
            f"held ones {' or '.join(sorted({p.held for p in probes}))}; "
            f"{len(members)} instances {'alive' if self.alive else 'gone'}{', frozen' if self.frozen else ''}"
            f"{', disks off' if 'writes' in seen.now else ''}"
        )

    def _left(self, seen: Seen) -> list[str]:
        kernel = seen.now["kernel"]
        left = [] if kernel["all_thawed"] else ["something is still frozen"]
        left += [] if kernel["links_up"] else ["a link is still down"]
        # What was ended is another process afterwards: that the old one is gone is then as it should be.
        return left + [
            f"{m} is {'still running' if alive else 'gone'}"
            for m, alive in kernel["alive"].items()
            if alive == self.revived
        ]


def _probes(reading: Reading) -> list[Probe]:
    return [p for p in reading.get("probes", ()) if isinstance(p, Probe)]
