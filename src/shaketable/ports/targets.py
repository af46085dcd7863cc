"""A target as resolved before a trial: its containers, their processes, links and addresses, and its peers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Member:
    """One container of a target. `start` is its first process's start time in clock ticks, so that a reused pid is noticed."""

    name: str
    container: str
    pid: int
    start: int
    cgroup: str
    holds_namespace: bool
    """Whether it brought its own network namespace; one that joined another's must be started after it."""
    stop_signal: int = 15
    restart_policy: str = "no"
    netns: int = 0
    """Inode of its network namespace."""
    disks: tuple[tuple[str, str], ...] = ()
    """Disks of ours that it sees: path in the container, and device as `loop3`."""
    limits: Mapping[str, float | None] = field(default_factory=dict)
    """`cpus`, `memory` in bytes, `pids`; None where there is no limit."""
    open_files: tuple[tuple[int, int, int], ...] = ()
    """Pid, start and soft limit of open files of each of its processes."""
    interfaces: tuple[str, ...] = ()
    """Names, within its network namespace, of its links to the outside."""
    nested: str = ""
    """Version of the engine that it was started with, for a nested host."""

    @property
    def step(self) -> dict[str, Any]:
        """What every step that acts on this container says of it."""
        return {"member": self.name, "pid": self.pid, "start": self.start, "cgroup": self.cgroup, "netns": self.netns}


@dataclass(frozen=True, slots=True)
class Places:
    """What a topology offers as targets: services (one container each) by host.

    Selectors such as `one of` draw from `hosts`; the containers in `others`, each a host of its own, are named only.
    """

    hosts: Mapping[str, Sequence[str]]
    others: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def everything(self) -> dict[str, Sequence[str]]:
        """Every host, drawn or named."""
        return {**self.hosts, **self.others}

    @property
    def instances(self) -> list[str]:
        """Every container."""
        return [service for services in self.everything.values() for service in services]


@dataclass(frozen=True, slots=True)
class Link:
    """The engine-side end of a veth pair."""

    name: str
    index: int
    netns: int = 0
    """Inode of the network namespace it is in: a nested host's, or 0 for the engine host's own."""
    via: int = 0
    """A process in that namespace."""


@dataclass(frozen=True, slots=True)
class Target:
    """Everything a fault may need of a host or an instance; `addresses` are where a peer can knock."""

    name: str
    members: tuple[Member, ...]
    links: tuple[Link, ...]
    addresses: tuple[tuple[str, int], ...]
    ips: tuple[str, ...] = ()
    peers: tuple[Target, ...] = ()
    """The other hosts of the topology (their own peers left out)."""
    shared_with: tuple[str, ...] = ()
    """Containers outside the target that use its network namespace, as an instance's neighbours in its host do."""
    able: frozenset[str] = frozenset()
    """What its machine can do of `agent.abilities`, for faults that have a choice."""
    group: tuple[str, ...] = ()
    """Names of all targets that are hit together, this one among them."""
    inside: str = ""
    """Name of the nested host that it runs in; nobody outside of that can reach its own addresses."""
    gateway: str = ""
    """Address of that host, as seen from inside."""

    @property
    def nested(self) -> str:
        """Version of the engine that it was started with; empty if it is no nested host."""
        return next((m.nested for m in self.members if m.nested), "")

    @property
    def start_order(self) -> tuple[Member, ...]:
        """Members in the order in which they can be started: namespace holders first."""
        return tuple(sorted(self.members, key=lambda m: (not m.holds_namespace, m.name)))

    @property
    def namespaces(self) -> tuple[Member, ...]:
        """One member for each network namespace of the target: where a rule has to be set."""
        return tuple({m.netns: m for m in reversed(self.start_order)}.values())

    @property
    def end(self) -> dict[str, Any]:
        """The target as one end of a witness's datagrams and connections."""
        member = self.start_order[0]
        return {"netns": member.netns, "pid": member.pid, "ip": self.ips[0] if self.ips else ""}
