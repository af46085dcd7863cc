"""Parted from peers: `partition` by peer or service, one way or both, in halves, a ring or a bridge.

It acts in the target's own network namespace, which all its containers share. Each direction is witnessed by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.datagrams import (
    Direction,
    between,
    losses,
    row_of,
    rules,
    still_lost,
    ways_of,
)
from shaketable.ports.targets import Target

Pattern = Literal["none", "halves", "ring", "bridge"]


class Partition(Params):
    """Which peers are no longer reached, and which way."""

    peers: tuple[str, ...] = Field(default=(), description="hosts it is parted from; all when none is named")
    direction: Direction = Field(default="both", description="what is lost: both ways, what comes in, or what goes out")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="one service only: TCP connections to this port, of either side"
    )
    pattern: Pattern = Field(
        default="none",
        description="among the targets: halves, a ring (neighbours only) or a bridge (one member reaches both halves)",
    )


def _halves(names: list[str]) -> tuple[set[str], set[str]]:
    return set(names[: len(names) // 2]), set(names[len(names) // 2 :])


def apart(name: str, group: tuple[str, ...], pattern: Pattern) -> set[str]:
    """Names of the group that a member no longer talks with; symmetric."""
    names = sorted(group)
    if pattern == "ring":
        place = names.index(name)
        return set(names) - {name, names[place - 1], names[(place + 1) % len(names)]}
    if pattern == "bridge":
        middle = names.pop(len(names) // 2)
        if name == middle:
            return set()
    first, second = _halves(names)
    return second if name in first else first


def parted(target: Target, params: Partition) -> list[Target]:
    """The peers a target is parted from. Raises UnfitError for names that are no peers, or none."""
    if params.pattern != "none":
        if len(target.group) < 3:
            raise UnfitError(f"a {params.pattern} needs at least three targets, not {len(target.group)}")
        names = apart(target.name, target.group, params.pattern)
    else:
        known = {peer.name for peer in target.peers}
        if missing := sorted(set(params.peers) - known):
            raise UnfitError(f"{' and '.join(missing)}: no peer of {target.name}; there are {', '.join(sorted(known))}")
        names = set(params.peers) or known
    found = [peer for peer in target.peers if peer.name in names and peer.ips]
    if not found and params.pattern != "bridge":
        raise UnfitError(f"{target.name} has no peer to be parted from")
    return found


def _partition(target: Target, params: Partition) -> Plan:
    ips = [ip for peer in parted(target, params) for ip in peer.ips]
    if not ips:  # the bridge itself
        return rules(target, "partition", params, **{"in": ["-j RETURN"]})
    ports = [""]
    if params.port is not None:
        ports = [f"-p tcp --dport {params.port} ", f"-p tcp --sport {params.port} "]
    ways = ways_of(
        params.direction,
        [f"-s {ip} {port}-j DROP" for ip in ips for port in ports],
        [f"-d {ip} {port}-j DROP" for ip in ips for port in ports],
    )
    return rules(target, "partition", params, **ways)


def _partition_looks(target: Target, params: Partition) -> Mapping[str, Look]:
    looks = dict(between(target, list(target.peers), count=6, every=0.005, wait=0.1))
    if params.port is not None:
        tries = [(a, b, params.port) for p in parted(target, params) for a, b in ((target, p), (p, target))]
        ends = {end.name: end.end for a, b, _ in tries for end in (a, b)}
        named = [[a.name, b.name, port] for a, b, port in tries]
        looks["connects"] = {"see": "connects", "ends": ends, "tries": named, "wait": 0.3}
    return looks


def _service_wrong(seen: Seen) -> list[str]:
    """Connections to the port get no answer where they got one; whatever else passes as before."""
    before, now = seen.before["connects"]["tries"], seen.now["connects"]["tries"]
    heard = [name for name, row in before.items() if row["outcome"] in ("answered", "refused")]
    wrong = [] if heard else ["nobody answered on that port before, either"]
    wrong += [f"{name} was {now[name]['outcome']}" for name in heard if now[name]["outcome"] != "silent"]
    lost = [
        f"{name}: datagrams are lost, too"
        for name, row in seen.now["datagrams"]["pairs"].items()
        if not row["received"]
    ]
    return wrong + lost


def _partition_wrong(seen: Seen) -> list[str]:
    """Exactly what was to be lost is lost: all of it, in that direction, and nothing else."""
    if seen.params.port is not None:
        return _service_wrong(seen)
    gone = {peer.name for peer in parted(seen.target, seen.params)}
    others = set(seen.target.group) - {seen.target.name}
    wrong = []
    for peer in (p for p in seen.target.peers if p.ips):
        for way, (a, b) in {"in": (peer.name, seen.target.name), "out": (seen.target.name, peer.name)}.items():
            lost = peer.name in gone and seen.params.direction in (way, "both")
            # Among targets that are hit together, the other end's rules block this direction too.
            lost = lost or (peer.name in gone and peer.name in others and seen.params.pattern != "none")
            received = row_of(seen, a, b)["received"]
            if lost and received:
                wrong.append(f"{received} datagrams came through from {a} to {b}")
            elif not lost and not received and peer.name not in others:
                wrong.append(f"no datagram came through from {a} to {b}, which is not parted")
    return wrong


NETWORK_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "partition",
        "network",
        "silence between it and some peers, both ways or one way; others reach it",
        _partition,
        Proof(
            "datagrams of exactly the parted directions are all lost",
            _partition_looks,
            _partition_wrong,
            losses,
            still_lost,
        ),
        params=Partition,
        needs=("iptables",),
        whole_host=True,
        example={"peers": ["peer-1"], "direction": "in"},
        speaks_of_peers=True,
    ),
)
