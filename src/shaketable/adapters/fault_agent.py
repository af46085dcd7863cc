"""The harness's side of the fault agent: start it, ask it, notice at once when it is gone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shaketable.adapters.channel import Caller, Message
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.faults.host import Plan
from shaketable.model.errors import AgentError, TopologyError
from shaketable.ports.hosts import HostFacts, Link, Member


@dataclass(frozen=True, slots=True)
class KernelView:
    """What the kernel says of a host's members and links at one moment."""

    at: float
    alive: Mapping[str, bool]
    frozen: Mapping[str, bool]
    all_thawed: bool
    links_up: bool
    """Whether every link that still exists is up."""


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

    def now(self) -> float:
        """The engine machine's CLOCK_MONOTONIC, seconds."""
        return float(self.ask("now")["now"])

    def resolve(self, host: str, containers: Sequence[ContainerFacts]) -> HostFacts:
        """Everything a fault needs of a host. Raises TopologyError for an instance that does not run."""
        if down := [c.name for c in containers if not c.running]:
            raise TopologyError(f"host {host} cannot be a target: {', '.join(down)} not running")
        answer = self.ask("resolve", pids={c.name: c.pid for c in containers})
        members = tuple(
            Member(
                name=c.name,
                container=c.id,
                pid=c.pid,
                start=answer["members"][c.name]["start"],
                cgroup=answer["members"][c.name]["cgroup"],
                holds_namespace=not c.joins,
                stop_signal=c.stop_signal,
                restart_policy=c.restart_policy,
            )
            for c in containers
        )
        addresses = [(ip, port) for c in containers for ip in c.addresses for port in answer["ports"]]
        return HostFacts(host, members, tuple(Link(n, i) for n, i in answer["links"]), tuple(sorted(set(addresses))))

    def inject(self, fault: str, plan: Plan) -> dict[str, float]:
        """Carry out a plan; moment of effect by member. Raises AgentError, with everything undone again."""
        answer = self.ask("inject", fault=fault, steps=plan.steps, undo=plan.undo, grace=plan.grace)
        return {str(name): float(at) for name, at in answer["at"].items()}

    def inspect(self, facts: HostFacts) -> KernelView:
        """The kernel's word on a host now."""
        answer = self.ask(
            "inspect",
            members={m.name: {"pid": m.pid, "start": m.start, "cgroup": m.cgroup} for m in facts.members},
            links=[[link.name, link.index] for link in facts.links],
        )
        members = answer["members"]
        return KernelView(
            at=answer["at"],
            alive={name: m["alive"] for name, m in members.items()},
            frozen={name: m["frozen"] for name, m in members.items()},
            all_thawed=all(m["thawed"] for m in members.values()),
            links_up=all(up is not False for up in answer["links"].values()),
        )

    def heal(self, fault: str) -> list[str]:
        """Undo one fault; the problems, if any."""
        return list(self.ask("heal", fault=fault)["problems"])

    def undo(self, steps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Carry out undo steps of an agent that is gone; the problems, if any."""
        return list(self.ask("undo_steps", steps=list(steps))["problems"])

    def care(self, containers: Sequence[ContainerFacts]) -> None:
        """Give containers into the agent's care: it ends them when the harness goes away without a word."""
        self.ask("care", pids=[c.pid for c in containers if c.running])

    def leave(self) -> None:
        """An orderly goodbye; whatever is still held is undone first."""
        try:
            self._channel.send({"op": "bye"})
        except AgentError:
            return
        self._channel.close()
        self._engine.wait_gone(self._container, 5.0)
