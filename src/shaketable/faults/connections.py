"""Faults of connections: reject, reset, connection-limit."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.datagrams import rules, witness_peer
from shaketable.faults.signature import Signature
from shaketable.ports.targets import Target


class Port(Params):
    """Which port."""

    port: int | None = Field(default=None, ge=1, le=65535, description="all TCP ports when not named")


class Limit(Port):
    """How many connections from one source."""

    connections: int = Field(ge=0, le=200, description="more than these from one address are refused")


def _reject(target: Target, params: Port) -> Plan:
    where = f"-p tcp --dport {params.port}" if params.port else "-p tcp"
    return rules(target, "reject", params, **{"in": [f"{where} -j REJECT --reject-with tcp-reset"]})


def _reset(target: Target, params: Port) -> Plan:
    members = [m.name for m in target.members]
    if target.nested:
        raise UnfitError(
            f"connections to what runs in {target.name} end in its instances, not in {target.name} itself",
            hint=f"name an instance as the target of reset, as {target.name}/web",
        )
    return Plan(tuple({"do": "reset", "port": params.port, "members": members, **m.step} for m in target.namespaces))


def _connection_limit(target: Target, params: Limit) -> Plan:
    _place(target, params)
    where = f"-p tcp --dport {params.port}" if params.port else "-p tcp"
    count = f"-m connlimit --connlimit-above {params.connections} --connlimit-mask 32"
    return rules(target, "connlimit", params, **{"in": [f"{where} --syn {count} -j REJECT --reject-with tcp-reset"]})


def _place(target: Target, params: Limit) -> tuple[str, int]:
    """Where the witness knocks. Raises UnfitError when nothing listens there."""
    for ip, port in target.addresses:
        if params.port in (None, port):
            return ip, port
    raise UnfitError(f"{target.name} does not listen on {f'port {params.port}' if params.port else 'any port'}")


_BEYOND = 5
"""Connections that the witness tries beyond the limit."""


def _crowd(target: Target, params: Limit) -> Mapping[str, Look]:
    ip, port = _place(target, params)
    (peer,) = witness_peer(target)
    count = params.connections + _BEYOND
    return {"crowd": {"see": "crowd", "end": peer.end, "ip": ip, "port": port, "count": count, "wait": 0.5}}


def _limit_wrong(seen: Seen) -> list[str]:
    now, before, most = seen.now["crowd"], seen.before["crowd"], seen.params.connections
    wrong = []
    if before["answered"] <= most:
        wrong.append(f"only {before['answered']} connections were let in before, too")
    if now["answered"] > most:
        wrong.append(f"{now['answered']} connections from one source were let in, not {most}")
    if not now["refused"]:
        wrong.append("no connection was refused")
    return wrong


def _limit_says(seen: Seen) -> str:
    now = seen.now["crowd"]
    return f"of {sum(now[k] for k in ('answered', 'refused', 'silent'))} from one source {now['answered']} were let in"


def _limit_left(seen: Seen) -> list[str]:
    refused = seen.now["crowd"]["refused"]
    return [f"{refused} connections are still refused"] if refused else []


CONNECTION_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "reject",
        "network",
        "new connections are refused at once, live ones are reset when they speak",
        _reject,
        Signature(
            "new connections are refused, and the processes run on",
            frozenset({"refused"}),
            frozenset({"open", "reset", "eof"}),
            alive=True,
            frozen=False,
        ).proof,
        params=Port,
        needs=("iptables",),
        whole_host=True,
        example={},
    ),
    FaultKind(
        "reset",
        "network",
        "live connections end with RST, new ones succeed",
        _reset,
        Signature(
            "connections held since before are reset, new ones are answered, the processes run on",
            frozenset({"answered"}),
            frozenset({"reset", "eof"}),
            alive=True,
            frozen=False,
        ).proof,
        params=Port,
        whole_host=True,
        example={},
    ),
    FaultKind(
        "connection-limit",
        "network",
        "a source that has as many connections as it may is refused another",
        _connection_limit,
        Proof(
            "of many connections from one source no more are let in than asked",
            _crowd,
            _limit_wrong,
            _limit_says,
            _limit_left,
        ),
        params=Limit,
        needs=("iptables", "connlimit"),
        whole_host=True,
        example={"connections": 4},
        speaks_of_peers=True,
    ),
)
