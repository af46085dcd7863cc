"""A topology as compose resolved it, as frozen data, with its hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shaketable.adapters.compose_config import EXTENSION
from shaketable.adapters.compose_source import ComposeSource, nearest
from shaketable.adapters.host_limits import cpu_list
from shaketable.adapters.nested import Nested, check_nested, data_volume, read_nested
from shaketable.model.errors import Problem, ScenarioError
from shaketable.model.units import parse_size
from shaketable.ports import Places

_KEYS = ["helpers", "hosts", "nested", "volumes"]
_SMALLEST, _LARGEST = 8 << 20, 64 << 30
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Build:
    """How a service's image is built. `dockerfile` is relative to `context`; `inline` is its text if compose has it."""

    context: Path
    dockerfile: str
    args: Mapping[str, str]
    target: str | None = None
    inline: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One service. `image` is empty where only `build` is given; `network_mode` is empty for ordinary networks."""

    name: str
    image: str
    build: Build | None
    network_mode: str
    restart: str
    ports: tuple[str, ...]

    @property
    def joins(self) -> str:
        """Name of the service whose network namespace this one uses; empty if it has its own."""
        return self.network_mode.removeprefix("service:") if self.network_mode.startswith("service:") else ""


@dataclass(frozen=True, slots=True)
class ComposeModel:
    """Services by name, names of networks, and hosts: failure domains with the services that share their fate."""

    services: Mapping[str, Service]
    networks: tuple[str, ...]
    hosts: Mapping[str, tuple[str, ...]]
    volumes: Mapping[str, int] = field(default_factory=dict)
    """Volumes that are to be disks of their own, and their sizes in bytes."""
    nested: Mapping[str, Nested] = field(default_factory=dict)
    """Hosts with an engine of their own, by name; each is one of `hosts`, with itself as its only container."""
    helpers_cpuset: str = ""
    """CPUs of what loads and observes it, as `0-1,3`; empty for any."""

    @property
    def places(self) -> Places:
        """The hosts, and every container that is in none of them, grouped by network namespace.

        What runs in a nested host is called `host/service`, and is named only.
        """
        grouped = {service for members in self.hosts.values() for service in members}
        rest = {name: service for name, service in self.services.items() if name not in grouped}
        others = {n: m for n, m in _by_namespace(rest).items() if n not in self.hosts}
        inside = [f"{host}/{service}" for host, nested in self.nested.items() for service in nested.services]
        return Places(self.hosts, {**others, **{name: (name,) for name in inside}})


def compose_model(resolved: Mapping[str, Any], source: ComposeSource) -> ComposeModel:
    """Read what `docker compose config --format json` gave. Raises ScenarioError with every problem of our own keys."""
    services = {name: _service(name, entry) for name, entry in (resolved.get("services") or {}).items()}
    problems = list(_check_extension(resolved, services, source)) if EXTENSION in resolved else []
    if problems:
        raise ScenarioError(problems)
    ours = resolved.get(EXTENSION) or {}
    nested = nested_hosts(resolved)
    if not services and not nested:
        raise ScenarioError([source.problem("there are no services", "services")])
    declared = ours.get("hosts")
    volumes = {name: int(parse_size(size)) for name, size in (ours.get("volumes") or {}).items()}
    hosts = {name: tuple(members) for name, members in declared.items()} if declared else _by_namespace(services)
    hosts |= {name: (name,) for name in nested}
    helpers = ours.get("helpers")
    cpus = cpu_list(helpers["cpuset"]) if helpers else ""
    return ComposeModel(services, tuple(resolved.get("networks") or {}), hosts, volumes, nested, cpus)


def nested_hosts(resolved: Mapping[str, Any]) -> dict[str, Nested]:
    """The nested hosts as far as they can be read, whatever else is wrong with the document."""
    ours = resolved.get(EXTENSION)
    return read_nested(ours.get("nested")) if isinstance(ours, Mapping) else {}


def _service(name: str, entry: Mapping[str, Any]) -> Service:
    build = entry.get("build")
    ports = entry.get("ports") or []
    return Service(
        name=name,
        image=str(entry.get("image") or ""),
        build=None if build is None else _build(build),
        network_mode=str(entry.get("network_mode") or ""),
        restart=str(entry.get("restart") or "no"),
        ports=tuple(f"{port.get('published', '')}:{port.get('target', '')}" for port in ports),
    )


def _build(entry: Mapping[str, Any]) -> Build:
    args = {
        str(key): "" if value is None else str(value).replace("$$", "$")
        for key, value in (entry.get("args") or {}).items()
    }
    return Build(
        context=Path(entry.get("context") or "."),
        dockerfile=str(entry.get("dockerfile") or "Dockerfile"),
        args=args,
        target=entry.get("target"),
        inline=str(entry.get("dockerfile_inline") or ""),
    )


def _by_namespace(services: Mapping[str, Service]) -> dict[str, tuple[str, ...]]:
    """Services that share a network namespace are one host, named after the service that brings the namespace."""
    hosts: dict[str, list[str]] = {}
    for name, service in services.items():
        hosts.setdefault(_namespace(service, services), []).append(name)
    return {
        name: tuple(sorted(members, key=lambda member: (member != name, member))) for name, members in hosts.items()
    }


def _namespace(service: Service, services: Mapping[str, Service]) -> str:
    """Name of the service that brings the network namespace `service` lives in."""
    seen = {service.name}
    while service.joins in services and service.joins not in seen:
        seen.add(service.joins)
        service = services[service.joins]
    return service.name


def _check_extension(
    resolved: Mapping[str, Any], services: Mapping[str, Service], source: ComposeSource
) -> Iterator[Problem]:
    value = resolved[EXTENSION]
    if not isinstance(value, Mapping):
        yield source.problem(f"{EXTENSION} must be a mapping with the keys {', '.join(_KEYS)}", EXTENSION)
        return
    for key in value:
        if key not in _KEYS:
            yield source.problem(f"{EXTENSION}: unknown key {key!r}{nearest(key, _KEYS)}", EXTENSION, key)
    if "helpers" in value:
        yield from _check_helpers(value["helpers"], source)
    if "hosts" in value:
        yield from _check_hosts(value["hosts"], services, source)
    if "nested" in value:
        grouped = value.get("hosts")
        hosts = dict.fromkeys(grouped, "host of x-shaketable.hosts") if isinstance(grouped, Mapping) else {}
        yield from check_nested(value["nested"], {**hosts, **dict.fromkeys(services, "service")}, source)
    if "volumes" in value:
        nested = value.get("nested")
        engines: dict[str, Any] = {data_volume(host): {} for host in nested} if isinstance(nested, Mapping) else {}
        yield from _check_volumes(value["volumes"], {**(resolved.get("volumes") or {}), **engines}, source)


def _check_helpers(value: object, source: ComposeSource) -> Iterator[Problem]:
    place = (EXTENSION, "helpers")
    if not isinstance(value, Mapping) or list(value) != ["cpuset"]:
        message = f"{EXTENSION}.helpers must be the CPUs of what loads and observes the topology, as {{cpuset: '1'}}"
        yield source.problem(message, *place)
        return
    try:
        cpu_list(value["cpuset"])
    except ValueError as error:
        yield source.problem(f"{EXTENSION}.helpers.cpuset: {error}", *place, "cpuset")


def _check_volumes(wanted: object, declared: Mapping[str, Any], source: ComposeSource) -> Iterator[Problem]:
    place = (EXTENSION, "volumes")
    if not isinstance(wanted, Mapping) or not wanted:
        yield source.problem(f"{EXTENSION}.volumes must map the name of each volume to its size, as '256 MiB'", *place)
        return
    for name, size in wanted.items():
        entry = declared.get(name)
        if name not in declared:
            message = f"there is no volume {name!r} that a service uses{nearest(name, list(declared))}"
            yield source.problem(message, *place, name)
        elif entry and (entry.get("external") or entry.get("driver_opts") or entry.get("driver", "local") != "local"):
            message = f"the volume {name!r} has a driver of its own or is external; only a plain one can be a disk"
            yield source.problem(message, *place, name)
        try:
            if not _SMALLEST <= parse_size(size) <= _LARGEST:
                yield source.problem(f"the size of {name!r} must be between 8 MiB and 64 GiB", *place, name)
        except ValueError as error:
            yield source.problem(f"the size of {name!r}: {error}", *place, name)


def _check_hosts(hosts: object, services: Mapping[str, Service], source: ComposeSource) -> Iterator[Problem]:
    if not isinstance(hosts, Mapping) or not hosts:
        yield source.problem(f"{EXTENSION}.hosts must map each host's name to a list of services", EXTENSION, "hosts")
        return
    owner: dict[str, str] = {}
    for host, members in hosts.items():
        yield from _check_host(host, members, services, owner, source)
    for name, host in owner.items():
        brings = _namespace(services[name], services)
        if brings != name and owner.get(brings) != host:
            state = f"which is in host {owner[brings]!r}" if brings in owner else "which is in no host"
            message = (
                f"{name!r} shares the network namespace of {brings!r}, {state}; both share one fate: put both in one"
            )
            yield source.problem(message, EXTENSION, "hosts", host, name)


def _check_host(
    host: str, members: object, services: Mapping[str, Service], owner: dict[str, str], source: ComposeSource
) -> Iterator[Problem]:
    """Check one host; `owner` (host by service) is added to."""
    place = (EXTENSION, "hosts", host)
    if not _NAME.fullmatch(host):
        yield source.problem(f"the host name {host!r} must be letters, digits, '.', '_' and '-'", *place)
    if not isinstance(members, list) or not members or not all(isinstance(member, str) for member in members):
        yield source.problem(f"the host {host!r} must have a list of services, at least one", *place)
        return
    for member in members:
        if member not in services:
            message = f"the host {host!r}: there is no service {member!r}{nearest(member, list(services))}"
            yield source.problem(message, *place, member)
        elif member in owner:
            yield source.problem(f"the service {member!r} is in host {owner[member]!r} already", *place, member)
        else:
            owner[member] = host
