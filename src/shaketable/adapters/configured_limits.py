"""What a topology's files limit each instance to, as compose resolved them: the claim that the kernel's word is held against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.host_limits import HostLimits, compose_size
from shaketable.adapters.nested import data_volume
from shaketable.model.kernel import LimitName

Limits = dict[LimitName, float]

_PLACES: Final[Mapping[LimitName, tuple[tuple[str, ...], ...]]] = {
    "memory": (("mem_limit",), ("deploy", "resources", "limits", "memory")),
    "cpu": (("cpus",), ("deploy", "resources", "limits", "cpus")),
    "processes": (("pids_limit",), ("deploy", "resources", "limits", "pids")),
    "files": (("ulimits", "nofile", "hard"), ("ulimits", "nofile")),
}
"""Where compose has each limit of a service; compose itself refuses two that differ."""
_PERIOD: Final = 100_000
"""Microseconds of a CPU quota's period where no other is given: the kernel's own (its sched-bwc document)."""


def configured_limits(project: ComposeProject) -> Mapping[str, Limits]:
    """Limits by instance, under each of its names, and by nested host. Units: model.kernel.LimitName. Raises ScenarioError."""
    model, document = project.model(), project.written()[0]
    services = document.get("services") or {}
    found = {name: service_limits(entry, model.volumes) for name, entry in services.items()}
    for host, members in model.hosts.items():
        found |= {f"{host}/{service}": found[service] for service in members if service in found}
    for host, nested in model.nested.items():
        found[host] = host_limits(nested.limits, model.volumes.get(data_volume(host)))
        inner = project.inner[host].written()[0].get("services") or {}
        found |= {f"{host}/{name}": service_limits(entry, {}) for name, entry in inner.items()}
    return found


def service_limits(entry: Mapping[str, Any], disks: Mapping[str, int]) -> Limits:
    """Limits of a service as compose resolved it; `disks` are the volumes that are disks, and their bytes."""
    found: Limits = {}
    for name, paths in _PLACES.items():
        number = next((n for path in paths if (n := _number(_at(entry, path))) is not None and n > 0), None)
        if number is not None:  # 0 and -1 are no limit
            found[name] = number
    if "cpu" not in found and (quota := _number(entry.get("cpu_quota")) or 0.0) > 0:  # the engine refuses both
        found["cpu"] = quota / (_number(entry.get("cpu_period")) or _PERIOD)
    if sizes := list(_sizes(entry, disks)):
        found["disk"] = max(sizes)
    return found


def host_limits(limits: HostLimits, disk: int | None) -> Limits:
    """Limits of a nested host, whose engine's data may be on a disk of this size."""
    named: Mapping[LimitName, float | None] = {
        "memory": limits.memory,
        "cpu": limits.cpus,
        "processes": limits.processes,
        "disk": disk,
    }
    return {name: float(number) for name, number in named.items() if number is not None}


def _at(entry: object, path: tuple[str, ...]) -> object:
    for key in path:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    return entry


def _number(value: object) -> float | None:
    """A number as compose gives it: sizes are bytes in a text, CPUs a number or a text."""
    if value is None or isinstance(value, Mapping):
        return None
    try:
        return float(str(value))
    except ValueError:
        return float(compose_size(value))


def _sizes(entry: Mapping[str, Any], disks: Mapping[str, int]) -> Iterator[float]:
    for mount in entry.get("volumes") or ():
        if mount.get("type") == "volume" and mount.get("source") in disks:
            yield float(disks[mount["source"]])
        size = _number(_at(mount, ("tmpfs", "size"))) if mount.get("type") == "tmpfs" else None
        if size:
            yield size
