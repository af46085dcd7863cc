"""One lane: its own copy of the topology, watched and under load, and what has been recorded of it so far."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shaketable.adapters.channel import Channel, Message
from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.configured_limits import configured_limits
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.adapters.fault_agent import Witness
from shaketable.adapters.instances import Instances
from shaketable.adapters.store import RunStore
from shaketable.checks.steady import SteadyWatch
from shaketable.faults import Probe
from shaketable.model.errors import AgentError, EngineError
from shaketable.model.history import LoadBeat, Look, LookBeat, Request
from shaketable.model.scenario import Scenario
from shaketable.run.agents import AgentKeeper
from shaketable.run.databases import Databases
from shaketable.run.running import Running, places

_LONGEST = 6 * 3600
"""The load stops by itself after this, seconds."""
_SIGNS = 20.0
"""How long the observer and the load have to begin, seconds."""
_KEEP = 400_000
"""Rows kept in memory for a trial; the store has them all."""


@dataclass(slots=True)
class Recorded:
    """Rows of the trial under way, and what was known just before it."""

    steady: SteadyWatch
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=_KEEP))
    load_beats: deque[LoadBeat] = field(default_factory=lambda: deque(maxlen=_KEEP))
    looks: deque[Look] = field(default_factory=lambda: deque(maxlen=_KEEP))
    look_beats: deque[LookBeat] = field(default_factory=lambda: deque(maxlen=_KEEP))
    probes: dict[str, Probe] = field(default_factory=dict)
    """The latest probe of each address."""
    pending: float | None = None
    """Scheduled start of the oldest arrival that has not ended, as of the last beat of the load."""
    errors: list[str] = field(default_factory=list)
    lists: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)
    """Each holder's copy of each list, as it is now."""
    at_mark: dict[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)
    changes: dict[str, float] = field(default_factory=dict)
    """When each list first differed from `at_mark` in any holder."""
    good: list[float] = field(default_factory=list)
    """End of every request since the mark that was answered well, in order of arrival here."""

    def mark(self) -> None:
        """Compare with now from now on."""
        self.at_mark, self.changes, self.good = dict(self.lists), {}, []

    def look(self, look: Look) -> None:
        """A holder's list is now this."""
        key = (look.holder, look.list)
        self.looks.append(look)
        self.lists[key] = look.entries
        if key in self.at_mark and self.at_mark[key] != look.entries:
            self.changes.setdefault(look.list, look.at)
        self.steady.look(look)

    def request(self, request: Request) -> None:
        """An arrival has ended."""
        self.requests.append(request)
        if request.ok:
            self.good.append(request.ended)
        self.steady.request(request)

    def forget_before(self, moment: float) -> None:
        """Drop rows that ended before `moment`, keeping each list's last state."""
        latest: dict[tuple[str, str], Look] = {}
        while self.looks and self.looks[0].at < moment:
            look = self.looks.popleft()
            latest[look.holder, look.list] = look
        self.looks.extendleft(sorted(latest.values(), key=lambda look: look.at, reverse=True))
        for rows in (self.load_beats, self.look_beats):
            while rows and rows[0].at < moment:
                rows.popleft()
        while self.requests and self.requests[0].ended < moment:
            self.requests.popleft()


@dataclass(frozen=True, slots=True)
class Equipment:
    """What all lanes of a run share."""

    run: str
    seed: str
    engine: DockerEngine
    keeper: AgentKeeper
    image: str
    """The helper image."""
    store: RunStore


