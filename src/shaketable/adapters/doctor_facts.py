"""Facts about this machine's engine and kernel: what works, and what to do about what does not."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import docker
import requests
from docker.errors import DockerException

from shaketable.adapters.base_image import BASE
from shaketable.adapters.compose_command import compose_version
from shaketable.adapters.docker_engine import AGENT_CAPABILITIES
from shaketable.adapters.engine_client import adopt_context, reach, why
from shaketable.adapters.image_build import image_id
from shaketable.adapters.images import sources, tools_tag
from shaketable.adapters.paths import state_dir
from shaketable.model.errors import ShakeError

_ENGINE_UP: Final = "`shaketable engine up` brings one up as root on Debian or Ubuntu; else start Docker"
_OLDEST_API: Final = (1, 41)
_ENOUGH_DISK: Final = 5 * 1024**3
_NUMBERS: Final = {
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "NET_ADMIN": 12,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
}
_LOOK: Final = """
echo "caps $(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)"
echo "pids $(ls -d /proc/[0-9]* | wc -l)"
echo "freezer1 $(find /host/cgroup -mindepth 2 -maxdepth 3 -name freezer.state | head -n 1)"
echo "freezer2 $(find /host/cgroup -mindepth 2 -maxdepth 3 -name cgroup.freeze | head -n 1)"
echo "disk $(df -Pk / | awk 'NR==2 {print $4}')"
echo "links $(ls /sys/class/net | xargs)"
"""
_FREEZERS: Final = {"freezer1": "freezer.state of cgroup v1", "freezer2": "cgroup.freeze of cgroup v2"}
_RULES: Final = "iptables -w 5 -N shaketable && iptables -w 5 -A shaketable -j DROP && iptables -w 5 -S shaketable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and `advice` for a person where it is not `ok`."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything; never raises. What cannot be looked at without an engine is left out when there is none."""
    adopt_context()
    findings = [_state_folder()]
    reached = reach()
    if not reached.version:
        return [Finding("engine", False, reached.problem, _ENGINE_UP), _compose(), *findings]
    client: docker.DockerClient | None = None
    try:
        client = docker.from_env(timeout=30)
        return [*_engine(client), _compose(), *_kernel(client), *findings]
    except (DockerException, requests.RequestException, OSError, ValueError, KeyError) as error:
        return [Finding("engine", False, why(error), _ENGINE_UP), _compose(), *findings]
    finally:
        if client is not None:
            client.close()


def _state_folder() -> Finding:
    try:
        folder = state_dir()
    except ShakeError as error:
        return Finding("state folder", False, error.message, error.hint)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        return Finding("state folder", False, f"{folder} cannot be written", "name another with SHAKETABLE_STATE")
    ok = free >= _ENOUGH_DISK // 10
    return Finding("state folder", ok, f"{folder}, {_gigabytes(free)} free", "" if ok else "free some space there")


def _compose() -> Finding:
    version = compose_version()
    advice = "`shaketable engine up` installs it as root on Debian or Ubuntu; else install docker-compose-plugin"
    return Finding("compose", bool(version), version or "no compose v2", "" if version else advice)


def _engine(client: docker.DockerClient) -> Iterator[Finding]:
    version, info = client.version(), client.info()
    yield Finding(
        "engine", True, f"{version['Version']} on {version['Os']}/{version['Arch']}, kernel {info['KernelVersion']}"
    )
    low, high = str(version.get("MinAPIVersion", "?")), str(version["ApiVersion"])
    ok = tuple(int(part) for part in high.split(".")) >= _OLDEST_API
    yield Finding("API versions", ok, f"{low} to {high}", "" if ok else "install Docker Engine 20.10 or newer")
    yield Finding("storage driver", True, str(info.get("Driver", "?")))
    cgroup = str(info.get("CgroupVersion") or "1")
    yield Finding("cgroup version", cgroup in {"1", "2"}, f"v{cgroup}, driver {info.get('CgroupDriver', '?')}")
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
    advice = "use an engine that runs as root: faults on hosts need its real network and process namespaces"
    yield Finding("engine's user", not rootless, "rootless" if rootless else "root", advice if rootless else "")
    yield _clock(str(info.get("SystemTime") or ""))


