"""What a host depends on answers badly: an HTTP dependency (`http`), the names it resolves (`dns`).

Nobody's configuration changes: within the target's own network, what concerns the fault is led to a proxy of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.datagrams import chain_name, witness_peer
from shaketable.model.units import Duration, Share, show_duration
from shaketable.ports.targets import Target

_FIRST_PORT, _PORTS = 61_000, 4_000
"""Beyond the ports that a kernel gives out by itself."""
_MARK = "0x57a1"


class Http(Params):
    """Which requests are answered badly, and how."""

    port: int = Field(ge=1, le=65535, description="where the target serves HTTP")
    mode: Literal["error", "hang", "slow"]
    status: int = Field(default=503, ge=400, le=599, description="with error: the answer's status")
    delay: Duration = Field(default=1.0, gt=0, le=600, description="with slow: how much later")
    share: Share = Field(default=1.0, description="of the requests")
    path: str = Field(default="/", pattern=r"^/\S{0,200}$", description="requests whose path begins so")

    @field_validator("share")
    @classmethod
    def _some(cls, share: float) -> float:
        if share < 0.1:
            raise ValueError("less than 10 % could not be told from chance by its witness")
        return share


class Dns(Params):
    """Which names, and what becomes of them."""

    mode: Literal["gone", "stale", "slow"]
    name: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,253}$", description="all names when not named")
    address: str = Field(default="192.0.2.1", description="with stale: what it resolves to; nobody has that one")
    delay: Duration = Field(default=1.0, gt=0, le=60, description="with slow: how much later")

    @field_validator("address")
    @classmethod
    def _ipv4(cls, address: str) -> str:
        try:
            return str(IPv4Address(address))
        except ValueError:
            raise ValueError(f"{address!r} is no IPv4 address") from None

    @model_validator(mode="after")
    def _named(self) -> Dns:
        if self.mode == "stale" and not self.name:
            raise ValueError("a stale answer needs the name that it is for")
        return self


def _led(target: Target, chain: str, program: str, way: str, rules: list[str], **what: Any) -> Plan:
    """A proxy in each network namespace of the target, and the rules that lead to it."""
    members = [m.name for m in target.members]
    steps: list[dict[str, Any]] = []
    undo: list[dict[str, Any]] = []
    for member in target.namespaces:
        own = {**member.step, "members": members}
        led = {"table": "nat", "chain": chain, **own}
        steps.append({"do": "run", "program": program, **what, **own})
        steps.append({"do": "rules", way: rules, **led})
        undo.append({"do": "no-rules", **led})
    return Plan(tuple(steps), tuple(undo))


def _port(chain: str) -> int:
    return _FIRST_PORT + int(chain[3:11], 16) % _PORTS


# HTTP


def _http(target: Target, params: Http) -> Plan:
    chain = chain_name(target, "http", params)
    port, ip = _port(chain), _ip(target, params)
    rule = f"-p tcp --dport {params.port} -j REDIRECT --to-ports {port}"
    plan = _led(
        target, chain, "http", "in", [rule], **{**params.model_dump(), "port": port, "to": params.port, "ip": ip}
    )
    # Connections that are open already stay as they are: those are ended, so that what is kept alive is hit, too.
    resets = tuple({"do": "reset", "port": params.port, "members": [], **m.step} for m in target.namespaces)
    return Plan((*plan.steps, *resets), plan.undo)


def _ip(target: Target, params: Http) -> str:
    for ip, port in target.addresses:
        if port == params.port:
            return ip
    raise UnfitError(f"{target.name} does not listen on port {params.port}")


_OUTSIDE = "/shaketable-looks-elsewhere"
_AS_BEFORE = 0.9
"""Share of the requests that are answered as before once the fault is undone."""


def _http_looks(target: Target, params: Http) -> Mapping[str, Look]:
    (peer,) = witness_peer(target)
    wait = 0.4 + (params.delay if params.mode == "slow" else 0.0)
    look = {"see": "http", "end": peer.end, "ip": _ip(target, params), "port": params.port, "wait": wait}
    looks: dict[str, Look] = {"http": {**look, "path": params.path, "count": 5 if params.share == 1 else 60}}
    if not _OUTSIDE.startswith(params.path):
        looks["elsewhere"] = {**look, "path": _OUTSIDE, "count": 5}
    return looks


def _bad(seen: Seen, when: Mapping[str, Any] | None = None) -> tuple[int, int]:
    """How many of the requests were answered as the fault says, and how many there were."""
    reading, params = (when or seen.now)["http"], seen.params
    outcomes: Mapping[str, int] = reading["outcomes"]
    if params.mode == "slow":
        bad = sum(seconds >= params.delay for seconds in reading["seconds"])
    else:
        bad = outcomes.get(str(params.status) if params.mode == "error" else "silent", 0)
    return bad, sum(outcomes.values())


def _http_wrong(seen: Seen) -> list[str]:
    """Within five standard deviations of the share that was asked for, and other paths as before."""
    bad, all_ = _bad(seen)
    share = seen.params.share
    wrong = []
    if abs(bad / all_ - share) > 5 * (share * (1 - share) / all_) ** 0.5:
        wrong.append(f"{bad} of {all_} requests were hit, not {share:.0%}: {_outcomes(seen.now['http'])}")
    if not seen.before["http"]["seconds"] or _bad(seen, seen.before)[0]:
        wrong.append(f"it answered so before, too: {_outcomes(seen.before['http'])}")
    if "elsewhere" in seen.now and seen.now["elsewhere"]["outcomes"] != seen.before["elsewhere"]["outcomes"]:
        wrong.append(f"another path is hit, too: {_outcomes(seen.now['elsewhere'])}")
    return wrong


def _outcomes(reading: Mapping[str, Any]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(reading["outcomes"].items()))


def _http_says(seen: Seen) -> str:
    bad, all_ = _bad(seen)
    return f"{bad} of {all_} requests were hit: {_outcomes(seen.now['http'])}"


def _http_left(seen: Seen) -> list[str]:
    """More answers of the fault's own than before, or too few as before; a service may leave a request or two unanswered."""
    before: Mapping[str, int] = seen.before["http"]["outcomes"]
    now: Mapping[str, int] = seen.now["http"]["outcomes"]
    as_before = sum(number for outcome, number in now.items() if outcome.isdigit() and outcome in before)
    if _bad(seen)[0] <= _bad(seen, seen.before)[0] and as_before >= _AS_BEFORE * sum(now.values()):
        return []
    return [f"requests are not answered as before: {_outcomes(seen.now['http'])}"]


