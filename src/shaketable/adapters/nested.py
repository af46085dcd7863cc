"""Nested hosts: containers that run a Docker engine of their own, and what the topology's document says of each.

`x-shaketable.nested` names them; the service is ours to write. No `--privileged`: it gets what the engine has to give,
its own cgroup namespace, and volumes for its data. The images of what runs inside come from a store: a volume with
another engine's data, filled once, whose layers all nested hosts share read-only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from shaketable.adapters.base_image import ensure_base
from shaketable.adapters.command import Say
from shaketable.adapters.compose_source import ComposeSource, nearest
from shaketable.adapters.docker_engine import NESTED_LABEL
from shaketable.adapters.host_limits import HostLimits, check_limits, read_limits
from shaketable.adapters.image_build import build_image, content_hash, image_id
from shaketable.adapters.nested_engine import await_engine, tunnel
from shaketable.adapters.paths import locked
from shaketable.model.errors import EngineError, Problem

VERSIONS: Final = ("20.10", "26.1")
"""Engines that a nested host can have: those of Debian 12 and 13."""
_KEYS: Final = ("compose", "engine", "daemon", "hold", "limits")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
"""A name that others can look up, and that the inner project can have."""
_REPOSITORY: Final = "shaketable/nested"
_STORE: Final = "shaketable/nested-store"
_BRIDGE: Final = "10.231.0.1"
_LABELS: Final = {"shaketable.image": "nested"}
_FILLED: Final = b"by name"
"""How a store is filled: one that was filled in another way is not used."""


@dataclass(frozen=True, slots=True)
class Nested:
    """One nested host. `files` are the inner project's compose files, relative to the topology's folder."""

    files: tuple[str, ...]
    engine: str = ""
    """Version as written; empty where none is, and then the oldest of VERSIONS is taken."""
    daemon: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of its engine's daemon.json."""
    hold: bool = False
    """Whether its engine's packages are declared to be held back from upgrades."""
    limits: HostLimits = field(default_factory=HostLimits)
    """What it and all that runs in it may use together."""
    services: tuple[str, ...] = ()
    """Names of the services of the inner project."""

    @property
    def version(self) -> str:
        """The engine it is started with."""
        return self.engine or VERSIONS[0]


def read_nested(value: object) -> dict[str, Nested]:
    """Read of `x-shaketable.nested`, as compose gives it, every host whose files are known; `check_nested` judges it."""
    if not isinstance(value, Mapping):
        return {}
    # Compose writes `$$` for `$`, as for the next compose to read.
    plain: Mapping[str, Any] = json.loads(json.dumps(value).replace("$$", "$"))
    return {
        name: Nested(
            files,
            str(entry.get("engine") or ""),
            entry.get("daemon") or {},
            entry.get("hold") is True,
            read_limits(entry.get("limits")),
        )
        for name, entry in plain.items()
        if isinstance(entry, Mapping) and (files := _files(entry))
    }


