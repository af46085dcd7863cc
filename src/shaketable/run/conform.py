"""Does each fault do what its page says, on this kernel and this engine, and is it gone afterwards? Tried on the canary.

For each fault: nothing of it before; effective as declared; what a peer sees meanwhile; two peers beside the target, and
two hosts of another topology, see no change; clean afterwards, and a second heal harmless.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from shaketable.adapters.channel import Channel, Message
from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.adapters.fault_agent import FaultAgent
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.instances import Instances
from shaketable.faults import CATALOGUE, FaultKind, Params, Probe, UnfitError
from shaketable.model.errors import AgentError, EngineError, ShakeError, TopologyError
from shaketable.model.history import FaultRecord
from shaketable.model.units import FROM_TEXT
from shaketable.ports import Target
from shaketable.run.injection import Injection, Order
from shaketable.run.session import Session, new_run, session

_EFFECTIVE_LIMIT = 10.0
"""Seconds a fault has to be witnessed."""
MACHINE = "machine"
"""The canary's nested host; it is brought up only for faults that are tried on it."""
_PEERS = ("peer-1", "peer-2")
_OUTSIDE = ("outside-1", "outside-2")
_BYSTANDER_DELAY = 0.25
"""Median seconds of a datagram between bystanders that would count as a change: far above any scheduling of ours."""


@dataclass(frozen=True, slots=True)
class Conformed:
    """What conform found of one fault. `problems` is empty when it conforms; `unfit` says why it could not be tried."""

    kind: str
    role: str
    """The canary's host it was tried on."""
    parameters: Mapping[str, Any]
    effective_s: float | None
    """From the request to the last member's effect, seconds."""
    witnessed_s: float | None
    heal_s: float | None
    signature: Mapping[str, str]
    """What a peer saw, by what it looked at."""
    seen: str
    problems: tuple[str, ...]
    unfit: str = ""

    @property
    def ok(self) -> bool:
        """Whether it did what its page says and is gone."""
        return not self.problems and not self.unfit


