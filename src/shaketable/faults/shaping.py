"""A network that is worse than it was: slow, jam, lossy, throttled.

All act in the target's own network namespace, which all its containers share. Each direction is witnessed by itself.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import Field, field_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, Step
from shaketable.faults.datagrams import (
    Direction,
    between,
    chain_name,
    losses,
    row_of,
    rules,
    still_lost,
    through,
    ways_of,
    witness_peer,
)
from shaketable.model.units import Bandwidth, Duration, Share, show_bandwidth
from shaketable.ports.targets import Target


class Delay(Params):
    """How late packets are."""

    delay: Duration = Field(gt=0, le=60)
    jitter: Duration = Field(
        default=0.0, description="each packet's delay is drawn from delay - jitter .. delay + jitter"
    )
    direction: Direction = "out"


class Held(Params):
    """Which way packets are held."""

    direction: Direction = "both"


class Loss(Params):
    """How many packets are lost."""

    share: Share
    direction: Direction = "both"

    @field_validator("share")
    @classmethod
    def _some(cls, share: float) -> float:
        if share < 0.05:
            raise ValueError("less than 5 % could not be told from chance by its witness")
        return share


class Rate(Params):
    """How much goes through."""

    rate: Bandwidth = Field(ge=64e3, le=200e6, description="of the whole target, each way by itself")
    direction: Direction = "out"


def _delay_plan(target: Target, params: Delay | Held, kind: str, delay: float | None, jitter: float) -> Plan:
    witness_peer(target)
    chain = chain_name(target, kind, params)
    members = [m.name for m in target.members]
    steps: list[Step] = []
    undo: list[Step] = []
    for member in target.namespaces:
        for way in ("in", "out") if params.direction == "both" else (params.direction,):
            # A queue for each way: both ends of one connection within a host would otherwise share one.
            number = int(chain[3:7], 16) // 2 * 2 + (way == "out")
            what = {**member.step, "members": members, "chain": f"{chain}{way[0]}", **through(member)}
            steps.append({"do": "run", "program": "delay", "queue": number, "delay": delay, "jitter": jitter, **what})
            steps.append({"do": "rules", way: [f"-j NFQUEUE --queue-num {number} --queue-bypass"], **what})
            undo.append({"do": "no-rules", **what})
    return Plan(tuple(steps), tuple(undo), notes=(f"{'delayed' if delay else 'held'} by an NFQUEUE",))


def _slow(target: Target, params: Delay) -> Plan:
    if "netem" in target.able:
        witness_peer(target)
        plan = _shaped(target, params.direction, delay=params.delay, jitter=params.jitter)
        return replace(plan, notes=("delayed by netem",))
    return _delay_plan(target, params, "slow", params.delay, params.jitter)


def _jam(target: Target, params: Held) -> Plan:
    return _delay_plan(target, params, "jam", None, 0.0)


def _sample(count: int, wait: Callable[[Any], float]) -> Callable[[Target, Any], Mapping[str, Look]]:
    def looks(target: Target, params: Any) -> Mapping[str, Look]:
        return between(target, witness_peer(target), count=count, every=0.005, wait=wait(params))

    return looks


def _medians(seen: Seen) -> list[tuple[str, float | None, bool]]:
    """For each way: its name, the median delay in seconds (None: nothing came through), whether it is to be hit."""
    (peer,) = witness_peer(seen.target)
    ways = {"in": (peer.name, seen.target.name), "out": (seen.target.name, peer.name)}
    found = []
    for way, (a, b) in ways.items():
        delays = row_of(seen, a, b)["delays"]
        found.append((way, statistics.median(delays) if delays else None, seen.params.direction in (way, "both")))
    return found


def _slow_wrong(seen: Seen) -> list[str]:
    slack = max(0.01, 0.25 * seen.params.delay) + seen.params.jitter
    wrong = []
    for way, median, hit in _medians(seen):
        wanted = seen.params.delay if hit else 0.0
        if median is None or not wanted - 0.001 - seen.params.jitter <= median <= wanted + slack:
            shown = "nothing came through" if median is None else f"{median * 1e3:.1f} ms"
            wrong.append(f"the delay of what goes {way} is {shown}, not {wanted * 1e3:.0f} ms")
    return wrong


def _delays(seen: Seen) -> str:
    return (
        ", ".join(f"{way} {median * 1e3:.1f} ms" for way, median, _ in _medians(seen) if median is not None)
        or "silence"
    )


def _slow_left(seen: Seen) -> list[str]:
    late = [
        f"{way} still takes {m * 1e3:.1f} ms" for way, m, hit in _medians(seen) if hit and m and m >= seen.params.delay
    ]
    return still_lost(seen) + late


def _jam_wrong(seen: Seen) -> list[str]:
    return [f"what goes {way} came through" for way, median, hit in _medians(seen) if hit and median is not None]


def _lossy(target: Target, params: Loss) -> Plan:
    witness_peer(target)
    rule = [f"-m statistic --mode random --probability {params.share:.6f} -j DROP"]
    return rules(target, "lossy", params, **ways_of(params.direction, rule))


_LOSS_SAMPLE = 400


def _lossy_wrong(seen: Seen) -> list[str]:
    """Within five standard deviations of the share that was asked for: one look in two million is wrong by chance."""
    (peer,) = witness_peer(seen.target)
    ways = {"in": (peer.name, seen.target.name), "out": (seen.target.name, peer.name)}
    wrong = []
    for way, (a, b) in ways.items():
        row = row_of(seen, a, b)
        share = seen.params.share if seen.params.direction in (way, "both") else 0.0
        lost, spread = 1 - row["received"] / row["sent"], 5 * (share * (1 - share) / row["sent"]) ** 0.5
        if abs(lost - share) > spread + 0.005:
            wrong.append(f"{lost:.1%} of what goes {way} was lost, not {share:.1%}")
    return wrong


def _throttled(target: Target, params: Rate) -> Plan:
    witness_peer(target)
    return _shaped(target, params.direction, rate=params.rate)


def _shaped(target: Target, direction: Direction, **what: float) -> Plan:
    """A queueing discipline on the target's own interfaces for what goes out, on its links for what comes in."""
    members = [m.name for m in target.members]
    out = target.namespaces if direction in ("out", "both") else ()
    steps: list[Step] = [
        # A nested host has bridges beside them, and what passes there is between its own containers.
        {"links": [], "members": members, **what, **m.step, **({"interfaces": list(m.interfaces)} if m.nested else {})}
        for m in out
    ]
    if direction in ("in", "both"):
        links = [[link.name, link.index, *((link.netns, link.via) if link.netns else ())] for link in target.links]
        steps.append({"links": links, "members": members, **what, **target.start_order[0].step})
    return Plan(tuple({"do": "shape", **s} for s in steps), tuple({"do": "no-shape", **s} for s in steps))