def _files(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Files of the inner project; none where they are not written as they should be."""
    files = entry.get("compose")
    listed = [files] if isinstance(files, str) else files if isinstance(files, list) else []
    return tuple(listed) if all(isinstance(file, str) and file for file in listed) else ()


def check_nested(value: object, taken: Mapping[str, str], source: ComposeSource) -> Iterator[Problem]:
    """Find every problem of `x-shaketable.nested`; `taken` are names that mean something else, and what."""
    place = ("x-shaketable", "nested")
    if not isinstance(value, Mapping) or not value:
        yield source.problem("x-shaketable.nested must map each nested host's name to its settings", *place)
        return
    for name, entry in value.items():
        if not _NAME.fullmatch(name):
            message = f"the nested host's name {name!r} must be letters, digits and '-', at most 63 of them"
            yield source.problem(message, *place, name)
        if name in taken:
            yield source.problem(f"the nested host {name!r} has the name of a {taken[name]}", *place, name)
        yield from _check_entry(name, entry if isinstance(entry, Mapping) else {}, source)


def _check_entry(name: str, entry: Mapping[str, Any], source: ComposeSource) -> Iterator[Problem]:
    place = ("x-shaketable", "nested", name)
    for key in entry:
        if key not in _KEYS:
            yield source.problem(f"the nested host {name!r}: unknown key {key!r}{nearest(key, _KEYS)}", *place, key)
    if not entry.get("compose"):
        message = f"the nested host {name!r} needs the compose files of what runs in it: compose: [host/compose.yaml]"
        yield source.problem(message, *place, "compose")
    elif not _files(entry):
        yield source.problem(f"the nested host {name!r}: compose must be a list of files", *place, "compose")
    engine = entry.get("engine")
    if engine is not None and str(engine) not in VERSIONS:
        number = "; put the number in quotes" if isinstance(engine, float) else nearest(str(engine), VERSIONS)
        yield source.problem(f"the nested host {name!r}: no engine {engine!r}{number}", *place, "engine")
    if not isinstance(entry.get("daemon"), Mapping | None):
        yield source.problem(f"the nested host {name!r}: daemon must be a mapping, as daemon.json", *place, "daemon")
    if not isinstance(entry.get("hold", False), bool):
        yield source.problem(f"the nested host {name!r}: hold must be true or false", *place, "hold")
    if "limits" in entry:
        yield from check_limits(name, entry["limits"], source, *place, "limits")


def data_volume(host: str) -> str:
    """Name, in the document, of the volume with a nested host's engine's data."""
    return f"{host}-engine"


def service(host: str, nested: Nested, *, image: str, network: str, store: str) -> dict[str, Any]:
    """The compose service of a nested host; `network` is the full name of the network its names are known in."""
    options = {
        "bip": f"{_BRIDGE}/24",
        "default-address-pools": [{"base": "10.232.0.0/16", "size": 24}],
        "dns": [_BRIDGE],
        "dns-search": [network],
        **nested.daemon,
    }
    return {
        "image": image,
        "pull_policy": "never",
        "hostname": host,
        "cap_add": ["ALL"],
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"],
        "device_cgroup_rules": ["a *:* rwm"],
        "cgroup": "private",
        "stop_grace_period": "20s",
        "environment": {"ENGINE_OPTIONS": json.dumps(options).replace("$", "$$")},
        "labels": {NESTED_LABEL: nested.version},
        "volumes": [f"{data_volume(host)}:/var/lib/docker", f"{store}:/images:ro"],
        **nested.limits.service(),
    }


def _recipe() -> dict[str, bytes]:
    folder = resources.files("shaketable") / "adapters" / "nested_image"
    return {name: (folder / name).read_bytes() for name in ("Dockerfile", "nested-host")}


def ensure_nested_image(client: docker.DockerClient, version: str, say: Say) -> str:
    """Give the name of the image of nested hosts with this engine, built if it is not there. Raises EngineError."""
    base = ensure_base(say)
    files = _recipe()
    parts = [("base", base.encode()), ("engine", version.encode()), *sorted(files.items())]
    tag = f"{_REPOSITORY}:{version}-{content_hash(parts)}"
    with locked("nested-image"):
        if not image_id(client, tag):
            build_image(client, tag, files, say, labels=_LABELS, args={"ENGINE": version})
            say(f"{tag} is ready")
    return tag


def ensure_store(client: docker.DockerClient, images: Sequence[str], say: Say) -> str:
    """Give the name of the volume with these images as an engine keeps them, filled if it is not there.

    A tag of the same name says that it was filled to the end. Raises EngineError.
    """
    filler = ensure_nested_image(client, VERSIONS[0], say)
    parts = [
        ("filled", _FILLED),
        ("filler", image_id(client, filler).encode()),
        *((tag, image_id(client, tag).encode()) for tag in images),
    ]
    name = f"shaketable-images-{content_hash(sorted(parts))}"
    with locked("nested-store"):
        if image_id(client, f"{_STORE}:{name}") and _has_volume(client, name):
            return name
        if _has_volume(client, name):
            client.volumes.get(name).remove(force=True)
        client.volumes.create(name, labels={"shaketable.images": "nested"})
        say(f"laying up {len(images)} image{'s' if len(images) != 1 else ''} for nested hosts")
        _fill(client, filler, name, images)
        client.images.get(filler).tag(_STORE, name)
    return name


def _has_volume(client: docker.DockerClient, name: str) -> bool:
    try:
        client.volumes.get(name)
    except NotFound:
        return False
    return True


def _fill(client: docker.DockerClient, image: str, volume: str, images: Sequence[str]) -> None:
    api = client.api
    host = api.create_host_config(
        cap_add=["ALL"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        device_cgroup_rules=["a *:* rwm"],
        network_mode="none",
        binds=[f"{volume}:/var/lib/docker"],
    )
    host |= {"MaskedPaths": [], "ReadonlyPaths": [], "CgroupnsMode": "private"}  # what `systempaths=unconfined` means
    made = api.create_container(image, host_config=host, environment={"ENGINE_OPTIONS": "{}"}, labels=dict(_LABELS))
    box = client.containers.get(made["Id"])
    try:
        box.start()
        _load(box, client, images)
        box.stop(timeout=30)
    except BaseException:
        box.remove(force=True)
        client.volumes.get(volume).remove(force=True)
        raise
    box.remove(force=True)


def _load(box: Container, client: docker.DockerClient, images: Sequence[str]) -> None:
    with tunnel(client, str(box.id)) as address:
        inner = await_engine(address, "the engine that lays up images")
        try:
            for tag in images:
                # An image may have several names; it is the one that is asked for that it must have inside.
                inner.images.load(client.images.get(tag).save(named=tag))  # type: ignore[arg-type]
                if not image_id(inner, tag):
                    raise EngineError(f"the engine that lays up images does not know {tag} after it was loaded")
        finally:
            inner.close()
