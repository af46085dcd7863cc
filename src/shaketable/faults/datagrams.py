"""What faults of a host's network share: rules in every network namespace of a target, and the datagrams that witness.

Datagrams go between the network namespaces of the target and its peers: nothing of the target's takes part in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

from shaketable.faults.contract import Look, Params, Plan, Seen, UnfitError
from shaketable.ports.targets import Member, Target

Direction = Literal["both", "in", "out"]


def chain_name(target: Target, kind: str, params: Params) -> str:
    """A chain's name: the same for the same fault on the same target, and short enough for the kernel."""
    text = f"{target.name}/{kind}/{params.model_dump_json()}"
    return f"ST-{blake2b(text.encode(), digest_size=5).hexdigest()}"


def through(member: Member) -> dict[str, list[str]]:
    """Where packets of a nested host's containers pass: most of what it gets and sends is theirs."""
    return {"forward": list(member.interfaces)} if member.nested else {}


def rules(target: Target, kind: str, params: Params, **ways: list[str]) -> Plan:
    """Give the plan for rules of ours in every network namespace of the target; `in` and `out` as in agent.changes.rules."""
    chain = chain_name(target, kind, params)
    members = [m.name for m in target.members]
    every = [{**m.step, "members": members, "chain": chain, **through(m)} for m in target.namespaces]
    return Plan(tuple({"do": "rules", **s, **ways} for s in every), tuple({"do": "no-rules", **s} for s in every))


def ways_of(direction: Direction, rules: list[str], other: list[str] | None = None) -> dict[str, list[str]]:
    """Rules for what comes in, goes out, or both; `other` for what goes out where it is not the same."""
    ways = {"in": rules, "out": rules if other is None else other}
    return ways if direction == "both" else {direction: ways[direction]}


def witness_peer(target: Target) -> list[Target]:
    """Choose the peer from which the witness looks, outside the targets if there is one. Raises UnfitError."""
    found = [peer for peer in target.peers if peer.ips and peer.name not in target.group][:1]
    found = found or [peer for peer in target.peers if peer.ips][:1]
    if not found:
        raise UnfitError(f"{target.name} has no peer whose datagrams could witness this")
    return found


def between(target: Target, peers: list[Target], **more: Any) -> Mapping[str, Look]:
    """Datagrams between a target and its peers, both ways."""
    mine = [peer for peer in peers if peer.ips]
    pairs = [pair for peer in mine for pair in ([peer.name, target.name], [target.name, peer.name])]
    ends = {t.name: t.end for t in (target, *mine)}
    return {"datagrams": {"see": "datagrams", "ends": ends, "pairs": pairs, **more}}


def row_of(seen: Seen, a: str, b: str) -> Mapping[str, Any]:
    """What became of the datagrams from `a` to `b`."""
    row: Mapping[str, Any] = seen.now["datagrams"]["pairs"][f"{a}>{b}"]
    return row


def losses(seen: Seen) -> str:
    """How many were lost each way, in words."""
    pairs = seen.now["datagrams"]["pairs"]
    return ", ".join(f"{name} {row['sent'] - row['received']} of {row['sent']} lost" for name, row in pairs.items())


def still_lost(seen: Seen) -> list[str]:
    """Pairs, after heal, between which anything is still lost."""
    if "connects" in seen.now:
        before, now = seen.before["connects"]["tries"], seen.now["connects"]["tries"]
        if silent := [n for n, row in now.items() if row["outcome"] == "silent" != before[n]["outcome"]]:
            return [f"{name} is still silent" for name in silent]
    pairs = seen.now["datagrams"]["pairs"]
    return [
        f"{name}: {row['sent'] - row['received']} of {row['sent']} still lost"
        for name, row in pairs.items()
        if row["received"] < row["sent"]
    ]
