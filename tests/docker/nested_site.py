"""A topology with nested hosts, up for a module's tests: faults are injected on it as a trial would."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.docker_engine import ContainerFacts, DockerEngine
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.instances import Instances
from shaketable.faults import CATALOGUE, Probe
from shaketable.model.units import FROM_TEXT
from shaketable.run.agents import AgentKeeper
from shaketable.run.injection import Injection, Order
from shaketable.run.session import new_run, session

TOPOLOGY = Path(__file__).parent / "nested"


class NestedSite:
    """Where faults are injected; nobody knocks here, since the faults tried here are seen otherwise."""

    def __init__(self, project: ComposeProject, engine: DockerEngine, keeper: AgentKeeper) -> None:
        self.project, self.keeper = project, keeper
        self.instances = Instances(engine, project)
        self.instances.read()
        self.hosts = project.model().places.everything

    def engine_of(self, container: str) -> DockerEngine:
        """The engine that a container is of."""
        return self.instances.engine_of(container)

    def facts(self, services: Sequence[str]) -> list[ContainerFacts]:
        """What the engines say of these instances now."""
        return self.instances.facts(services)

    def probe(self, addresses: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Nobody knocks."""

    def stop_probing(self, targets: Sequence[str]) -> None:
        """Nobody knocks."""

    def probes(self) -> list[Probe]:
        """Nobody has knocked."""
        return []

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Nobody listens."""

    def engine(self, host: str) -> DockerEngine:
        """The engine of a nested host."""
        return self.project.engines.engine(host)

    def states(self, host: str) -> dict[str, ContainerFacts]:
        """What a nested host's engine says of its containers, by service."""
        names = [name for name in self.instances.inner if name.startswith(f"{host}/")]
        return {name.partition("/")[2]: facts for name, facts in zip(names, self.facts(names), strict=True)}

    def lives(self, host: str) -> Mapping[str, float]:
        """When the first process of each container that runs on a host began, by service and the kernel's word."""
        cgroups = self.keeper.agent().cgroups({host: self.facts([host])[0].pid})
        look = {"see": "running", "containers": {}, "hosts": cgroups}
        found = self.keeper.witness().look({"x": look})["x"]["inside"][host]
        names = {identity: name for name, identity in self.instances.inner.items()}
        return {names[identity].partition("/")[2]: since for identity, since in found.items()}

    def inject(self, kind: str, target: str, **parameters: Any) -> Injection:
        """Inject a fault and wait until it is witnessed."""
        fault = CATALOGUE[kind]
        params = fault.params.model_validate(parameters, context=dict(FROM_TEXT))
        name = f"{self.project.name}-{time.monotonic_ns()}"
        injection = Injection(
            self, Order(name, kind, fault, params, self.hosts, {target: self.hosts[target]}), time.monotonic
        )
        injection.prepare()
        injection.inject()
        await_that(injection.witnessed, 40.0, lambda: injection.record and injection.record.witness.seen)
        return injection

    def begin_again(self) -> None:
        """Everything runs on every host as in the beginning."""
        self.project.nested_up()
        everything = {name.partition("/")[2] for name in self.instances.inner}
        for host in self.project.inner:
            await_that(
                partial(self._complete, host, everything), 30.0, partial("not everything runs on {}".format, host)
            )

    def _complete(self, host: str, everything: set[str]) -> bool:
        return set(self.lives(host)) == everything

    def answers(self, port: int, host: str) -> bool:
        """Whether a peer in the topology's network gets an answer from a host."""
        words = ["python3", "-c", f"import socket; socket.create_connection(('{host}', {port}), 2).close()"]
        peer = self.instances.outer["peer"]
        return subprocess.run(["docker", "exec", peer, *words], capture_output=True, check=False).returncode == 0


def await_that(condition: Any, limit: float, what: Any) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


@contextmanager
def nested_site(topology: Path = TOPOLOGY) -> Iterator[NestedSite]:
    """Bring a topology up for a block, and leave nothing of it."""
    engine = DockerEngine()
    image = ensure_tools_image(print)
    with session(new_run(), engine, image, print) as live:
        project = ComposeProject(topology, ["compose.yaml"], f"st-{live.run}-{topology.name}", live.run, "1")
        project.up(print)
        site = NestedSite(project, engine, live.keeper)
        live.keeper.care(site.facts(list(site.instances.outer)))
        yield site
        project.down()
        residue = live.close()
    engine.close()
    assert residue == []
