"""One fault on its targets, from before it to after it: resolved, injected, witnessed, undone, and looked at once more.

Trials and `conform` both go through here, so a fault that is proven by the one is the fault that the other injects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine, in_parallel
from shaketable.adapters.journal import OpenFault
from shaketable.faults import FaultKind, Params, Plan, Probe, Seen, UnfitError, residue, witness
from shaketable.model.errors import AgentError, TopologyError
from shaketable.model.history import FaultRecord, Witnessed
from shaketable.ports import Target
from shaketable.run.agents import AgentKeeper

_PROBE_SETTLES = 0.06
"""A probe reported this soon after the injection may have begun before it, seconds."""
_LEFT_LIMIT = 3.0
"""Seconds after heal within which the last of a fault's effect must be gone."""


class Site(Protocol):
    """Where a fault is injected: a topology that is up, with a peer that can knock."""

    keeper: AgentKeeper

    def engine_of(self, container: str) -> DockerEngine:
        """The engine that a container is of: the topology's, or that of a nested host. Raises EngineError."""

    def facts(self, services: Sequence[str]) -> list[ContainerFacts]:
        """What the engine says of the instances of these services now. Raises EngineError, TopologyError."""

    def probe(self, addresses: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Let the peer knock at these addresses too, by target."""

    def stop_probing(self, targets: Sequence[str]) -> None:
        """End what `probe` began for these targets."""

    def probes(self) -> list[Probe]:
        """The latest probe of each address."""

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Write down what happened."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be injected. `hosts` are all of the topology: name and containers; `targets` those that are hit."""

    id: str
    """Unique on the engine while it is open."""
    event: str
    """Name of the fault in the scenario."""
    kind: FaultKind
    params: Params
    hosts: Mapping[str, Sequence[str]]
    targets: Mapping[str, Sequence[str]]


class Injection:
    """Every method raises AgentError, EngineError or TopologyError; whatever was begun is then undone by `heal`."""

    def __init__(self, site: Site, order: Order, now: Callable[[], float]) -> None:
        self.site, self.order, self._now = site, order, now
        self.kind = order.kind
        self.targets: tuple[Target, ...] = ()
        self.record: FaultRecord | None = None
        self.open: OpenFault | None = None
        self._plan = Plan(())
        self._returned = 0.0
        """When what was ended came back by itself."""
        self._before: dict[str, Mapping[str, Any]] = {}

    def prepare(self) -> None:
        """Resolve the targets, let a peer begin to knock so that it holds connections before the fault, and look once."""
        agent = self.site.keeper.agent()
        if lacking := agent.missing(self.kind.needs):
            raise UnfitError(f"{self.kind.kind} cannot be injected on this machine: {lacking}")
        hosts, targets = self.order.hosts, self.order.targets
        everyone = {**self._around(hosts, targets), **targets}
        resolved = {name: agent.resolve(name, self.site.facts(services)) for name, services in everyone.items()}
        group = tuple(sorted(self.order.targets))
        self.targets = tuple(self._with_peers(resolved[name], resolved, group) for name in targets)
        if not self.targets:
            raise TopologyError(f"{self.order.event} has no target")
        plans = [self.kind.plan_for(target, self.order.params) for target in self.targets]
        self._plan = Plan(
            tuple(step for plan in plans for step in plan.steps),
            tuple(step for plan in plans for step in plan.undo),
            revive=next((plan.revive for plan in plans if plan.revive != "no"), "no"),
            grace=next((plan.grace for plan in plans if plan.grace is not None), None),
            notes=tuple(dict.fromkeys(note for plan in plans for note in plan.notes)),
            returns=next((plan.returns for plan in plans if plan.returns is not None), None),
            settles=max(plan.settles for plan in plans),
        )
        if self._knocks:
            for target in self.targets:
                if not target.addresses:
                    lacks = "publishes no port on its host" if target.inside else "listens on no address"
                    raise TopologyError(f"{target.name} {lacks}, so no peer could witness {self.kind.kind}")
            self.site.probe({target.name: target.addresses for target in self.targets})

    def _around(
        self, hosts: Mapping[str, Sequence[str]], targets: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Sequence[str]]:
        """The hosts to resolve beside the targets: those they are part of, and their peers if the fault speaks of them.

        What runs in a nested host has that host as its only peer, and is nobody else's: its own addresses mean nothing
        outside.
        """
        inside = {name: host for name in targets if (host := name.partition("/")[0]) != name and host in hosts}
        outer = set(inside.values())
        if self.kind.speaks_of_peers and len(inside) < len(targets):
            return {host: services for host, services in hosts.items() if "/" not in host}
        parts = {
            host for host, services in hosts.items() if any(set(services) > set(mine) for mine in targets.values())
        }
        return {host: hosts[host] for host in hosts if host in parts | (outer if self.kind.speaks_of_peers else set())}

    def _with_peers(self, target: Target, resolved: Mapping[str, Target], group: tuple[str, ...]) -> Target:
        if target.inside:
            around = resolved.get(target.inside)
            alone = () if around is None or not target.gateway else (replace(around, ips=(target.gateway,)),)
            return replace(target, peers=alone, group=group)
        own = {m.name for m in target.members}
        spaces = {m.netns for m in target.members}
        peers = tuple(
            resolved[name]
            for name in self.order.hosts
            if name in resolved and not resolved[name].inside and not own & {m.name for m in resolved[name].members}
        )
        shared = sorted(
            {m.name for host in resolved.values() for m in host.members if m.netns in spaces and m.name not in own}
        )
        return replace(target, peers=peers, shared_with=tuple(shared), group=group)

    @property
    def _knocks(self) -> bool:
        return any(
            look["see"] == "peer"
            for target in self.targets
            for look in self.kind.proof.looks(target, self.order.params).values()
        )

    def _look(self, since: float = 0.0) -> dict[str, Mapping[str, Any]]:
        """Readings by target: each look taken by whoever can."""
        wanted = {t.name: self.kind.proof.looks(t, self.order.params) for t in self.targets}
        asked = {
            f"{name}/{what}": look
            for name, looks in wanted.items()
            for what, look in looks.items()
            if look["see"] not in ("peer", "kernel", "engine")
        }
        told = self.site.keeper.witness().look(asked) if asked else {}
        readings: dict[str, Mapping[str, Any]] = {}
        for target in self.targets:
            mine: dict[str, Any] = {}
            for what, look in wanted[target.name].items():
                if look["see"] == "kernel":
                    mine[what] = self.site.keeper.agent().inspect(target)
                elif look["see"] == "peer":
                    mine[what] = self._knocked(target, since)
                elif look["see"] == "engine":
                    mine[what] = self._engine_says(target)
                else:
                    mine[what] = told[f"{target.name}/{what}"]
            readings[target.name] = mine
        return readings

    def _engine_says(self, target: Target) -> Mapping[str, Any]:
        """{"at", "members": {name: {"running", "exit_code", "oom_killed", "restarts"}}}."""
        facts = {m.name: self.site.engine_of(m.container).inspect(m.container) for m in target.members}
        states = {
            name: {"running": f.running, "exit_code": f.exit_code, "oom_killed": f.oom_killed, "restarts": f.restarts}
            for name, f in facts.items()
        }
        return {"at": self._now(), "members": states}

    def _knocked(self, target: Target, since: float) -> Mapping[str, Any]:
        addresses = {f"{ip}:{port}" for ip, port in target.addresses}
        probes = [p for p in self.site.probes() if p.address in addresses and p.at > since]
        return {"at": max((p.at for p in probes), default=0.0), "probes": probes}

    @property
    def settles(self) -> float:
        """Seconds that undoing it may take once it was asked for."""
        return self._plan.settles

    def look_before(self) -> None:
        """How everything looks just before the fault."""
        self._before = self._look()

    def inject(self) -> FaultRecord:
        """Write the undo down, then inject."""
        self.look_before()
        names = tuple(target.name for target in self.targets)
        undo = [dict(step) for step in self._plan.undo]
        self.open = OpenFault(self.order.id, self.kind.kind, ", ".join(names), undo)
        if self._plan.revive == "start":
            self._restart_policies(lambda _: "no")
        agent = self.site.keeper.agent()
        self.site.keeper.open(self.open)
        sent = self._now()
        members, said = agent.inject(self.open.id, self._plan)
        self.record = FaultRecord(
            id=self.order.event,
            kind=self.kind.kind,
            targets=names,
            sent=sent,
            injected=max(members.values(), default=sent),
            members=members,
            witness=Witnessed(None, self.kind.proof.claim, "nothing yet"),
            heal_began=0.0,
            healed=0.0,
            clean=False,
            notes=(*self._plan.notes, *(str(note) for note in said.get("notes", ()))),
        )
        self.site.event(
            "injected",
            self.record.injected,
            fsync=True,
            fault=self.kind.kind,
            host=", ".join(names),
            sent=sent,
            id=self.order.event,
        )
        return self.record

    def _restart_policies(self, of: Callable[[str], str]) -> None:
        for target in self.targets:
            for member in target.members:
                if member.restart_policy != "no":
                    engine = self.site.engine_of(member.container)
                    engine.set_restart_policy(member.container, of(member.restart_policy))

    def witnessed(self) -> bool:
        """Whether the effect has been seen by now; looks if it has not."""
        assert self.record is not None, "injected before it is looked for"
        if self._plan.returns is not None and not self._returned:
            if self._now() < self.record.injected + self._plan.returns:
                return False
            self._return()
        if self.record.witness.at is None:
            self.record = replace(self.record, witness=self._compare())
        return self.record.witness.at is not None

    def _return(self) -> None:
        """What was ended comes back by itself, as a machine that boots."""
        assert self.open is not None
        if problems := self.site.keeper.undo(self.open):
            raise AgentError(f"{self.kind.kind} on {self.open.host} could not end: {'; '.join(problems)}")
        self._revive()
        self._returned = self._now()
        self.site.event("returned", self._returned, fault=self.kind.kind, host=self.open.host, id=self.order.event)

    def _compare(self, *, lasting: bool = False) -> Witnessed:
        assert self.record is not None
        now = self._look(max(self.record.injected, self._returned) + _PROBE_SETTLES)
        each = {
            t.name: witness(self.kind, Seen(t, self.order.params, self._before.get(t.name, {}), now[t.name], lasting))
            for t in self.targets
        }
        missing = {name: found for name, found in each.items() if found.at is None}
        shown = missing or each
        several = len(self.targets) > 1
        words = "; ".join(f"{name}: {found.seen}" if several else found.seen for name, found in shown.items())
        at = None if missing else max(found.at for found in each.values() if found.at is not None)
        return Witnessed(at, self.kind.proof.claim, words)

    def heal(self, *, prove: bool = True) -> FaultRecord | None:
        """Prove once more that the fault held until now, undo it, start again what it ended, and look what is left."""
        record = self.record
        if self.open is None:
            return record
        if record is not None and record.witness.at is not None and prove:
            last = self._compare(lasting=True)
            if last.at is None:
                seen = f"the effect ended by itself before heal: {last.seen}"
                if self.kind.proof.lasts:
                    record = replace(record, witness=replace(last, seen=seen))
                else:
                    record = replace(record, notes=(*record.notes, seen))
        began = self._now()
        problems = self.site.keeper.undo(self.open)
        if self._plan.revive != "no" and not self._returned:
            self._revive()
        healed = self._now()
        if self._knocks:
            self.site.stop_probing([target.name for target in self.targets])
        left = self._left()
        if self._plan.settles:
            healed = self._now()
        self.site.event(
            "healed",
            healed,
            fsync=True,
            fault=self.kind.kind,
            host=", ".join(t.name for t in self.targets),
            problems=problems,
            left=left,
            id=self.order.event,
        )
        if record is not None:
            self.record = replace(
                record,
                heal_began=began,
                healed=healed,
                clean=not problems and not left,
                notes=(*record.notes, *problems, *left, *self._grace_notes()),
            )
        return self.record

    def _left(self) -> list[str]:
        """What of the fault can still be seen, once it has had time to fade."""
        deadline = time.monotonic() + max(_LEFT_LIMIT, self._plan.settles)
        while True:
            now = self._look()
            left = [
                f"{t.name}: {words}"
                for t in self.targets
                for words in residue(self.kind, Seen(t, self.order.params, self._before.get(t.name, {}), now[t.name]))
            ]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.05)

    def _revive(self) -> None:
        members = [m for target in self.targets for m in target.members]
        in_parallel(self._start, [m.container for m in members if m.holds_namespace])
        in_parallel(self._start, [m.container for m in members if not m.holds_namespace])
        if self._plan.revive == "start":
            self._restart_policies(lambda policy: policy)

    def _start(self, container: str) -> None:
        engine = self.site.engine_of(container)
        if self._plan.revive == "start":
            engine.start(container)
        else:
            engine.ensure_running(container)

    def _grace_notes(self) -> tuple[str, ...]:
        if self._plan.grace is None or self.open is None:
            return ()
        killed = self.site.keeper.killed_after_grace(self.open.id)
        members = sum(len(target.members) for target in self.targets)
        return (f"the grace ran out: {len(killed)} of {members} instances were killed",) if killed else ()


def undo_quietly(injection: Injection) -> None:
    """Undo what broke half-way into its injection."""
    if injection.open is not None and injection.record is None:
        try:
            injection.site.keeper.undo(injection.open)
        except AgentError:
            return  # the journal has it, and whoever takes the agent's place undoes it
