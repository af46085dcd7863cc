"""What the files of a topology say of what an audit looks at; nothing is started, and no image is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.compose_build import dockerfile_text
from shaketable.adapters.compose_config import EXTENSION
from shaketable.adapters.compose_model import Service, compose_model
from shaketable.adapters.compose_places import ComposePlaces
from shaketable.adapters.compose_source import shown
from shaketable.adapters.dockerfile import Base, Health, bases, health
from shaketable.adapters.engine_client import live_restore
from shaketable.adapters.nested import Nested
from shaketable.model.audit import AuditedEngine, AuditedService, AuditedTopology, Place, Setting
from shaketable.model.errors import Problem, ScenarioError, TopologyError

OWN_ENGINE: Final = "the engine"
"""What the topology's own engine is called."""
_NAMES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES: Final = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
"""What compose itself looks for in a folder, and on top of it, first things first."""
_POLICIES: Final = {"any": "always", "none": "no"}
"""Restart policies in a swarm's words, and in an engine's."""
_CONDITION: Final = ("deploy", "restart_policy", "condition")
_ENDED: Final = "service_completed_successfully"


def compose_files(topology: Path, files: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """The folder of a topology and its compose files, relative to it, as compose would take them.

    `topology` is a folder or a compose file; `files` are the folder's to take, or go on top of that file.
    """
    if topology.is_file() or topology.suffix in {".yaml", ".yml"}:
        return topology.parent, (topology.name, *files)
    if files:
        return topology, tuple(files)
    first = next((name for name in _NAMES if (topology / name).is_file()), _NAMES[0])
    override = next(((name,) for name in _OVERRIDES if (topology / name).is_file()), ())
    return topology, (first, *override)


def audited_topology(project: ComposeProject, *, ask: bool = False) -> AuditedTopology:
    """Read a topology and the inner projects of its nested hosts; `ask` its own engine too, if one answers.

    Raises ScenarioError with every problem in any file, EngineError without a compose v2.
    """
    try:
        outer = _Reading(project)
    except ScenarioError:
        project.model()  # which says what is wrong in the files of nested hosts, too
        raise
    services = list(outer.services(live_restore=False))
    engines: list[AuditedEngine] = []
    problems = list(outer.problems)
    if ask and (keeps := live_restore()) is not None:
        services = [replace(service, live_restore=keeps) for service in services]
        engines.append(AuditedEngine(OWN_ENGINE, Setting(keeps, outer.places.extension("services"))))
    for host, nested in outer.model.nested.items():
        engines.append(_nested_engine(host, nested, outer.places))
        try:
            inner = _Reading(project.inner[host])
        except ScenarioError as error:
            problems += error.problems
            continue
        services += inner.services(live_restore=engines[-1].live_restore.value)
        problems += inner.problems
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    return AuditedTopology(tuple(services), tuple(engines))


def _nested_engine(host: str, nested: Nested, places: ComposePlaces) -> AuditedEngine:
    at = partial(places.extension, EXTENSION, "nested", host)
    return AuditedEngine(
        host,
        live_restore=Setting(nested.daemon.get("live-restore") is True, at("daemon", "live-restore")),
        version=Setting(nested.engine, at("engine")),
        hold=Setting(nested.hold, at("hold")),
    )


@dataclass(frozen=True, slots=True)
class _Made:
    """What a Dockerfile takes from outside, and what it says of a health check."""

    bases: tuple[Setting[str], ...] = ()
    health: Health = ""


class _Reading:
    """What one compose project of the topology says: the outer one's, or that of a nested host. Raises ScenarioError."""

    def __init__(self, project: ComposeProject) -> None:
        self.host = project.host
        self.resolved, source = project.written()
        self.model = compose_model(self.resolved, source)
        self.places = ComposePlaces(project.folder, project.files, source)
        self.problems: list[Problem] = []
        """What keeps a Dockerfile from being read, once `services` was asked for."""

    def services(self, *, live_restore: bool) -> Iterator[AuditedService]:
        """Read every service, in the order of the files; `live_restore` is what their engine has."""
        jobs = self._jobs()
        taken = {name: self._build(one) for name, one in self.model.services.items() if one.build is not None}
        own = {one.image: taken[name] for name, one in self.model.services.items() if name in taken and one.image}
        for name in sorted(self.model.services, key=self.places.service):
            service, entry = self.model.services[name], self.resolved["services"][name]
            made = taken.get(name) or own.get(service.image)
            image = Setting(service.image, self.places.setting(name, ["image"]))
            said = _health(entry.get("healthcheck")) or (made.health if made else "")
            yield AuditedService(
                name=f"{self.host}/{name}" if self.host else name,
                restart=Setting(_restart(entry), self.places.setting(name, ["restart"], _CONDITION)),
                memory=self._limit(name, entry, "mem_limit", "memory"),
                pids=self._limit(name, entry, "pids_limit", "pids"),
                health=Setting(said, self.places.setting(name, ["healthcheck"])),
                images=taken[name].bases if name in taken else () if made else (image,),
                built=made is not None,
                stop_signal=str(entry.get("stop_signal") or ""),
                job=name in jobs,
                deployed=bool(_deployed(entry)),
                live_restore=live_restore,
            )

    def _jobs(self) -> set[str]:
        """Services that are meant to end: others wait for that, or they are declared as jobs."""
        entries: Mapping[str, Any] = self.resolved["services"]
        awaited = {
            name
            for entry in entries.values()
            for name, how in (entry.get("depends_on") or {}).items()
            if how.get("condition") == _ENDED
        }
        declared = {
            name for name, e in entries.items() if str((e.get("deploy") or {}).get("mode", "")).endswith("-job")
        }
        return awaited | declared

    def _limit(self, name: str, entry: Mapping[str, Any], key: str, resource: str) -> Setting[bool]:
        limited = any(float(value or 0) > 0 for value in (entry.get(key), _deployed(entry).get(resource)))
        return Setting(limited, self.places.setting(name, [key], ["deploy", "resources", "limits", resource]))

    def _build(self, service: Service) -> _Made:
        """What the Dockerfile of a service says."""
        build, entry = service.build, self.resolved["services"][service.name]["build"]
        assert build is not None, "only what is built has a Dockerfile"
        if not build.inline and _remote(str(entry.get("context") or "")):
            return _Made()  # its Dockerfile is not here to be read
        try:
            text = dockerfile_text(service.name, build)
        except TopologyError as error:
            at = self.places.setting(service.name, ["build"])
            self.problems.append(Problem(at.file, at.line, at.col, error.message))
            return _Made()
        contexts = entry.get("additional_contexts") or {}
        found = [base for base in bases(text, build.args) if base.image not in contexts]
        images = tuple(Setting(base.image, self._in_dockerfile(service, base)) for base in found)
        return _Made(images, health(text, build.target))

    def _in_dockerfile(self, service: Service, base: Base) -> Place:
        build = service.build
        assert build is not None, "only what is built has a Dockerfile"
        if not build.inline:
            return Place(shown(Path(os.path.normpath(build.context / build.dockerfile))), base.line, base.col)
        return self.places.in_block(service.name, ("build", "dockerfile_inline"), base.line, base.col)


def _restart(entry: Mapping[str, Any]) -> str:
    """Restart policy as the engine is given it, without how often it tries; empty if the files say nothing."""
    policy = (entry.get("deploy") or {}).get("restart_policy")
    said = str((policy or {}).get("condition") or "") if policy is not None else str(entry.get("restart") or "")
    name = said.partition(":")[0]
    return _POLICIES.get(name, name)


def _deployed(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Limits in a swarm's form."""
    return ((entry.get("deploy") or {}).get("resources") or {}).get("limits") or {}


def _health(check: Mapping[str, Any] | None) -> Health:
    test = (check or {}).get("test") or []
    if (check or {}).get("disable") or test[:1] == ["NONE"]:
        return "disabled"
    return "checked" if test else ""


def _remote(context: str) -> bool:
    return "://" in context or context.startswith(("git@", "github.com/"))