class Lane:
    """Brings its topology up and down; everything it hears goes to the store and to `recorded`."""

    def __init__(
        self,
        number: int,
        project: ComposeProject,
        scenario: Scenario,
        locustfile: str,
        *,
        equipment: Equipment,
        logs: Path,
    ) -> None:
        self.number = number
        self.project = project
        self.scenario = scenario
        self.engine = equipment.engine
        self.keeper = equipment.keeper
        self.store = equipment.store
        self.recorded = Recorded(SteadyWatch(scenario))
        self.lock = threading.Condition()
        self.instances = Instances(self.engine, project)
        self.builds = 0
        """How often the topology was built up; more than once when a trial left it unsteady."""
        self._locustfile, self._logs = locustfile, logs
        self._image, self._run, self._seed = equipment.image, equipment.run, equipment.seed
        self._observer: Channel | None = None
        self._load: Channel | None = None
        self._beside: list[Running | Databases] = []

    @property
    def up(self) -> bool:
        """Whether the topology, its observer and its load are running."""
        return (
            self._observer is not None
            and self._load is not None
            and not self._observer.closed.is_set()
            and not self._load.closed.is_set()
            and not any(watch.lost for watch in self._beside)
        )

    def start(self, say: Callable[[str], None]) -> None:
        """Bring the topology up, then its observer and load. Raises TopologyError, EngineError, AgentError."""
        self.builds += 1
        self.recorded = Recorded(SteadyWatch(self.scenario))
        self.project.devices = self.keeper.attach(f"{self.number}-{self.builds}", self.project.model().volumes)
        self.project.up(say)
        self.instances.read()
        network = self.project.network()
        self.keeper.care(self.facts(list(self.instances.outer)))
        holders = self._look_from_beside()
        self._observer = self._tool("observe", network, self._on_observer, cpu_shares=8192)
        self._observer.send({"every": self.scenario.observers.every, "holders": holders})
        load = self.scenario.load
        self._load = self._tool("load", network, self._on_load, cpu_shares=2048)
        self._load.send(
            {
                "locustfile": self._locustfile,
                "host": load.target,
                "rate": load.rate,
                "arrivals": load.arrivals,
                "timeout": load.timeout,
                "seed": f"{self._seed}/lane-{self.number}/{self.builds}",
                "served_by": load.served_by,
                "upstreams": load.upstreams,
                "wrote": load.wrote,
                "max_seconds": _LONGEST,
            }
        )
        self._await_signs()

    def _look_from_beside(self) -> dict[str, dict[str, Any]]:
        """Begin to look at what is looked at from beside the targets; the other holders. Raises AgentError, EngineError."""
        described = self.scenario.observers.holders
        containers = {name: holder for name, holder in described.items() if holder.kind == "containers"}
        databases = {name: holder for name, holder in described.items() if holder.kind == "database"}
        if containers or databases:
            where = places(self.instances, self.project.model().places.everything, self.keeper.agent())
            told: dict[str, Any] = {"on_look": self._looked, "on_beat": self._beat}
            if containers:
                limits = configured_limits(self.project)
                witness = self._witness()
                self._beside.append(Running(containers, where, witness, configured=limits, **told))
            if databases:
                told["on_error"] = self._unreadable
                self._beside.append(Databases(databases, where, self._witness(), **told))
        return {n: h.model_dump() for n, h in described.items() if n not in containers and n not in databases}

    def _await_signs(self) -> None:
        """Wait until every holder was looked at and the load has begun. Raises TopologyError, AgentError."""
        deadline = time.monotonic() + _SIGNS
        holders = self.scenario.observers.holders
        with self.lock:
            while True:
                watched = {beat.holder for beat in self.recorded.look_beats}
                if self.recorded.load_beats and watched >= set(holders):
                    return
                errors = self.recorded.errors
                # A holder that cannot be read yet may only be late; a load that fails will fail again.
                if why := self.lost() or next((text for text in errors if text.startswith("load:")), ""):
                    raise AgentError(why)
                if time.monotonic() > deadline:
                    if errors:
                        raise AgentError(errors[0])
                    silent = [*sorted(set(holders) - watched), *([] if self.recorded.load_beats else ["the load"])]
                    raise AgentError(f"nothing was heard of {', '.join(silent)} in lane {self.number} for {_SIGNS:g} s")
                self.lock.wait(0.1)

    def _tool(self, module: str, network: str, on_message: Callable[[Message], None], *, cpu_shares: int) -> Channel:
        _, channel = self.engine.run_tool(
            name=f"st-{self._run}-{self.number}-{module}-{self.builds}",
            image=self._image,
            module=f"shaketable.agent.{module}",
            run=self._run,
            lane=str(self.number),
            network=network,
            on_message=on_message,
            cpu_shares=cpu_shares,
            cpuset=self.project.model().helpers_cpuset,
        )
        return channel

    def _witness(self) -> Witness:
        return self.keeper.another_witness(self.project.model().helpers_cpuset)

    def stop(self) -> None:
        """Save the logs and take everything down. Harmless if nothing is up."""
        for channel in (self._observer, self._load):
            if channel is not None:
                channel.drop()
        self._observer = self._load = None
        for watch in self._beside:
            watch.stop()
        self._beside = []
        with contextlib.suppress(EngineError):
            self._save_logs()
        self.project.down()
        self.engine.remove_run(self._run, lane=str(self.number))
        self.keeper.detach(f"{self.number}-{self.builds}")
        self.project.devices = {}
        self.instances = Instances(self.engine, self.project)

    def _save_logs(self) -> None:
        folder = self._logs / f"lane-{self.number}"
        for name, container in self.instances.ids.items():
            with contextlib.suppress(EngineError):  # that of a nested host may be gone, the others' logs are not
                if text := self.instances.engine_of(container).logs(container):
                    file = folder / f"{name}.log"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    with file.open("ab") as out:
                        out.write(text)

    def facts(self, services: Sequence[str]) -> list[ContainerFacts]:
        """What the engines say of the instances of these services now. Raises EngineError, TopologyError."""
        return self.instances.facts(services)

    def engine_of(self, container: str) -> DockerEngine:
        """The engine that a container is of: the topology's, or that of a nested host. Raises EngineError."""
        return self.instances.engine_of(container)

    def probe(self, addresses: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Let a peer in the topology's network knock at these targets' addresses until told otherwise."""
        fresh = {f"{ip}:{port}" for mine in addresses.values() for ip, port in mine}
        with self.lock:
            self.recorded.probes = {a: p for a, p in self.recorded.probes.items() if a not in fresh}
        self._tell({"probe": {target: [list(a) for a in mine] for target, mine in addresses.items()}})

    def stop_probing(self, targets: Sequence[str]) -> None:
        """End what `probe` began for these targets."""
        self._tell({"unprobe": list(targets)})

    def probes(self) -> list[Probe]:
        """The latest probe of each address."""
        with self.lock:
            return list(self.recorded.probes.values())

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Write down what happened in this lane."""
        self.store.event(kind, at, fsync=fsync, lane=self.number, **fields)

    def mark(self) -> None:
        """What is so now is what `changed` and `answered` compare with: steady state has held."""
        with self.lock:
            self.recorded.mark()

    def changed(self, name: str) -> float | None:
        """When a holder's copy of a list first differed from what it was at the mark; None if none has."""
        with self.lock:
            return self.recorded.changes.get(name)

    def answered(self, count: int) -> float | None:
        """When the count-th request since the mark was answered well; None if there were fewer."""
        with self.lock:
            return self.recorded.good[count - 1] if len(self.recorded.good) >= count else None

    def _tell(self, message: Message) -> None:
        if self._observer is None:
            raise AgentError(f"the observer of lane {self.number} is not running")
        self._observer.send(message)

    def lost(self) -> str:
        """Why nothing more will be recorded, or an empty string."""
        for what, channel in (("observer", self._observer), ("load", self._load)):
            if channel is None or channel.closed.is_set():
                words = f": {channel.last_words}" if channel is not None and channel.last_words else ""
                return f"the {what} of lane {self.number} is gone{words}"
        for watch in self._beside:
            if watch.lost:
                what = "what runs" if isinstance(watch, Running) else "the databases"
                return f"the witness that watches {what} in lane {self.number} is gone"
        return ""

    def settled(self, moment: float) -> bool:
        """Whether everything that was due up to `moment` has been heard of."""
        with self.lock:
            load = self.recorded.load_beats[-1].at if self.recorded.load_beats else 0.0
            beats = {beat.holder: beat.at for beat in self.recorded.look_beats}
            pending = self.recorded.pending
        watched = all(beats.get(holder, 0.0) >= moment for holder in self.scenario.observers.holders)
        return watched and load >= moment and (pending is None or pending > moment)

    def _on_observer(self, message: Message) -> None:
        if "look" in message:
            at, holder, name, entries = message["look"]
            self._looked(Look(at, holder, name, None if entries is None else tuple(entries)))
        elif "beat" in message:
            self._beat(LookBeat(*message["beat"]))
        elif "probe" in message:
            at, target, address, connect, held = message["probe"]
            with self.lock:
                self.recorded.probes[address] = Probe(at, address, connect, held)
            self.store.event("probe", at, lane=self.number, target=target, address=address, connect=connect, held=held)
        else:
            self._other("observer", message)

    def _looked(self, look: Look) -> None:
        with self.lock:
            self.recorded.look(look)
            self.lock.notify_all()
        self.store.look(self.number, look)

    def _unreadable(self, why: str) -> None:
        self._other("database", {"error": why})

    def _beat(self, beat: LookBeat) -> None:
        with self.lock:
            self.recorded.look_beats.append(beat)
        self.store.look_beat(self.number, beat)

    def _on_load(self, message: Message) -> None:
        if "request" in message:
            request = Request.from_row(message["request"])
            with self.lock:
                self.recorded.request(request)
            self.store.request(self.number, request)
        elif "load" in message:
            at, planned, not_started, pending = message["load"]
            beat = LoadBeat(at, planned, not_started)
            with self.lock:
                self.recorded.load_beats.append(beat)
                self.recorded.pending = pending
            self.store.load_beat(self.number, beat)
        else:
            self._other("load", message)

    def _other(self, what: str, message: Message) -> None:
        if "cpu" in message:
            at, seconds = message["cpu"]
            self.store.event("cpu", at, lane=self.number, tool=what, seconds=seconds)
        elif "error" in message:
            with self.lock:
                self.recorded.errors.append(f"{what}: {message['error']}")
            self.store.event("tool-error", 0.0, lane=self.number, tool=what, message=message["error"])
