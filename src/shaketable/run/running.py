"""What runs in a lane, watched by the kernel's word: holders of the kind `containers`, looked at from beside the targets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shaketable.adapters.docker_engine import NESTED_LABEL
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.instances import Instances
from shaketable.model.errors import AgentError
from shaketable.model.history import Look, LookBeat
from shaketable.model.scenario import Holder

EVERY = 0.1
"""Seconds between two looks, unless the holder says otherwise."""
_BEAT = 0.2


@dataclass(frozen=True, slots=True)
class Places:
    """Where containers are found: cgroups by entry, those of nested hosts, and entries by the ids of what runs inside."""

    containers: Mapping[str, str]
    hosts: Mapping[str, str]
    inside: Mapping[str, str]


def places(instances: Instances, hosts: Mapping[str, Sequence[str]], agent: FaultAgent) -> Places:
    """Find where the containers of a topology that is up are. Raises AgentError, EngineError, TopologyError."""
    shown = {service: _shown(host, service, services) for host, services in hosts.items() for service in services}
    facts = {name: instances.facts([name])[0] for name in instances.outer}
    nested = {name for name, one in facts.items() if NESTED_LABEL in one.labels}
    cgroups = agent.cgroups({name: one.pid for name, one in facts.items() if one.running})
    return Places(
        {shown.get(name, name): cgroup for name, cgroup in cgroups.items() if name not in nested},
        {name: cgroup for name, cgroup in cgroups.items() if name in nested},
        {container: name for name, container in instances.inner.items()},
    )


def _shown(host: str, service: str, services: Sequence[str]) -> str:
    return service if list(services) == [host] else f"{host}/{service}"


class Running:
    """A thread that looks until it is stopped, and says what it sees as any observer does."""

    def __init__(
        self,
        holders: Mapping[str, Holder],
        where: Places,
        witness: Witness,
        *,
        on_look: Callable[[Look], None],
        on_beat: Callable[[LookBeat], None],
    ) -> None:
        self._holders, self._where, self._witness = holders, where, witness
        self._on_look, self._on_beat = on_look, on_beat
        self._known: dict[tuple[str, str], tuple[str, ...] | None] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="running", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()
        self._witness.leave()

    @property
    def lost(self) -> bool:
        """Whether the witness that looks is gone, or gives no answer any more."""
        return (self._witness.lost or not self._thread.is_alive()) and not self._stop.is_set()

    def _watch(self) -> None:
        every = min((h.every for h in self._holders.values() if h.every), default=EVERY)
        wait, looks, gap = 0.0, 0, 0.0
        last: float | None = None
        beat = 0.0
        while not self._stop.wait(wait):
            try:
                seen = self._witness.look({"x": self._look})["x"]
            except AgentError:
                return
            wait = every  # from the answer on: the time in it is that of the engine's machine, which may be another one
            at = float(seen["at"])
            self._tell(at, None if "error" in seen else self._lists(seen))
            if last is None:
                last = beat = at
            looks, gap, last = looks + 1, max(gap, at - last), at
            if at - beat >= _BEAT:
                for name in self._holders:
                    self._on_beat(LookBeat(at, name, looks, round(gap, 6)))
                looks, gap, beat = 0, 0.0, at

    @property
    def _look(self) -> Mapping[str, object]:
        return {"see": "running", "containers": dict(self._where.containers), "hosts": dict(self._where.hosts)}

    def _lists(self, seen: Mapping[str, Mapping[str, object]]) -> Mapping[str, tuple[str, ...]]:
        return entries(seen, self._where.inside)

    def _tell(self, at: float, lists: Mapping[str, tuple[str, ...]] | None) -> None:
        for holder, described in self._holders.items():
            for name, what in described.lists.items():
                found = None if lists is None else lists[what]
                if (holder, name) not in self._known or self._known[holder, name] != found:
                    self._known[holder, name] = found
                    self._on_look(Look(round(at, 6), holder, name, found))


def entries(seen: Mapping[str, Mapping[str, object]], inside: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """A reading as the lists `names` and `starts`. Of a nested host what runs in it is listed, and not itself.

    What its engine was never asked about is called by the beginning of its id.
    """
    lives: dict[str, object] = {**seen["running"]}
    for host, found in seen["inside"].items():
        assert isinstance(found, Mapping), "container ids to seconds"
        lives |= {inside.get(container, f"{host}/{container[:12]}"): since for container, since in found.items()}
    return {"names": tuple(sorted(lives)), "starts": tuple(f"{name} {lives[name]:.2f}" for name in sorted(lives))}
