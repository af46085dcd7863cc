"""Keeps one living fault agent for a run, and the list of faults that are open, in memory and in the journal.

When the agent vanishes while faults are open, a new one is started at once and undoes them from the journal's words.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shaketable.adapters.channel import Message
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.journal import Journal, OpenFault
from shaketable.model.errors import AgentError, EngineError


class AgentKeeper:
    """`agent()` is always a living agent, or an error."""

    def __init__(
        self, engine: DockerEngine, image: str, journal: Journal, on_event: Callable[[Message], None] = lambda _: None
    ) -> None:
        self._engine, self._image, self._journal, self._listener = engine, image, journal, on_event
        self._lock = threading.RLock()
        self._open: dict[str, OpenFault] = {}
        self._cared: list[ContainerFacts] = []
        self._disks: dict[str, list[str]] = {}
        self._leaving = False
        self._killed: dict[str, tuple[str, ...]] = {}
        self.replaced = 0
        self._witness: Witness | None = None
        self._agent = self._start()

    def _start(self) -> FaultAgent:
        agent = FaultAgent(self._engine, self._image, self._journal.run, self._on_event)
        threading.Thread(target=self._watch, args=(agent,), name="agent-watch", daemon=True).start()
        return agent

    def _on_event(self, message: Message) -> None:
        if message.get("event") == "stopped":
            self._killed[message["fault"]] = tuple(message["killed"])
        self._listener(message)

    def killed_after_grace(self, fault: str) -> tuple[str, ...]:
        """Instances that a `stop` had to kill because they did not say goodbye in time."""
        return self._killed.get(fault, ())

    def _watch(self, agent: FaultAgent) -> None:
        agent.lost.wait()
        if not self._leaving:
            try:
                self.agent()
            except (AgentError, EngineError) as error:
                self._on_event({"event": "agent-not-replaced", "why": str(error)})

    def agent(self) -> FaultAgent:
        """The living agent; a lost one is replaced first, and every open fault undone. Raises AgentError, EngineError."""
        with self._lock:
            if self._agent.lost.is_set():
                self._agent = self._start()
                self.replaced += 1
                last_first = reversed(self._open.values())
                problems = [text for fault in last_first for text in self._agent.undo(fault.undo)]
                self._agent.care([self._engine.inspect(c.id) for c in self._cared])
                self._on_event({"event": "agent-replaced", "undone": list(self._open), "problems": problems})
            return self._agent

    def witness(self) -> Witness:
        """The living witness, started when first asked for. Raises AgentError, EngineError."""
        with self._lock:
            if self._witness is None or self._witness.lost:
                self._witness = Witness(self._engine, self._image, self._journal.run)
            return self._witness

    def another_witness(self, cpuset: str = "") -> Witness:
        """A witness of the caller's own, whose looks wait for no others, on these CPUs. Raises AgentError, EngineError."""
        return Witness(self._engine, self._image, self._journal.run, cpuset)

    def care(self, containers: Sequence[ContainerFacts]) -> None:
        """Containers to end should the harness vanish."""
        with self._lock:
            self._cared += containers
            self._agent.care(containers)

    def forget(self, containers: Sequence[ContainerFacts]) -> None:
        """Containers that are gone on purpose."""
        ids = {c.id for c in containers}
        with self._lock:
            self._cared = [c for c in self._cared if c.id not in ids]

    def attach(self, owner: str, volumes: Mapping[str, int]) -> dict[str, str]:
        """Make a disk for each volume; their devices, as `/dev/loop3`. In the journal first. Raises AgentError."""
        names = {f"st-{self._journal.run}-{owner}-{volume}": volume for volume in volumes}
        if not names:
            return {}
        self._disks[owner] = list(names)
        undo: list[dict[str, Any]] = [{"do": "no-disk", "name": name} for name in names]
        self._journal.opened(OpenFault(f"disks-{owner}", "disk", owner, undo))
        devices = self.agent().attach({name: volumes[volume] for name, volume in names.items()})
        return {names[name]: f"/dev/{device}" for name, device in devices.items()}

    def detach(self, owner: str) -> None:
        """Take an owner's disks away, at once or when nobody uses them any more. Raises AgentError."""
        names = self._disks.pop(owner, [])
        if names and not self.agent().detach(names):
            self._journal.closed(f"disks-{owner}")

    def open(self, fault: OpenFault) -> None:
        """Write a fault down before it is injected."""
        self._journal.opened(fault)
        with self._lock:
            self._open[fault.id] = fault

    def undo(self, fault: OpenFault) -> list[str]:
        """Undo the kernel's side of a fault, by the agent that holds it or by a new one; the problems, if any.

        It is closed in the journal at once: what runs again afterwards must never be taken for what was to be ended.
        """
        try:
            problems = self.agent().heal(fault.id)
        except AgentError:
            problems = self.agent().undo(fault.undo)
        with self._lock:
            self._open.pop(fault.id, None)
        if not problems:
            self._journal.closed(fault.id)
        return problems

    def leave(self) -> None:
        """Say goodbye to the agent."""
        self._leaving = True
        with contextlib.suppress(AgentError, EngineError):  # whoever cleans up after us has the journal
            for owner in list(self._disks):
                self.detach(owner)
        if self._witness is not None:
            self._witness.leave()
        self._agent.leave()