_VOLLEY = 64


_VOLLEY_SIZE = 1200


_WIRE = _VOLLEY_SIZE + 42
"""Bytes of such a datagram with its UDP, IP and Ethernet headers."""


def _volley(target: Target, params: Rate) -> Mapping[str, Look]:
    """As much at once as no socket loses: a narrow line takes its time over it, or lets go of most."""
    wait = min(3.0, 0.3 + _VOLLEY * _WIRE * 8 / params.rate)
    return between(target, witness_peer(target), count=_VOLLEY, every=0.0, wait=wait, size=_VOLLEY_SIZE)


def _rates(seen: Seen) -> list[tuple[str, float, bool]]:
    """For each way: its name, bits per second (0: hardly anything came through), whether it is to be hit."""
    (peer,) = witness_peer(seen.target)
    found = []
    for way, (a, b) in {"in": (peer.name, seen.target.name), "out": (seen.target.name, peer.name)}.items():
        row = row_of(seen, a, b)
        # What the bucket held came through at once.
        queued = row["received"] - 1 - max(3200, seen.params.rate / 8000) / _WIRE
        span = row.get("last", 0.0) - row.get("first", 0.0)
        rate = queued * _WIRE * 8 / span if queued > 2 and span > 0 else 0.0
        found.append((way, rate, seen.params.direction in (way, "both")))
    return found


def _throttled_wrong(seen: Seen) -> list[str]:
    """Within a quarter of the rate asked for; a direction that is not throttled carries twice as much at least."""
    wrong = []
    for way, rate, hit in _rates(seen):
        asked = seen.params.rate
        if hit and not 0.75 * asked <= rate <= 1.25 * asked:
            wrong.append(f"{show_bandwidth(rate)} went {way}, not {show_bandwidth(asked)}")
        elif not hit and rate < 2 * asked:
            wrong.append(f"only {show_bandwidth(rate)} went {way}, which is not throttled")
    return wrong


def _shown_rates(seen: Seen) -> str:
    return ", ".join(f"{way} {show_bandwidth(rate)}" for way, rate, _ in _rates(seen))


def _throttled_left(seen: Seen) -> list[str]:
    return [
        f"what goes {way} is still held to {show_bandwidth(rate)}"
        for way, rate, hit in _rates(seen)
        if hit and rate < 1.5 * seen.params.rate
    ]


SHAPING_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "slow",
        "network",
        "everything takes longer, handshakes too",
        _slow,
        Proof(
            "datagrams to or from a peer take the delay longer, in the slowed directions only",
            _sample(20, lambda params: params.delay + params.jitter + 0.1),
            _slow_wrong,
            _delays,
            _slow_left,
        ),
        params=Delay,
        needs=("delay",),
        whole_host=True,
        example={"delay": "50 ms"},
        speaks_of_peers=True,
    ),
    FaultKind(
        "jam",
        "network",
        "silence; what was sent meanwhile arrives late, after heal",
        _jam,
        Proof(
            "no datagram comes through in the jammed directions",
            _sample(5, lambda _: 0.1),
            _jam_wrong,
            _delays,
            still_lost,
        ),
        params=Held,
        needs=("iptables", "nfqueue"),
        whole_host=True,
        example={"direction": "both"},
        speaks_of_peers=True,
    ),
    FaultKind(
        "lossy",
        "network",
        "a share of the packets is lost; connections stall and recover",
        _lossy,
        Proof(
            "the share of datagrams lost, in the lossy directions only, is the one asked for",
            _sample(_LOSS_SAMPLE, lambda _: 0.1),
            _lossy_wrong,
            losses,
            still_lost,
        ),
        params=Loss,
        needs=("iptables", "statistic"),
        whole_host=True,
        example={"share": "30 %"},
        speaks_of_peers=True,
    ),
    FaultKind(
        "throttled",
        "network",
        "large answers take long; what does not fit in the line's queue is lost",
        _throttled,
        Proof(
            "a volley of datagrams comes through at the rate asked for, in the throttled directions only",
            _volley,
            _throttled_wrong,
            _shown_rates,
            _throttled_left,
        ),
        params=Rate,
        needs=("tbf",),
        whole_host=True,
        example={"rate": "2 Mbit/s"},
        speaks_of_peers=True,
    ),
)
