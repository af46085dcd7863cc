"""A host as resolved before a trial: the containers that share its fate, their processes, links and addresses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Member:
    """One container of a host. `start` is its first process's start time in clock ticks, so that a reused pid is noticed."""

    name: str
    container: str
    pid: int
    start: int
    cgroup: str
    holds_namespace: bool
    """Whether it brought its own network namespace; one that joined another's must be started after it."""
    stop_signal: int = 15
    restart_policy: str = "no"


@dataclass(frozen=True, slots=True)
class Link:
    """The engine-side end of a veth pair."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything a fault may need of its target; `addresses` are where a peer can knock."""

    host: str
    members: tuple[Member, ...]
    links: tuple[Link, ...]
    addresses: tuple[tuple[str, int], ...]

    @property
    def start_order(self) -> tuple[Member, ...]:
        """Members in the order in which they can be started: namespace holders first."""
        return tuple(sorted(self.members, key=lambda m: (not m.holds_namespace, m.name)))
