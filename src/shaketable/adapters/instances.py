"""Every container of a topology that is up, those in its nested hosts too: its id, whose engine it is of, its facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.model.errors import TopologyError

_SERVICE = "com.docker.compose.service"


class Instances:
    """Names are a service's, or `host/service` of what runs in a nested host."""

    def __init__(self, engine: DockerEngine, project: ComposeProject) -> None:
        self._engine, self._project = engine, project
        self.outer: dict[str, str] = {}
        """Container id by name, of the topology's own engine."""
        self.inner: dict[str, str] = {}
        """Container id by name, of the nested hosts' engines."""
        self._host_of: dict[str, str] = {}

    def read(self) -> None:
        """Ask all engines anew. Raises EngineError."""
        self.outer = dict(self._project.containers())
        self.inner, self._host_of = {}, {}
        for host in self._project.inner:
            for facts in self._project.engines.engine(host).of_run(self._project.run):
                name = f"{host}/{facts.labels.get(_SERVICE, facts.name)}"
                self.inner[name], self._host_of[facts.id] = facts.id, host

    @property
    def ids(self) -> Mapping[str, str]:
        """Container id by name."""
        return {**self.outer, **self.inner}

    def engine_of(self, container: str) -> DockerEngine:
        """The engine that a container is of. Raises EngineError when it is a nested host's and does not answer."""
        host = self._host_of.get(container)
        return self._engine if host is None else self._project.engines.engine(host)

    def facts(self, names: Sequence[str]) -> list[ContainerFacts]:
        """What the engines say of these instances now. Raises EngineError, TopologyError."""
        if missing := [name for name in names if name not in self.outer and name not in self.inner]:
            raise TopologyError(f"no container of {', '.join(missing)} exists in {self._project.name}")
        return [self._facts(name) for name in names]

    def _facts(self, name: str) -> ContainerFacts:
        if name in self.outer:
            return self._engine.inspect(self.outer[name])
        host, _, service = name.partition("/")
        around = self._engine.inspect(self.outer[host])
        if not around.running:  # without it a pid of its engine's would mean some process of the machine itself
            raise TopologyError(f"{name} cannot be looked at: its host {host} is not running")
        facts = self.engine_of(self.inner[name]).inspect(self.inner[name])
        return replace(facts, name=f"{around.name}/{service}", within=around.pid, host_addresses=around.addresses)
