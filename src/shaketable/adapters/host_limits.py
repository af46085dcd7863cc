"""What a nested host may use, as `x-shaketable.nested.HOST.limits` says: memory, CPUs and processes of all that runs in it.

The host is a container, so these are limits of its cgroups; what runs in it is in cgroups below those and held by them,
whatever limits of its own it has (kernel Documentation/admin-guide/cgroup-v1/memory.rst, pids.rst, cgroup-v2.rst).

A share of the machine's CPUs (`cpus`) does not keep a host from being felt by another: both wait for the same CPUs. Hosts
with different CPUs (`cpuset`; cgroup-v1/cpusets.rst) do not; what else the machine does may still be on any of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shaketable.adapters.compose_source import ComposeSource, nearest
from shaketable.model.errors import Problem
from shaketable.model.units import parse_size, show_size

_COMPOSE_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([bkmg])", re.I)
_POWER: Final = {"b": 0, "k": 1, "m": 2, "g": 3}
_LEAST_MEMORY: Final = 192 << 20
_LEAST_PROCESSES: Final = 80
"""Measured: an engine has 35 MiB beside caches and 24 tasks, and up to 77 tasks with one container and a command in it."""
_LEAST_CPUS: Final = 0.1
_CPU_LIST: Final = re.compile(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostLimits:
    """Bytes, CPUs, tasks, and which CPUs, as in 0-1 or 0,2; None where the host may use what the machine has."""

    memory: int | None = None
    cpus: float | None = None
    processes: int | None = None
    cpuset: str | None = None

    def service(self) -> dict[str, Any]:
        """Keys of its compose service. No swap helps a host out of its memory's limit."""
        found: dict[str, Any] = {}
        if self.memory is not None:
            found |= {"mem_limit": self.memory, "memswap_limit": self.memory}
        if self.cpus is not None:
            found["cpus"] = self.cpus
        if self.processes is not None:
            found["pids_limit"] = self.processes
        if self.cpuset is not None:
            found["cpuset"] = self.cpuset
        return found


def compose_size(value: object) -> int:
    """Bytes of `512m`, as compose writes sizes, or of `512 MiB`. Raises ValueError."""
    if isinstance(value, str) and (match := _COMPOSE_SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(parse_size(value))


def _memory(value: object) -> int:
    try:
        size = compose_size(value)
    except ValueError:
        raise ValueError(f"{value!r} is no size, as in 512m or '512 MiB'") from None
    if size < _LEAST_MEMORY:
        raise ValueError(f"{show_size(size)} is not enough for an engine; it takes at least {show_size(_LEAST_MEMORY)}")
    return size


def _cpus(value: object) -> float:
    number = _number(value, "a number of CPUs, as in 0.5")
    if number < _LEAST_CPUS:
        raise ValueError(f"{number:g} is not enough for an engine; it takes at least {_LEAST_CPUS:g}")
    return number


def _processes(value: object) -> int:
    number = _number(value, "a number of processes, as in 200")
    if number != int(number):
        raise ValueError(f"{number:g} is no whole number")
    if number < _LEAST_PROCESSES:
        raise ValueError(f"{number:g} is not enough for an engine; it takes at least {_LEAST_PROCESSES}")
    return int(number)


def cpu_list(value: object) -> str:
    """A list of CPUs as the kernel writes it, `0-1,3`. Raises ValueError."""
    text = ",".join(part.strip() for part in str(value).split(","))
    if not _CPU_LIST.fullmatch(text):
        raise ValueError(f"{value!r} is no list of CPUs, as in '0', '0-1' or '0,2'")
    for first, _, last in (part.partition("-") for part in text.split(",")):
        if last and int(last) < int(first):
            raise ValueError(f"{value!r}: {first}-{last} has no CPU in it")
    return text


def _number(value: object, what: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not {what}")
    return number


_READ: Final[Mapping[str, Callable[[object], float | str]]] = {
    "memory": _memory,
    "cpus": _cpus,
    "processes": _processes,
    "cpuset": cpu_list,
}


def read_limits(value: object) -> HostLimits:
    """Read what can be read of `limits`; `check_limits` says what is wrong with the rest."""
    return HostLimits(**{key: read for key, read, _ in _entries(value) if read is not None})  # type: ignore[arg-type]


def _entries(value: object) -> Iterator[tuple[str, float | str | None, str]]:
    """(key, value, what is wrong with it) of each known key."""
    for key, given in value.items() if isinstance(value, Mapping) else ():
        if key in _READ:
            try:
                yield key, _READ[key](given), ""
            except ValueError as error:
                yield key, None, str(error)


def check_limits(host: str, value: object, source: ComposeSource, *place: str) -> Iterator[Problem]:
    """Find every problem of a host's `limits`, which stand at `place`."""
    if not isinstance(value, Mapping) or not value:
        message = f"the nested host {host!r}: limits must be a mapping with some of {', '.join(_READ)}"
        yield source.problem(message, *place)
        return
    for key in value:
        if key not in _READ:
            message = f"the nested host {host!r}: limits: unknown key {key!r}{nearest(key, list(_READ))}"
            yield source.problem(message, *place, key)
    for key, _, wrong in _entries(value):
        if wrong:
            yield source.problem(f"the nested host {host!r}: limits.{key}: {wrong}", *place, key)
