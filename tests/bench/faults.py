"""What each fault costs: sent-to-effective and heal, for 1 and 20 targets, beside the docker CLI and a sidecar container.

Part of `make bench`; all of it is measured in one run on one machine.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import docker
from bench import Log, quantile

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.images import ensure_tools_image
from shaketable.faults import OURS, Plan
from shaketable.model.units import FROM_TEXT
from shaketable.ports import Target
from shaketable.run.conform import canary, conform
from shaketable.run.session import new_run

TIMES = int(os.environ.get("BENCH_FAULT_TIMES", "5"))
MANY = 20


def milliseconds(values: Sequence[float]) -> dict[str, float | None]:
    """Median and 95th percentile, milliseconds."""
    return {name: (quantile(values, q) or 0) * 1e3 for name, q in (("p50", 0.5), ("p95", 0.95))}


def each_fault(log: Log) -> dict[str, Any]:
    """One target: every fault several times, by the same routine as `conform`."""
    found = {}
    with canary(log.say, OURS.values()) as site:
        for kind in OURS.values():
            tries = [conform(site, kind) for _ in range(TIMES)]
            good = [t for t in tries if t.ok and t.effective_s is not None and t.heal_s is not None]
            log.say(f"  {kind.kind}: {len(good)} of {len(tries)}")
            found[kind.kind] = {
                "n": len(good),
                "sent_to_effective_ms": milliseconds([t.effective_s or 0 for t in good]),
                "heal_ms": milliseconds([t.heal_s or 0 for t in good]),
            }
    return found


@contextmanager
def targets(count: int) -> Iterator[tuple[FaultAgent, Witness, list[Target], Any]]:
    """So many idle containers in one network, resolved, with an agent and a witness."""
    run, engine = new_run(), DockerEngine()
    image = ensure_tools_image(print)
    client = docker.from_env()
    labels = {RUN_LABEL: run}
    network = client.networks.create(f"st-{run}", labels=labels, internal=True)
    words = ["python3", "-m", "http.server", "8000"]
    try:
        boxes = [
            client.containers.run(image, words, network=network.name, labels=labels, detach=True) for _ in range(count)
        ]
        agent, witness = FaultAgent(engine, image, run), Witness(engine, image, run)
        yield agent, witness, [agent.resolve(box.name or "", [engine.inspect(box.id or "")]) for box in boxes], boxes
        witness.leave()
        agent.leave()
    finally:
        engine.remove_run(run)
        engine.close()
        client.close()


def many_targets() -> dict[str, Any]:
    """All at the same moment: when the last was hit, and how far apart."""
    found = {}
    with targets(MANY) as (agent, _, hosts, _):
        for kind in ("cut", "freeze", "power-off"):
            plans = [OURS[kind].plan_for(host, OURS[kind].params()) for host in hosts]
            # Healing power-off would end them: what is measured here is the injection.
            undo = "freeze" if kind == "power-off" else kind
            back = [OURS[k].plan_for(host, OURS[k].params()) for host in hosts for k in ("cut", undo)]
            plan = Plan(tuple(step for p in plans for step in p.steps), tuple(step for p in back for step in p.undo))
            effective, skew = [], []
            for number in range(TIMES):
                sent = time.monotonic()
                members, _ = agent.inject(f"{kind}-{number}", plan)
                effective.append(max(members.values()) - sent)
                skew.append(max(members.values()) - min(members.values()))
                agent.heal(f"{kind}-{number}")
            found[kind] = {"sent_to_effective_ms": milliseconds(effective), "skew_ms": milliseconds(skew)}
    return found


def _timed(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _docker(*words: str) -> Callable[[], Any]:
    return lambda: subprocess.run(["docker", *words], check=True, capture_output=True)


def other_ways() -> dict[str, Any]:
    """The same faults by the docker CLI, and by a throw-away container in the target's network namespace."""
    image = ensure_tools_image(print)
    found: dict[str, Any] = {}
    with targets(1) as (_, _, _, (box,)):
        name, network = str(box.name), next(iter(box.attrs["NetworkSettings"]["Networks"]), "")
        box.reload()
        network = next(iter(box.attrs["NetworkSettings"]["Networks"]))
        ways = {
            "freeze: docker pause": (_docker("pause", name), _docker("unpause", name)),
            "cut: docker network disconnect": (
                _docker("network", "disconnect", network, name),
                _docker("network", "connect", network, name),
            ),
            "cut: sidecar with iptables": (_sidecar(image, name, "-I"), _sidecar(image, name, "-D")),
            "kill: docker kill": (_docker("kill", name), _docker("start", name)),
        }
        for what, (begin, undo) in ways.items():
            times = [(_timed(begin), _timed(undo)) for _ in range(TIMES)]
            found[what] = {
                "sent_to_effective_ms": milliseconds([t[0] for t in times]),
                "heal_ms": milliseconds([t[1] for t in times]),
            }
    return found


def _sidecar(image: str, name: str, how: str) -> Callable[[], Any]:
    rule = f"iptables {how} INPUT -j DROP && iptables {how} OUTPUT -j DROP"
    words = ["run", "--rm", "--net", f"container:{name}", "--cap-add", "NET_ADMIN", image, "sh", "-c", rule]
    return _docker(*words)


def delays() -> dict[str, Any]:
    """How exact a delay is, and what a packet costs: 400 datagrams each way of asking."""
    found = {}
    with targets(2) as (agent, witness, (a, b), _):
        look = {"see": "datagrams", "ends": {a.name: a.end, b.name: b.end}, "pairs": [[a.name, b.name]]}
        look |= {"count": 400, "every": 0.002, "wait": 0.5}
        key = f"{a.name}>{b.name}"
        plain = witness.look({"x": look})["x"]["pairs"][key]["delays"]
        found["none"] = {"p50_ms": statistics.median(plain) * 1e3}
        kind = OURS["slow"]
        target = Target(a.name, a.members, a.links, a.addresses, a.ips, peers=(b,), group=(a.name,))
        for asked in ("1 ms", "50 ms", "200 ms"):
            params: Any = kind.params.model_validate({"delay": asked}, context=dict(FROM_TEXT))
            agent.inject(asked, kind.plan_for(target, params))
            seen = witness.look({"x": look})["x"]["pairs"][key]["delays"]
            agent.heal(asked)
            errors = [abs(d - params.delay) for d in seen]
            found[asked] = {
                "received": len(seen),
                "p50_ms": statistics.median(seen) * 1e3,
                "error_p95_ms": (quantile(errors, 0.95) or 0) * 1e3,
                "cost_a_packet_ms": (statistics.median(seen) - params.delay - statistics.median(plain)) * 1e3,
            }
    return found


def figures(log: Log) -> dict[str, Any]:
    """All of it."""
    return {
        "one_target": each_fault(log),
        f"{MANY}_targets": many_targets(),
        "other_ways": other_ways(),
        "delays": delays(),
    }


if __name__ == "__main__":
    import json

    print(json.dumps(figures(Log()), indent=1))  # noqa: T201
