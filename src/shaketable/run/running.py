"""What runs in a lane, watched by the kernel's word: holders of the kind `containers`, looked at from beside the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shaketable.adapters.docker_engine import NESTED_LABEL
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.instances import Instances
from shaketable.model.errors import AgentError
from shaketable.model.history import Look, LookBeat
from shaketable.model.kernel import LimitName
from shaketable.model.scenario import Holder
from shaketable.run.beside import Beside, Values
from shaketable.run.limit_use import LimitUse
from shaketable.run.rates import Rates


@dataclass(frozen=True, slots=True)
class Places:
    """Where containers are found: cgroups by entry, those of nested hosts, and entries by the ids of what runs inside."""

    containers: Mapping[str, str]
    hosts: Mapping[str, str]
    inside: Mapping[str, str]
    named: Mapping[str, str] = field(default_factory=dict)
    """Cgroups by the instance's own name, its service's, of what does not run in a nested host."""

    def of(self, instance: str) -> Mapping[str, str]:
        """Where a witness finds an instance or nested host, in this life and the next. Raises AgentError when it is nowhere."""
        if cgroup := self.named.get(instance) or self.containers.get(instance) or self.hosts.get(instance):
            return {"cgroup": cgroup}
        host = instance.partition("/")[0]
        container = next((identity for identity, name in self.inside.items() if name == instance), None)
        if container is None or host not in self.hosts:
            known = ", ".join(sorted({*self.named, *self.hosts, *self.inside.values()}))
            raise AgentError(f"{instance} cannot be looked at: it does not run; what does: {known}")
        return {"cgroup": self.hosts[host], "container": container}

    @property
    def everything(self) -> Mapping[str, Mapping[str, str]]:
        """Where each instance and nested host is, by the name that entries have."""
        inside = {name: self.of(name) for name in self.inside.values()}
        return {name: {"cgroup": cgroup} for name, cgroup in {**self.containers, **self.hosts}.items()} | inside

    def entry(self, instance: str) -> str:
        """What an instance or nested host is called in entries."""
        cgroup = self.named.get(instance)
        return next((name for name, other in self.containers.items() if other == cgroup), instance)


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
        {name: cgroup for name, cgroup in cgroups.items() if name not in nested},
    )


def _shown(host: str, service: str, services: Sequence[str]) -> str:
    return service if list(services) == [host] else f"{host}/{service}"


class Running:
    """Looks at what runs, and what the kernel counts of it, until it is stopped."""

    def __init__(
        self,
        holders: Mapping[str, Holder],
        where: Places,
        witness: Witness,
        *,
        configured: Mapping[str, Mapping[LimitName, float]],
        on_look: Callable[[Look], None],
        on_beat: Callable[[LookBeat], None],
    ) -> None:
        self._holders, self._where = holders, where
        self._rates = Rates()
        words, limited = _words(holders)
        self._limits = {name: LimitUse(name, configured.get(name, {})) for name in limited}
        counted = {name: {**where.of(name), "words": sorted(words[name])} for name in sorted(words)}
        self._looks: dict[str, Mapping[str, object]] = {
            "x": {"see": "running", "containers": dict(where.containers), "hosts": dict(where.hosts)},
            **({"g": {"see": "gauges", "instances": counted}} if counted else {}),
            **({"e": {"see": "ends", "instances": dict(where.everything)}} if _asked(holders, "ends") else {}),
        }
        every = min(holder.pace or 0.0 for holder in holders.values())
        self._watch = Beside(list(holders), every, witness, self._take, on_look=on_look, on_beat=on_beat)

    def stop(self) -> None:
        """Look no more."""
        self._watch.stop()

    @property
    def lost(self) -> bool:
        """Whether the witness that looks is gone, or gives no answer any more."""
        return self._watch.lost

    def _take(self, witness: Witness) -> tuple[float, Values]:
        seen = witness.look(self._looks)
        running = seen["x"]
        lists: dict[str, tuple[str, ...] | None] = {}
        lists |= {} if "error" in running else entries(running, self._where.inside)
        if "e" in seen and "error" not in seen["e"]:
            lists |= self._ends(seen["e"]["ends"])
        counted = seen.get("g", {})
        at, rows = float(counted.get("at", 0.0)), counted.get("counters", {})
        gauges = self._rates.gauges(at, rows)
        for name, use in self._limits.items() if rows else ():
            use.take(at, rows[name], self._rates.cpus.get(name))
            lists |= {f"limits {name}": use.entries()}
        found: dict[tuple[str, str], tuple[str, ...] | None] = {}
        for holder, described in self._holders.items():
            found |= {(holder, name): lists.get(what) for name, what in described.lists.items()}
            found |= {(holder, name): gauges.get(what) for name, what in described.gauges.items()}
        return float(running["at"]), found

    def _ends(self, told: Sequence[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
        """Lists `ends` of these ends, each with its instance's name; those of a nested host are also of what runs in it.

        One of no instance says that some were lost, and whoever reads the list has to know.
        """
        found = {"ends": tuple(text for _, text in told)}
        for what in _asked(self._holders, "ends"):
            if instance := what.partition(" ")[2]:
                name = self._where.entry(instance)
                found[what] = tuple(text for of, text in told if of in ("", name) or of.startswith(f"{name}/"))
        return found


def _asked(holders: Mapping[str, Holder], word: str) -> list[str]:
    """Lists that are asked for by this word, alone or with an instance."""
    return sorted({what for one in holders.values() for what in one.lists.values() if what.partition(" ")[0] == word})


def _words(holders: Mapping[str, Holder]) -> tuple[dict[str, set[str]], list[str]]:
    """What is counted of each instance that gauges or lists are about; and the instances of `limits` lists."""
    counted: dict[str, set[str]] = {}
    limited = set()
    for holder in holders.values():
        for what in holder.gauges.values():
            word, _, instance = what.partition(" ")
            counted.setdefault(instance, set()).add(word)
        for what in holder.lists.values():
            word, _, instance = what.partition(" ")
            if word == "limits":
                limited.add(instance)
                counted.setdefault(instance, set()).update({"limits", "files", "disk"})
    return counted, sorted(limited)


def entries(seen: Mapping[str, Mapping[str, object]], inside: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """A reading as the lists `names` and `starts`. Of a nested host what runs in it is listed, and not itself.

    What its engine was never asked about is called by the beginning of its id.
    """
    lives: dict[str, object] = {**seen["running"]}
    for host, found in seen["inside"].items():
        assert isinstance(found, Mapping), "container ids to seconds"
        lives |= {inside.get(container, f"{host}/{container[:12]}"): since for container, since in found.items()}
    return {"names": tuple(sorted(lives)), "starts": tuple(f"{name} {lives[name]:.2f}" for name in sorted(lives))}