# Names


def _dns(target: Target, params: Dns) -> Plan:
    chain = chain_name(target, "dns", params)
    port = _port(chain)
    rules = [f"-p {p} --dport 53 -m mark ! --mark {_MARK} -j REDIRECT --to-ports {port}" for p in ("udp", "tcp")]
    return _led(target, chain, "dns", "out", rules, **{**params.model_dump(), "port": port})


def _dns_looks(target: Target, params: Dns) -> Mapping[str, Look]:
    (peer,) = witness_peer(target)
    names = list(dict.fromkeys(filter(None, (params.name, peer.members[0].name))))
    wait = 1.0 + (params.delay if params.mode == "slow" else 0.0)
    return {"resolve": {"see": "resolve", "names": names, "wait": wait, **target.start_order[0].step}}


def _dns_wrong(seen: Seen) -> list[str]:
    wrong = []
    for name, now in seen.now["resolve"]["names"].items():
        before = seen.before["resolve"]["names"][name]
        hit = seen.params.name in ("", name)
        if not hit and (now["code"], now["addresses"]) != (before["code"], before["addresses"]):
            wrong.append(f"{name}, which is not concerned, is {_resolved(now)}")
        elif hit and not _as_asked(seen.params, before, now):
            wrong.append(f"{name} is {_resolved(now)}, {_resolved(before)} before")
    return wrong


def _as_asked(params: Dns, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    if params.mode == "gone":
        return bool(now["code"] == 3 and before["addresses"])
    if params.mode == "stale":
        return bool(now["addresses"] == [params.address] != before["addresses"])
    same = (now["code"], now["addresses"]) == (before["code"], before["addresses"])
    return bool(same and now["seconds"] >= params.delay > before["seconds"])


def _resolved(answer: Mapping[str, Any]) -> str:
    if answer["code"] is None:
        return "not answered"
    shown = ", ".join(answer["addresses"]) or {0: "empty", 3: "unknown"}.get(
        answer["code"], f"refused ({answer['code']})"
    )
    return f"{shown} after {show_duration(answer['seconds'])}"


def _dns_says(seen: Seen) -> str:
    return "; ".join(f"{name} is {_resolved(now)}" for name, now in seen.now["resolve"]["names"].items())


def _dns_left(seen: Seen) -> list[str]:
    left = []
    for name, now in seen.now["resolve"]["names"].items():
        before = seen.before["resolve"]["names"][name]
        slow = seen.params.mode == "slow" and now["seconds"] >= seen.params.delay
        if slow or (now["code"], now["addresses"]) != (before["code"], before["addresses"]):
            left.append(f"{name} is still {_resolved(now)}")
    return left


DEPENDENCY_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "http",
        "dependency",
        "a share of its HTTP answers are errors, late, or never come; live connections are reset when it begins",
        _http,
        Proof(
            "the share of requests hit is the one asked for, and other paths are as before",
            _http_looks,
            _http_wrong,
            _http_says,
            _http_left,
        ),
        params=Http,
        needs=("nat",),
        whole_host=True,
        example={"port": 8000, "mode": "error"},
        speaks_of_peers=True,
    ),
    FaultKind(
        "dns",
        "dependency",
        "nothing; the target itself no longer finds others, or finds where they were",
        _dns,
        Proof(
            "the name resolves as asked for from within the target, and no other name is touched",
            _dns_looks,
            _dns_wrong,
            _dns_says,
            _dns_left,
        ),
        params=Dns,
        needs=("nat",),
        whole_host=True,
        example={"mode": "gone"},
        speaks_of_peers=True,
    ),
)
