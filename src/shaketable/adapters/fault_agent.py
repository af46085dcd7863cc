"""The harness's side of the fault agent: start it, ask it, notice at once when it is gone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shaketable.adapters.channel import Caller, Message
from shaketable.adapters.docker_engine import NESTED_LABEL, ContainerFacts, DockerEngine
from shaketable.faults import Plan
from shaketable.model.errors import AgentError, TopologyError
from shaketable.ports import Link, Member, Target


class FaultAgent:
    """One agent container. After `lost` is set every call raises AgentError; start a new one and undo from the journal."""

    def __init__(
        self, engine: DockerEngine, image: str, run: str, on_event: Callable[[Message], None] = lambda _: None
    ) -> None:
        self.lost = threading.Event()
        self._caller = Caller(on_event)
        self._container, self._channel = engine.run_tool(
            name=f"st-{run}-agent-{secrets.token_hex(3)}",  # several processes may start one for the same run
            image=image,
            module="shaketable.agent.serve",
            run=run,
            agent=True,
            on_message=self._caller.on_message,
            on_close=self._closed,
            cpu_shares=8192,
        )
        self._engine = engine
        self.facts = self.ask("hello")

    def _closed(self) -> None:
        self.lost.set()
        self._caller.on_close()

    def ask(self, op: str, *, limit: float = 10.0, **fields: Any) -> Message:
        """One question. Raises AgentError."""
        return self._caller.call(self._channel, op, limit=limit, **fields)

    def missing(self, needs: Sequence[str]) -> str:
        """Why this machine cannot do what is needed; empty when it can."""
        able = self.facts.get("abilities", {})
        return "; ".join(str(able.get(need, f"{need} is not known here")) for need in needs if able.get(need, "?"))

    def now(self) -> float:
        """The engine machine's CLOCK_MONOTONIC, seconds."""
        return float(self.ask("now")["now"])

    def resolve(self, name: str, containers: Sequence[ContainerFacts]) -> Target:
        """Everything a fault needs of a target. Raises TopologyError for an instance that does not run."""
        if down := [c.name for c in containers if not c.running]:
            raise TopologyError(f"{name} cannot be a target: {', '.join(down)} not running")
        answer = self.ask(
            "resolve",
            pids={c.name: c.pid for c in containers},
            within={c.name: c.within for c in containers if c.within},
        )
        members = tuple(
            Member(
                name=c.name,
                container=c.id,
                pid=answer["members"][c.name]["pid"],
                start=answer["members"][c.name]["start"],
                cgroup=answer["members"][c.name]["cgroup"],
                holds_namespace=not c.joins,
                stop_signal=c.stop_signal,
                restart_policy=c.restart_policy,
                netns=answer["members"][c.name]["netns"],
                limits=answer["members"][c.name]["limits"],
                open_files=tuple((p, s, n) for p, s, n in answer["members"][c.name]["open_files"]),
                interfaces=tuple(answer["members"][c.name]["interfaces"]),
                nested=c.labels.get(NESTED_LABEL, ""),
                disks=tuple((path, device) for path, device in answer["members"][c.name]["disks"]),
            )
            for c in containers
        )
        # An instance that lives in another's network namespace has no address of its own for the engine.
        ips = tuple(dict.fromkeys(ip for c in containers for ip in c.addresses)) or tuple(answer["ips"])
        # What runs in a nested host is reached through that host alone: nobody outside could tell anything of its own.
        inside = any(c.within for c in containers)
        reached = {(ip, port) for c in containers for ip in c.host_addresses for port in c.published}
        listens = {(ip, port) for ip in ips for bound, port in answer["listens"] if bound in ("", ip)}
        return Target(
            name=name,
            members=members,
            links=tuple(Link(*link) for link in answer["links"]),
            addresses=tuple(sorted(reached if inside else listens)),
            ips=ips,
            inside=name.partition("/")[0] if inside else "",
            gateway=next((answer["members"][c.name]["gateway"] for c in containers if c.within), ""),
            able=frozenset(name for name, lacking in self.facts.get("abilities", {}).items() if not lacking),
        )

    def cgroups(self, pids: Mapping[str, int]) -> dict[str, str]:
        """Cgroup, below the engine host's cgroup file system, of each process. Raises AgentError."""
        return dict(self.ask("cgroups", pids=dict(pids))["cgroups"])

    def inject(self, fault: str, plan: Plan) -> tuple[dict[str, float], dict[str, Any]]:
        """Carry out a plan: moment of effect by member, and what its processes said. Raises AgentError, all undone."""
        answer = self.ask("inject", limit=30.0, fault=fault, steps=plan.steps, undo=plan.undo, grace=plan.grace)
        return {str(name): float(at) for name, at in answer["at"].items()}, dict(answer["said"])

    def inspect(self, target: Target) -> Message:
        """The kernel's word on a target now: {"at", "alive": {member: bool}, "frozen", "all_thawed", "links_up"}."""
        answer = self.ask(
            "inspect",
            members={m.name: {"pid": m.pid, "start": m.start, "cgroup": m.cgroup} for m in target.members},
            links=[[link.name, link.index, link.netns, link.via] for link in target.links],
        )
        members = answer["members"]
        return {
            "at": answer["at"],
            "alive": {name: m["alive"] for name, m in members.items()},
            "frozen": {name: m["frozen"] for name, m in members.items()},
            "all_thawed": all(m["thawed"] for m in members.values()),
            "links_up": all(up is not False for up in answer["links"].values()),
        }

    def heal(self, fault: str) -> list[str]:
        """Undo one fault; the problems, if any."""
        return list(self.ask("heal", limit=30.0, fault=fault)["problems"])

    def undo(self, steps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Carry out undo steps of an agent that is gone; the problems, if any."""
        return list(self.ask("undo_steps", limit=30.0, steps=list(steps))["problems"])

    def care(self, containers: Sequence[ContainerFacts]) -> None:
        """Give containers into the agent's care: it ends them when the harness goes away without a word."""
        self.ask("care", pids=[c.pid for c in containers if c.running])

    def attach(self, disks: Mapping[str, int]) -> dict[str, str]:
        """Make disks of so many bytes; their devices, as `loop3`. Raises AgentError."""
        return dict(self.ask("attach", limit=60.0, disks=dict(disks))["devices"])

    def detach(self, disks: Sequence[str]) -> list[str]:
        """Take disks away; the problems, if any."""
        return list(self.ask("detach", disks=list(disks))["problems"])

    def sweep(self, run: str) -> list[str]:
        """Take away all disks of a run; the problems, if any."""
        return list(self.ask("sweep", limit=30.0, run=run)["problems"])

    def leave(self) -> None:
        """An orderly goodbye; whatever is still held is undone first."""
        try:
            self._channel.send({"op": "bye"})
        except AgentError:
            return
        self._channel.close()
        self._engine.wait_gone(self._container, 5.0)


class Witness:
    """The process that looks, one container beside the agent's. When it is gone, looks say so, and nothing else happens."""

    def __init__(self, engine: DockerEngine, image: str, run: str, cpuset: str = "") -> None:
        self._caller = Caller()
        _, self._channel = engine.run_tool(
            name=f"st-{run}-witness-{secrets.token_hex(3)}",
            image=image,
            module="shaketable.agent.witness",
            run=run,
            agent=True,
            on_message=self._caller.on_message,
            on_close=self._caller.on_close,
            cpu_shares=4096,
            cpuset=cpuset,
        )
        self._caller.call(self._channel, "hello")

    @property
    def lost(self) -> bool:
        """Whether it is gone."""
        return self._channel.closed.is_set()

    def look(self, looks: Mapping[str, Mapping[str, Any]], *, limit: float = 20.0) -> Mapping[str, Mapping[str, Any]]:
        """Take looks, all at once; a reading for each. Raises AgentError."""
        return dict(self._caller.call(self._channel, "look", limit=limit, looks=dict(looks))["readings"])

    def leave(self) -> None:
        """It holds nothing: its end is enough."""
        self._channel.close()
