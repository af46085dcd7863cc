"""The one adapter to the Docker engine's API. Everything of ours carries the label `shaketable.run`; nothing else is touched."""

from __future__ import annotations

import contextlib
import functools
import math
import re
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import docker
import requests
import tenacity
from docker.errors import APIError, DockerException, NotFound

from shaketable.adapters.channel import Channel, Message
from shaketable.model.errors import EngineError
from shaketable.model.result import Residue

RUN_LABEL = "shaketable.run"
LANE_LABEL = "shaketable.lane"
NESTED_LABEL = "shaketable.nested"
"""On the container of a nested host: the engine version it was started with."""
_STALE = 3.0
"""Seconds for which a connection into a nested host is tried again."""
_HINT = "is the engine running? `shaketable doctor` tells, `shaketable engine up` starts one"
AGENT_CAPABILITIES = (
    *("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "DAC_READ_SEARCH", "DAC_OVERRIDE", "KILL"),
    # To run a database's own client in its container, as its own user, and to set limits as a process's own user.
    *("SYS_CHROOT", "SETUID", "SETGID"),
)

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ContainerFacts:
    """What the engine says of a container. `pid` is 0 when it does not run; `joins` names the container whose network it uses."""

    id: str
    name: str
    pid: int
    running: bool
    exit_code: int
    joins: str
    addresses: tuple[str, ...]
    stop_signal: int
    restart_policy: str
    labels: Mapping[str, str]
    oom_killed: bool = False
    """Whether the engine heard of its end for want of memory."""
    restarts: int = 0
    """How often the engine has started it again by itself."""
    within: int = 0
    """Pid of the nested host whose engine it is of, 0 for one of the engine itself; `pid` is then as seen in there."""
    host_addresses: tuple[str, ...] = ()
    """Addresses of that nested host."""
    published: tuple[int, ...] = ()
    """Ports of its host under which others reach it."""


def _translated(
    method: Callable[Concatenate[DockerEngine, P], T],
) -> Callable[Concatenate[DockerEngine, P], T]:
    """Turn every error of the client library into an EngineError that says what was being done."""

    def wrapper(self: DockerEngine, /, *args: P.args, **kwargs: P.kwargs) -> T:
        what = method.__name__.strip("_").replace("_", " ")
        try:
            return self._again(method, self, *args, **kwargs) if self._carried else method(self, *args, **kwargs)
        except NotFound as error:
            raise EngineError(
                f"the engine knows nothing of what was asked for ({what}): {error.explanation}"
            ) from error
        except APIError as error:
            raise EngineError(f"the engine refused ({what}): {error.explanation or error}") from error
        except (DockerException, requests.RequestException, OSError) as error:
            raise EngineError(f"the Docker engine does not answer ({what}): {_short(error)}", hint=_HINT) from error

    functools.update_wrapper(wrapper, method)
    return wrapper


def _short(error: BaseException) -> str:
    text = str(error)
    inner = re.search(r"\[Errno \d+\] ([^'\")]+)|(Connection refused|Permission denied|timed out)", text)
    return (inner[1] or inner[2]) if inner else text.splitlines()[0][:200]


class DockerEngine:
    """A connection to the engine at `address`, or that DOCKER_HOST, or else the default socket, names."""

    def __init__(self, address: str = "") -> None:
        self._carried = bool(address)
        # Connections into a nested host that were kept since before its engine or itself was restarted lead nowhere.
        self._again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(requests.ConnectionError),
            wait=tenacity.wait_fixed(0.05),
            stop=tenacity.stop_after_delay(_STALE),
            reraise=True,
        )
        try:
            if address:
                self._client = docker.DockerClient(base_url=address, version="auto", timeout=60)
            else:
                self._client = docker.from_env(timeout=60, max_pool_size=32)
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            raise EngineError(f"the Docker engine does not answer: {_short(error)}", hint=_HINT) from error
        self._api = self._client.api

    def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(Exception):
            self._client.close()

    @_translated
    def version(self) -> dict[str, str]:
        """version, api, kernel, cgroup (`v1`/`v2`), cpus, as text."""
        version, info = self._client.version(), self._client.info()
        return {
            "version": str(version["Version"]),
            "api": str(version["ApiVersion"]),
            "kernel": str(info.get("KernelVersion", "")),
            "cgroup": f"v{info.get('CgroupVersion', '1')}",
            "cpus": str(info.get("NCPU", 0)),
            "id": str(info.get("ID", "")),
        }

    @_translated
    def inspect(self, container: str) -> ContainerFacts:
        """What the engine says of one container now."""
        return _facts(self._api.inspect_container(container))

    @_translated
    def start(self, container: str) -> None:
        """Start a container that has exited; waits first until the engine has noticed that it has."""
        self._api.wait(container, timeout=10, condition="not-running")
        self._api.start(container)

    @_translated
    def ensure_running(self, container: str) -> None:
        """Start a container that has ended; one that waits to be started again does not wait any longer."""
        state = self._api.inspect_container(container)["State"]
        if state.get("Restarting"):
            self._api.restart(container, timeout=0)
        elif not state.get("Running"):
            self._api.start(container)

    @_translated
    def set_restart_policy(self, container: str, policy: str) -> None:
        """Change a container's restart policy (`no`, `always`, `unless-stopped`, `on-failure`)."""
        self._api.update_container(container, restart_policy={"Name": policy, "MaximumRetryCount": 0})  # type: ignore[arg-type]

    @_translated
    def run_tool(
        self,
        *,
        name: str,
        image: str,
        module: str,
        run: str,
        on_message: Callable[[Message], None],
        on_close: Callable[[], None] = lambda: None,
        network: str = "",
        lane: str = "",
        agent: bool = False,
        cpu_shares: int = 1024,
        cpuset: str = "",
    ) -> tuple[str, Channel]:
        """Start one of our helper containers, attached. (container id, channel); it is removed when it exits.

        `agent` gives it the engine host's process and network namespaces and the named capabilities, never
        `--privileged`; otherwise it is an ordinary, unprivileged container in `network`. `cpuset` is the CPUs that it
        may use, as `0-1,3`; empty for any.
        """
        options: dict[str, Any] = {"auto_remove": True, "cpu_shares": cpu_shares, "mem_limit": "512m"}
        if cpuset:
            options["cpuset_cpus"] = cpuset
        if agent:
            options |= {
                "pid_mode": "host",
                "network_mode": "host",
                "cap_drop": ["ALL"],
                "cap_add": list(AGENT_CAPABILITIES),
                "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
                "binds": ["/sys/fs/cgroup:/host/cgroup:rw", "/dev:/host/dev:rw", f"{self._disks(run)}:/disks:rw"],
                # Loop devices alone, for the disks of topologies that ask for some.
                "device_cgroup_rules": ["b 7:* rwm", "c 10:237 rwm"],
            }
        else:
            options |= {"network_mode": network, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges"]}
        created = self._api.create_container(
            image,
            command=["python3", "-m", module],
            name=name,
            stdin_open=True,
            labels={RUN_LABEL: run, LANE_LABEL: lane, "shaketable.tool": module.rpartition(".")[2]},
            host_config=self._api.create_host_config(**options),
        )
        identity = str(created["Id"])
        try:
            stream = self._api.attach_socket(identity, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
            raw: socket.socket = getattr(stream, "_sock", stream)
            raw.settimeout(None)
            self._api.start(identity)
        except BaseException:
            self._api.remove_container(identity, force=True)
            raise
        return identity, Channel(name, raw, on_message, on_close)

    def _disks(self, run: str) -> str:
        """Name of the volume that holds a run's disks, made if it is not there."""
        name = f"st-{run}-disks"
        self._api.create_volume(name, labels={RUN_LABEL: run, LANE_LABEL: ""})
        return name

    @_translated
    def wait_gone(self, container: str, limit: float) -> bool:
        """Wait until a container has exited. False when it still runs after `limit` seconds."""
        try:
            self._api.wait(container, timeout=math.ceil(limit))
        except NotFound:
            return True
        except requests.RequestException:
            return False
        return True

    @_translated
    def of_run(self, run: str) -> list[ContainerFacts]:
        """Every container that carries the run's label, running or not."""
        found = self._api.containers(all=True, filters={"label": f"{RUN_LABEL}={run}"})
        facts = []
        for row in found:
            with contextlib.suppress(NotFound):
                facts.append(_facts(self._api.inspect_container(row["Id"])))
        return facts

    @_translated
    def runs_seen(self) -> dict[str, int]:
        """Run label → number of containers and networks that carry it."""
        counts: dict[str, int] = {}
        rows = self._api.containers(all=True, filters={"label": RUN_LABEL})
        for row in [*rows, *self._api.networks(filters={"label": RUN_LABEL})]:
            run = (row.get("Labels") or {}).get(RUN_LABEL, "")
            counts[run] = counts.get(run, 0) + 1
        return counts

    @_translated
    def remove_run(self, run: str, *, lane: str | None = None) -> list[str]:
        """Remove all containers, networks and volumes of a run (or of one of its lanes). What was removed, in words."""
        labels = [f"{RUN_LABEL}={run}"] + ([f"{LANE_LABEL}={lane}"] if lane is not None else [])
        removed: list[str] = []
        rows = self._api.containers(all=True, filters={"label": labels})

        def remove(row: Mapping[str, Any]) -> None:
            try:
                self._api.remove_container(row["Id"], force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if "already in progress" not in str(error.explanation):
                    raise
                self._await_removed(row["Id"])
            removed.append(f"container {row['Names'][0].lstrip('/') if row.get('Names') else row['Id'][:12]}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(remove, rows))
        for network in self._api.networks(filters={"label": labels}):
            with contextlib.suppress(NotFound):
                self._api.remove_network(network["Id"])
                removed.append(f"network {network['Name']}")
        for volume in self._api.volumes(filters={"label": labels}).get("Volumes") or []:
            with contextlib.suppress(NotFound):
                self._api.remove_volume(volume["Name"], force=True)
                removed.append(f"volume {volume['Name']}")
        return removed

    def _await_removed(self, container: str) -> None:
        with contextlib.suppress(NotFound, requests.RequestException):
            self._api.wait(container, timeout=10, condition="removed")

    @_translated
    def residue(self, run: str) -> list[Residue]:
        """Everything that still carries the run's label."""
        label = {"label": f"{RUN_LABEL}={run}"}
        hint = f"shaketable heal --run {run}"
        found = [
            Residue(what="container", where=row["Names"][0].lstrip("/"), hint=hint)
            for row in self._api.containers(all=True, filters=label)
        ]
        found += [Residue(what="network", where=n["Name"], hint=hint) for n in self._api.networks(filters=label)]
        found += [
            Residue(what="volume", where=v["Name"], hint=hint)
            for v in self._api.volumes(filters=label).get("Volumes") or []
        ]
        return found

    @_translated
    def logs(self, container: str) -> bytes:
        """Everything a container printed, both streams, with the engine's time stamps."""
        return bytes(self._api.logs(container, timestamps=True))


def in_parallel(work: Callable[[str], T], items: Sequence[str]) -> list[T]:
    """Do the same to several containers, two at a time; the first error is raised after all were tried.

    More at a time is hardly quicker, and starves everything else on a small machine: an engine at work competes
    with all containers together.
    """
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work, item) for item in items]
    return [future.result() for future in futures]


def _facts(raw: Mapping[str, Any]) -> ContainerFacts:
    state, config, host = raw["State"], raw["Config"], raw["HostConfig"]
    mode = str(host.get("NetworkMode") or "")
    name = config.get("StopSignal") or "SIGTERM"
    number = int(name) if name.isdigit() else signal.Signals[name if name.startswith("SIG") else f"SIG{name}"].value
    networks = (raw.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerFacts(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        pid=int(state.get("Pid") or 0),
        running=bool(state.get("Running")),
        exit_code=int(state.get("ExitCode") or 0),
        joins=mode.removeprefix("container:") if mode.startswith("container:") else "",
        addresses=tuple(n["IPAddress"] for n in networks.values() if n.get("IPAddress")),
        stop_signal=number,
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        labels=config.get("Labels") or {},
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(raw.get("RestartCount") or 0),
        published=_published(raw),
    )


def _published(raw: Mapping[str, Any]) -> tuple[int, ...]:
    ports = (raw.get("NetworkSettings") or {}).get("Ports") or {}
    found = {int(b["HostPort"]) for name, bound in ports.items() if name.endswith("/tcp") for b in bound or ()}
    return tuple(sorted(found))


@contextlib.contextmanager
def engine() -> Iterator[DockerEngine]:
    """A connection for a block of work, closed afterwards."""
    connection = DockerEngine()
    try:
        yield connection
    finally:
        connection.close()