def _clock(engine_time: str) -> Finding:
    """Compare wall clocks; measurements use only the engine's monotonic clock, so this is about log times."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?\d*(Z|[+-]\d\d:\d\d)$", engine_time)
    if match is None:
        return Finding("clock", True, "the engine does not tell its time")
    then = datetime.fromisoformat(f"{match[1]}{match[2] or ''}{match[3].replace('Z', '+00:00')}")
    apart = abs(time.time() - then.timestamp())
    ok = apart < 2
    found = "the engine's agrees with this machine's" if ok else f"the engine's is {apart:.0f} s off this machine's"
    return Finding("clock", ok, found, "" if ok else "restart the engine's virtual machine, or let NTP set its time")


def _kernel(client: docker.DockerClient) -> Iterator[Finding]:
    """Start two throw-away containers as the agent would be started, and let them say what they may do."""
    tag = tools_tag(sources())
    built = bool(image_id(client, tag))
    image = tag if built else BASE if image_id(client, BASE) else ""
    yield Finding(
        "tools image", built, tag if built else "not built yet", "" if built else "`shaketable images` builds it"
    )
    if not image:
        return
    seen, problem = _ask(
        client, image, _LOOK, network_mode="host", pid_mode="host", volumes=["/sys/fs/cgroup:/host/cgroup:ro"]
    )
    if problem:
        advice = "the engine must allow containers with host pid, host network and added capabilities"
        yield Finding("agent", False, problem, advice)
        return
    facts = dict(line.split(" ", 1) for line in seen.splitlines() if " " in line)
    yield from _agent(facts)
    if built:
        rules, problem = _ask(client, image, _RULES, network_mode="none")
        ok = "-j DROP" in rules
        advice = "the engine's kernel needs netfilter's filter table (nf_tables or ip_tables modules)"
        found = "a rule can be added in a container's own network" if ok else problem or rules.strip()[-200:]
        yield Finding("iptables", ok, found, "" if ok else advice)


def _agent(facts: Mapping[str, str]) -> Iterator[Finding]:
    missing = missing_capabilities(facts.get("caps", "0"))
    found = f"{', '.join(missing)} not granted" if missing else f"all {len(AGENT_CAPABILITIES)} granted"
    advice = "let the engine itself run with these capabilities (is it in a restricted container?)"
    yield Finding("capabilities", not missing, found, advice if missing else "")
    pids = int(facts.get("pids", "0") or 0)
    shared = pids > 10
    advice = "allow --pid host (authorisation plugins and user namespaces can forbid it)"
    yield Finding("host processes", shared, f"{pids} seen by a container", "" if shared else advice)
    links = facts.get("links", "").split()
    shared = len(links) > 1
    advice = "allow --network host"
    yield Finding("host network", shared, f"{len(links)} links seen by a container", "" if shared else advice)
    found = ", ".join(name for key, name in _FREEZERS.items() if facts.get(key, "").strip())
    advice = "the kernel needs the cgroup freezer, mounted under /sys/fs/cgroup"
    yield Finding("freezer", bool(found), found or "none in the cgroup tree", "" if found else advice)
    free = int(facts.get("disk", "0") or 0) * 1024
    ok = free >= _ENOUGH_DISK
    yield Finding(
        "free disk",
        ok,
        f"{_gigabytes(free)} for images and containers",
        "" if ok else "docker system df tells what takes the space",
    )


def missing_capabilities(effective: str) -> list[str]:
    """Name the capabilities the agent needs that are not in a hexadecimal `CapEff` mask."""
    try:
        mask = int(effective.strip() or "0", 16)
    except ValueError:
        mask = 0
    return [name for name in AGENT_CAPABILITIES if not mask >> _NUMBERS[name] & 1]


def _ask(client: docker.DockerClient, image: str, script: str, **options: Any) -> tuple[str, str]:
    """Run a script in a throw-away container with the agent's privileges: (what it printed, why it could not run)."""
    run: Callable[..., bytes] = client.containers.run
    try:
        output = run(
            image,
            ["sh", "-c", script],
            remove=True,
            stderr=True,
            cap_drop=["ALL"],
            cap_add=list(AGENT_CAPABILITIES),
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            labels={"shaketable.tool": "doctor"},
            **options,
        )
    except (DockerException, requests.RequestException) as error:
        return "", why(error)
    return output.decode(errors="replace"), ""


def _gigabytes(size: int) -> str:
    return f"{size / 1024**3:.1f} GiB"
