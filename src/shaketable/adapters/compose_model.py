"""A topology as compose resolved it, as frozen data, with its hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shaketable.adapters.compose_source import ComposeSource, nearest
from shaketable.model.errors import Problem, ScenarioError
from shaketable.ports import Places

EXTENSION = "x-shaketable"
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

    @property
    def places(self) -> Places:
        """The hosts, and every container that is in none of them, grouped by network namespace."""
        grouped = {service for members in self.hosts.values() for service in members}
        rest = {name: service for name, service in self.services.items() if name not in grouped}
        others = {n: m for n, m in _by_namespace(rest).items() if n not in self.hosts}
        return Places(self.hosts, others)


def compose_model(resolved: Mapping[str, Any], source: ComposeSource) -> ComposeModel:
    """Read what `docker compose config --format json` gave. Raises ScenarioError with every problem of our own keys."""
    services = {name: _service(name, entry) for name, entry in (resolved.get("services") or {}).items()}
    problems = list(_check_extension(resolved.get(EXTENSION), services, source)) if EXTENSION in resolved else []
    if not services:
        problems.append(source.problem("there are no services", "services"))
    if problems:
        raise ScenarioError(problems)
    declared = (resolved.get(EXTENSION) or {}).get("hosts")
    hosts = {name: tuple(members) for name, members in declared.items()} if declared else _by_namespace(services)
    return ComposeModel(services, tuple(resolved.get("networks") or {}), hosts)


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


def _check_extension(value: object, services: Mapping[str, Service], source: ComposeSource) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield source.problem(f"{EXTENSION} must be a mapping with the key 'hosts'", EXTENSION)
        return
    for key in value:
        if key != "hosts":
            yield source.problem(f"{EXTENSION}: unknown key {key!r}{nearest(key, ['hosts'])}", EXTENSION, key)
    hosts = value.get("hosts")
    if hosts is None and "hosts" not in value:
        return
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
