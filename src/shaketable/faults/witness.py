"""What must be seen before a fault counts, and the comparison of that with what was seen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shaketable.model.history import Witnessed

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
class Seen:
    """The kernel's own word on the members, and the latest probes begun after the injection. None: not looked yet."""

    at: float
    alive: Mapping[str, bool]
    frozen: Mapping[str, bool]
    probes: Sequence[Probe]
    held_before: Mapping[str, Held]
    """State of each held connection just before the injection; only those then open can tell anything."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What peers and the kernel must see, address by address and member by member."""

    claim: str
    connect: frozenset[Connect]
    held: frozenset[Held]
    alive: bool
    frozen: bool
    later: frozenset[Connect] = frozenset()
    """What new connections may also come to see while the fault lasts, as a frozen host's backlog fills."""


def witness(signature: Signature, seen: Seen, *, lasting: bool = False) -> Witnessed:
    """Compare. `at` is the time of the last look that completed the picture, or None with the differences in `seen`.

    `lasting`: the effect was witnessed before, and the question is whether it still holds.
    """
    connect = signature.connect | signature.later if lasting else signature.connect
    wrong = [f"{m} is {'running' if alive else 'gone'}" for m, alive in seen.alive.items() if alive != signature.alive]
    wrong += [f"{m} is {'' if f else 'not '}frozen" for m, f in seen.frozen.items() if f != signature.frozen]
    if not seen.alive:
        wrong.append("the kernel was not asked")
    if not seen.probes:
        wrong.append("no peer has looked since")
    times = [seen.at]
    for probe in seen.probes:
        if probe.connect not in connect:
            wrong.append(f"a new connection to {probe.address} was {probe.connect}")
        if seen.held_before.get(probe.address) == "open" and probe.held not in signature.held:
            wrong.append(f"the connection held to {probe.address} is {probe.held}")
        times.append(probe.at)
    if wrong:
        return Witnessed(
            None, signature.claim, "; ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if wrong[4:] else "")
        )
    connects = sorted({probe.connect for probe in seen.probes})
    return Witnessed(
        max(times),
        signature.claim,
        f"{len(seen.probes)} addresses: new connections {' or '.join(connects)}, "
        f"held ones {' or '.join(sorted({p.held for p in seen.probes}))}; "
        f"{len(seen.alive)} instances {'alive' if signature.alive else 'gone'}{', frozen' if signature.frozen else ''}",
    )