class CanarySite:
    """The canary as the place of an injection."""

    def __init__(self, live: Session, image: str, say: Callable[[str], None], roles: Collection[str]) -> None:
        folder = Path(str(resources.files("shaketable") / "canary"))
        self.engine, self.keeper = live.engine, live.keeper
        files = ["compose.yaml", *(["machine.yaml"] if MACHINE in roles else [])]
        self.project = ComposeProject(folder, files, f"st-{live.run}-canary", live.run, "1")
        self.outside = ComposeProject(folder, ["outside.yaml"], f"st-{live.run}-outside", live.run, "2")
        self._probes: dict[str, Probe] = {}
        self.events: list[Mapping[str, Any]] = []
        self.project.devices = self.keeper.attach("canary", self.project.model().volumes)
        for project in (self.project, self.outside):
            project.up(say)
        inside = {name: members for name, members in self.project.model().places.everything.items() if "/" in name}
        self.hosts: Mapping[str, Sequence[str]] = {**self.project.model().hosts, **inside}
        self.instances = Instances(self.engine, self.project)
        self._beside = Instances(self.engine, self.outside)
        self.read()
        self.keeper.care([*self.facts(list(self.instances.outer)), *self.facts(list(self._beside.outer))])
        _, self._observer = self.engine.run_tool(
            name=f"st-{live.run}-peer",
            image=image,
            module="shaketable.agent.observe",
            run=live.run,
            lane="1",
            network=self.project.network(),
            on_message=self._heard,
            cpu_shares=8192,
        )
        self._observer.send({"every": 1.0, "holders": {}})

    @property
    def observer(self) -> Channel:
        """The peer that knocks."""
        return self._observer

    def facts(self, services: Sequence[str]) -> list[ContainerFacts]:
        """What the engines say of the instances of these services now."""
        return [one for s in services for one in (self._beside if s in _OUTSIDE else self.instances).facts([s])]

    def engine_of(self, container: str) -> DockerEngine:
        """The engine that a container is of."""
        return self.instances.engine_of(container)

    def read(self) -> None:
        """Ask the engines anew which containers there are."""
        self.instances.read()
        self._beside.read()

    def probe(self, addresses: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Let the peer knock at these addresses too, by target."""
        for mine in addresses.values():
            for ip, port in mine:
                self._probes.pop(f"{ip}:{port}", None)
        self._observer.send({"probe": {target: [list(a) for a in mine] for target, mine in addresses.items()}})

    def stop_probing(self, targets: Sequence[str]) -> None:
        """End what `probe` began for these targets."""
        self._observer.send({"unprobe": list(targets)})

    def probes(self) -> list[Probe]:
        """The latest probe of each address."""
        return list(self._probes.values())

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Keep what happened, for whoever asks."""
        self.events.append({"kind": kind, "at": at, "fsync": fsync, **fields})

    def _heard(self, message: Message) -> None:
        if "probe" in message:
            at, _, address, connect, held = message["probe"]
            self._probes[address] = Probe(at, address, connect, held)

    def resolve(self, host: str) -> Target:
        """A host, or one of the two outside, as it is now."""
        return self.keeper.agent().resolve(host, self.facts(self.hosts.get(host, (host,))))


@contextmanager
def canary(say: Callable[[str], None], kinds: Iterable[FaultKind] = ()) -> Iterator[CanarySite]:
    """Bring the canary up for a block, with its nested host if one of these faults needs that.

    Raises EngineError, TopologyError, ResidueError when something stayed behind.
    """
    engine = DockerEngine()
    image = ensure_tools_image(say)
    with session(new_run(), engine, image, say) as live:
        yield CanarySite(live, image, say, {role for kind in kinds for role in kind.roles})
        say("cleaning up")
        residue = live.close()
    engine.close()
    if residue:
        raise TopologyError("left behind: " + "; ".join(f"{r.what} {r.where}" for r in residue))


def lacking() -> Mapping[str, str] | None:
    """Why this machine cannot do each fault of the catalogue, empty where it can; None when no engine answers."""
    try:
        engine = DockerEngine()
        image = ensure_tools_image(lambda _: None)
        run = new_run()
        agent = FaultAgent(engine, image, run)
    except EngineError:
        return None
    try:
        return {kind.kind: agent.missing(kind.needs) for kind in CATALOGUE.values()}
    finally:
        agent.leave()
        engine.remove_run(run)
        engine.close()


def conform(
    site: CanarySite, kind: FaultKind, parameters: Mapping[str, Any] | None = None, role: str | None = None
) -> Conformed:
    """Try one fault on the canary, on the first of its roles unless told. The fault's own troubles are the answer."""
    role = role or kind.roles[0]
    given = dict(kind.example if parameters is None else parameters)
    params = kind.params.model_validate(given, context=dict(FROM_TEXT))
    if role not in site.hosts:
        return _unfit(kind, role, given, f"the canary has no host {role!r}")
    try:
        return _Trial(site, kind, role, params, given).run()
    except UnfitError as error:
        return _unfit(kind, role, given, str(error))


def _unfit(kind: FaultKind, role: str, given: Mapping[str, Any], why: str) -> Conformed:
    return Conformed(kind.kind, role, given, None, None, None, {}, "", (), unfit=why)


class _Trial:
    """One fault, once."""

    def __init__(self, site: CanarySite, kind: FaultKind, role: str, params: Params, given: Mapping[str, Any]) -> None:
        self.site, self.kind, self.role, self.params, self.given = site, kind, role, params, given
        self.problems: list[str] = []
        number = len(site.events)
        order = Order(
            id=f"{site.project.name}-{number}-{kind.kind}",
            event=kind.kind,
            kind=kind,
            params=params,
            hosts=site.hosts,
            targets={role: site.hosts[role]},
        )
        self.injection = Injection(site, order, time.monotonic)

    def run(self) -> Conformed:
        """All of it."""
        site, role = self.site, self.role
        _await(lambda: bool(site.resolve(role).addresses), 15.0, f"{role} listens on nothing")
        target = site.resolve(role)
        before = self._traces(target)
        knocking = bool(target.addresses)
        if knocking:
            site.probe({role: target.addresses})
        self.problems += [f"before: {p}" for p in self._bystanders()]
        signature: dict[str, str] = {}
        try:
            self.injection.prepare()
            if knocking:
                _await(lambda: self._knocked(target, 0.0), 3.0, "no peer could knock")
            record = self.injection.inject()
            if not _holds(self.injection.witnessed, _EFFECTIVE_LIMIT):
                self.problems.append(f"not effective: {self._record.witness.seen}")
            signature = self._signature(target, record)
            self.problems += [f"meanwhile: {p}" for p in self._bystanders()]
        except UnfitError:
            raise
        except ShakeError as error:
            self.problems.append(str(error))
        record_after = self.injection.heal()
        if record_after is not None and not record_after.clean:
            self.problems.append(f"not clean: {'; '.join(record_after.notes)}")
        self._heal_again()
        if knocking:
            site.stop_probing([role])
        _await(lambda: bool(site.resolve(role).addresses) == knocking, 15.0, f"{role} did not come back")
        self._compare(before, site.resolve(role))
        self.problems += [f"after: {p}" for p in self._bystanders()]
        return self._conformed(signature)

    @property
    def _record(self) -> FaultRecord:
        record = self.injection.record
        assert record is not None, "injected"
        return record

    def _conformed(self, signature: Mapping[str, str]) -> Conformed:
        record = self.injection.record
        at = record.witness.at if record else None
        return Conformed(
            kind=self.kind.kind,
            role=self.role,
            parameters=self.given,
            effective_s=round(record.injected - record.sent, 6) if record else None,
            witnessed_s=round(at - record.sent, 6) if record and at else None,
            heal_s=round(record.healed - record.heal_began, 6) if record else None,
            signature=signature,
            seen=record.witness.seen if record else "",
            problems=tuple(dict.fromkeys(self.problems)),
        )

    def _knocked(self, target: Target, since: float) -> bool:
        addresses = {f"{ip}:{port}" for ip, port in target.addresses}
        return addresses <= {p.address for p in self.site.probes() if p.at > since and p.held != "none"}

    def _signature(self, target: Target, record: FaultRecord) -> dict[str, str]:
        """What a peer sees while the fault lasts: a new connection, one held open, and datagrams each way."""
        seen: dict[str, str] = {}
        if target.addresses:
            time.sleep(max(0.0, record.injected + 0.3 - time.monotonic()))
            addresses = {f"{ip}:{port}" for ip, port in target.addresses}
            probes = [p for p in self.site.probes() if p.address in addresses]
            seen["new connection"] = " or ".join(sorted({p.connect for p in probes}))
            seen["held connection"] = " or ".join(sorted({p.held for p in probes}))
        other = self.site.resolve("peer-1")
        if target.inside:  # its own addresses mean nothing to anybody but its host
            other = replace(self.site.resolve(target.inside), ips=(target.gateway,))
        reading = self._datagrams(target, other)
        for name, pair in (("to it", f"{other.name}>{target.name}"), ("from it", f"{target.name}>{other.name}")):
            seen[f"datagrams {name}"] = _words(reading, pair)
        return seen

    def _datagrams(self, a: Target, b: Target) -> Mapping[str, Any]:
        look = {
            "see": "datagrams",
            "ends": {a.name: a.end, b.name: b.end},
            "pairs": [[a.name, b.name], [b.name, a.name]],
            "count": 10,
            "every": 0.005,
            "wait": 0.3,
        }
        return self.site.keeper.witness().look({"x": look})["x"]

    def _bystanders(self) -> list[str]:
        """What is wrong between hosts that the fault has nothing to do with."""
        problems = []
        for first, second in (_PEERS, _OUTSIDE):
            a, b = self.site.resolve(first), self.site.resolve(second)
            reading = self._datagrams(a, b)
            for pair in (f"{first}>{second}", f"{second}>{first}"):
                row = (reading.get("pairs") or {}).get(pair)
                if row is None:
                    problems.append(f"{pair}: {reading.get('error')}")
                elif row["received"] < row["sent"] or statistics.median(row["delays"]) > _BYSTANDER_DELAY:
                    problems.append(f"{pair}: {_words(reading, pair)}")
        return problems

    def _traces(self, target: Target) -> Mapping[str, Sequence[str]]:
        look = {"see": "traces", "members": [m.step for m in target.members]}
        reading = self.site.keeper.witness().look({"x": look})["x"]
        if "error" in reading:
            raise AgentError(f"the traces on {target.name} could not be read: {reading['error']}")
        return dict(reading["traces"])

    def _compare(self, before: Mapping[str, Sequence[str]], target: Target) -> None:
        def differences() -> list[str]:
            after = self._traces(target)
            found = []
            for what, lines in before.items():
                now = after.get(what, ())
                found += [f"{what}: left {line}" for line in now if line not in lines]
                found += [f"{what}: missing {line}" for line in lines if line not in now]
            return found

        if not _holds(lambda: not differences(), 2.0):
            self.problems += differences()

    def _heal_again(self) -> None:
        """A heal of what is healed, by name and by its steps, changes nothing and complains of nothing."""
        opened = self.injection.open
        if opened is None:
            return
        agent = self.site.keeper.agent()
        self.problems += [f"a second heal: {p}" for p in [*agent.heal(opened.id), *agent.undo(opened.undo)]]


def _words(reading: Mapping[str, Any], pair: str) -> str:
    if "error" in reading:
        gone = "is gone" in reading["error"] or "Cannot assign" in reading["error"]
        return "it has no network" if gone else str(reading["error"])
    row = reading["pairs"][pair]
    lost = row["sent"] - row["received"]
    if not row["received"]:
        return "refused" if row["refused"] == row["sent"] else "all lost"
    return f"{statistics.median(row['delays']) * 1e3:.1f} ms" + (f", {lost} of {row['sent']} lost" if lost else "")


def _holds(condition: Callable[[], bool], limit: float) -> bool:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _await(condition: Callable[[], bool], limit: float, what: str) -> None:
    if not _holds(condition, limit):
        raise TopologyError(f"the canary: {what} after {limit:g} s")
