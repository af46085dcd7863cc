"""A compose project as one run uses it: read, built, brought up under labels of ours, and taken down."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import docker

from shaketable.adapters import nested
from shaketable.adapters.command import Say
from shaketable.adapters.compose_build import Images, ensure_bases, name_images
from shaketable.adapters.compose_command import Compose, ComposeFailedError, compose_version
from shaketable.adapters.compose_config import EXTENSION, HOST_VARIABLE, read_whole, resolve
from shaketable.adapters.compose_model import ComposeModel, compose_model, nested_hosts
from shaketable.adapters.compose_source import ComposeSource
from shaketable.adapters.docker_engine import LANE_LABEL, RUN_LABEL, in_parallel
from shaketable.adapters.engine_client import image_client
from shaketable.adapters.image_build import News, image_content, image_id
from shaketable.adapters.nested_engine import NestedEngines
from shaketable.adapters.paths import locked
from shaketable.model.errors import EngineError, Problem, ScenarioError, TopologyError

__all__ = ["ComposeProject", "compose_version"]

_BUILD_LIMIT = 1800.0
_UP_LIMIT = 180.0
_DOWN_LIMIT = 90.0


class ComposeProject:
    """The compose `files` of `folder` as project `name`; everything in it carries the labels of `run` and `lane`.

    Compose reads the user's files itself; what it makes of them is changed here and handed back to it as text, so that
    nothing is written into the user's folder. Published ports and fixed container names are left out unless `publish`:
    they would make two lanes collide, and load and observers live in the topology's own network. `host` names the nested
    host that it is the inner project of.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        name: str,
        run: str,
        lane: str = "",
        *,
        publish: bool = False,
        host: str = "",
    ) -> None:
        self.folder = folder.absolute()
        self.files = tuple(files)
        self.name = name
        self.run, self.lane, self.publish, self.host = run, lane, publish, host
        self.devices: Mapping[str, str] = {}
        """The disk under each volume that has one of its own, as `/dev/loop3`; it holds an ext4."""
        self.engines = NestedEngines()
        """Ways to the engines of its nested hosts, while it is up."""
        self._nested_images: dict[str, str] = {}
        self._store = ""

    def model(self) -> ComposeModel:
        """Read the topology. Raises ScenarioError with every problem in the files, EngineError without a compose v2."""
        return self._model

    def written(self) -> tuple[Mapping[str, Any], ComposeSource]:
        """Give what compose makes of the files, and the files as they were written. Raises as `model`, of these alone."""
        return self._resolved, self._source

    def build(self, say: Say) -> None:
        """Get or build every image that is not on the engine yet. Raises EngineError, TopologyError."""
        with image_client(f"looking for the images of {self.folder.name}") as client:
            ensure_bases(client, self._model, say)
            images = self._images
            if any(not image_id(client, tag) for tag in images.builds):
                with locked("topology-images"):
                    missing = [service for tag, service in images.builds.items() if not image_id(client, tag)]
                    if missing:
                        self._build(missing, say)
        for inner in self.inner.values():
            inner.build(say)
        if self.inner:
            with image_client(f"preparing the nested hosts of {self.folder.name}") as client:
                self._ensure_nested(client, say)

    def _ensure_nested(self, client: docker.DockerClient, say: Say) -> None:
        """Images of the nested hosts, and a store of what runs in them."""
        for host in self._model.nested.values():
            self._nested_images[host.version] = nested.ensure_nested_image(client, host.version, say)
        self._store = nested.ensure_store(client, self.inner_images(), say)

    def inner_images(self) -> list[str]:
        """Names of all images that run in nested hosts."""
        return sorted({tag for inner in self.inner.values() for tag in inner.images()})

    def all_images(self) -> list[str]:
        """Names of all images it consists of, those of nested hosts and of what lays up images for them too."""
        return sorted({*self.images(), *self.inner_images(), *self._nested_images.values()})

    def images(self) -> list[str]:
        """Names of the images of its own services, built here or not. Those built are so after `build`."""
        return sorted({self._images.tags.get(s.name, s.image) for s in self._model.services.values()})

    def built(self) -> dict[str, str]:
        """Digest of the image by service, `host/service` in nested hosts; all of them are on the engine after `build`."""
        with image_client(f"looking up the images of {self.folder.name}") as client:
            names = {name: self._images.tags.get(name, s.image) for name, s in self._outer_model.services.items()}
            found = {name: image_content(client, image) for name, image in names.items()}
        for host, project in self.inner.items():
            found |= {f"{host}/{name}": image for name, image in project.built().items()}
        return found

    def _build(self, services: list[str], say: Say) -> None:
        say(f"building {len(services)} image{'s' if len(services) > 1 else ''} of {self.folder.name}")
        news = News(say, self.folder.name, r"#\d+ (\[\S+ \d+/\d+\]|naming to|ERROR)")
        try:
            self._compose(self._document(keep_build=True), _BUILD_LIMIT, news.line).build_services(services)
        except ComposeFailedError as failed:
            raise self._topology_error("could not be built", failed) from failed
        say(f"the images of {self.folder.name} are ready")

    def up(self, say: Say) -> None:
        """Create and start everything; what is missing is built first. Raises EngineError, TopologyError."""
        self.build(say)
        hosts = f" and {len(self.inner)} nested hosts" if self.inner else ""
        say(f"starting {len(self._model.services)} services{hosts} of {self.name}")
        self._start("")
        if self.inner:
            self.nested_up()

    def nested_up(self) -> None:
        """Start whatever does not run in the nested hosts. Raises EngineError, TopologyError."""
        outer = self.containers()
        self.engines.keep({host: outer[host] for host in self.inner})
        in_parallel(lambda host: self.inner[host]._start(self.engines.address(host)), list(self.inner))

    def _start(self, address: str) -> None:
        try:
            self._compose(self._document(), _UP_LIMIT, address=address).start()
        except ComposeFailedError as failed:
            raise self._topology_error("did not start", failed) from failed

    def down(self) -> None:
        """Remove containers, networks and volumes. Harmless if nothing is up. Raises EngineError, TopologyError."""
        self.engines.close()
        try:
            self._compose(self._document(), _DOWN_LIMIT).stop()
        except ComposeFailedError as failed:
            raise self._topology_error("could not be taken down", failed) from failed

    def containers(self) -> Mapping[str, str]:
        """Container id of each service that has a container, running or not. Raises EngineError."""
        with image_client(f"listing the containers of {self.name}") as client:
            rows = client.api.containers(
                all=True, filters={"label": [f"com.docker.compose.project={self.name}", f"{RUN_LABEL}={self.run}"]}
            )
        return {row["Labels"]["com.docker.compose.service"]: str(row["Id"]) for row in rows}

    def network(self) -> str:
        """Name of the network that load and observers join: the default one, else the first. Raises TopologyError."""
        networks: Mapping[str, Any] = self._resolved.get("networks") or {}
        if not networks:
            raise TopologyError(f"the topology {self.folder.name} has no network of its own to watch it from")
        chosen = networks.get("default") or next(iter(networks.values()))
        return str(chosen["name"])

    @cached_property
    def inner(self) -> Mapping[str, ComposeProject]:
        """The project within each nested host, whatever else is wrong with the files. Raises ScenarioError."""
        return {host: self._inner(host, entry.files) for host, entry in nested_hosts(self._resolved).items()}

    def _inner(self, host: str, files: Sequence[str]) -> ComposeProject:
        folder = (self.folder / files[0]).parent
        names = [os.path.relpath(self.folder / file, folder) for file in files]
        return ComposeProject(folder, names, host.lower(), self.run, self.lane, publish=True, host=host)

    @cached_property
    def _source(self) -> ComposeSource:
        return read_whole(self.folder, self.files)

    @cached_property
    def _resolved(self) -> dict[str, Any]:
        """What compose makes of the files."""
        environment = {HOST_VARIABLE: self.host} if self.host else None
        document = resolve(self.folder, self.files, self.name, self._source, environment)
        if self.host and EXTENSION in document:
            message = f"{EXTENSION} is for the topology's own files; these are of what runs in its nested hosts"
            raise ScenarioError([self._source.problem(message, EXTENSION)])
        if nested_hosts(document):
            networks = document.setdefault("networks", {})
            networks.setdefault("default", {"name": f"{self.name}_default"})
            for key, entry in networks.items():  # names are looked up in it as in a domain, where there is no "_"
                if entry.get("name") == f"{self.name}_{key}":
                    entry["name"] = f"{self.name}-{key}".replace("_", "-")
        return document

    @cached_property
    def _outer_model(self) -> ComposeModel:
        return compose_model(self._resolved, self._source)

    @cached_property
    def _model(self) -> ComposeModel:
        """The topology with the services of its nested hosts. Raises ScenarioError with the problems of all files."""
        services: dict[str, tuple[str, ...]] = {}
        problems: list[Problem] = []
        for host, inner in self.inner.items():
            try:
                services[host] = tuple(inner.model().services)
            except ScenarioError as error:
                problems += error.problems
        try:
            outer = self._outer_model
        except ScenarioError as error:
            raise ScenarioError(list(dict.fromkeys([*error.problems, *problems]))) from error
        if problems:
            raise ScenarioError(list(dict.fromkeys(problems)))
        whole = {host: replace(entry, services=services[host]) for host, entry in outer.nested.items()}
        return replace(outer, nested=whole)

    @cached_property
    def _images(self) -> Images:
        """Tags by content as it is when first asked for: what is brought up is what was built."""
        with image_client("naming images") as client:
            return name_images(client, self.folder, self._model, self._resolved)

    def _document(self, *, keep_build: bool = False) -> str:
        """Give the project as compose is to bring it up (or build it), as JSON, which is YAML too."""
        document = copy.deepcopy(self._resolved)
        document.pop(EXTENSION, None)
        labels = {RUN_LABEL: self.run, LANE_LABEL: self.lane}
        for name, service in document["services"].items():
            service["labels"] = {**(service.get("labels") or {}), **labels}
            if tag := self._images.tags.get(name):
                service["image"], service["pull_policy"] = tag, "never"
                build = service.pop("build", None)
                if build is not None and keep_build:
                    image_labels = {**(build.get("labels") or {}), "shaketable.image": "topology"}
                    service["build"] = {**build, "labels": image_labels}
            if not self.publish:
                service.pop("ports", None)
                service.pop("container_name", None)
        if self._model.nested and not keep_build:
            self._add_nested(document, labels)
        for part in ("networks", "volumes"):
            for name, entry in (document.get(part) or {}).items():
                if not (entry or {}).get("external"):
                    document[part][name] = {
                        **(entry or {}),
                        "labels": {**((entry or {}).get("labels") or {}), **labels},
                    }
        for name, device in self.devices.items():
            document["volumes"][name] |= {"driver": "local", "driver_opts": {"type": "ext4", "device": device}}
        return json.dumps(document)

    def _add_nested(self, document: dict[str, Any], labels: Mapping[str, str]) -> None:
        """Write the nested hosts into the document. `down` may come before `build`: it needs their names only."""
        volumes = document.setdefault("volumes", {})
        store = self._store or "shaketable-images"
        volumes[store] = {"name": store, "external": True}
        for host, entry in self._model.nested.items():
            image = self._nested_images.get(entry.version, nested.VERSIONS[0])
            service = nested.service(host, entry, image=image, network=self.network(), store=store)
            document["services"][host] = {**service, "labels": {**service["labels"], **labels}}
            volumes.setdefault(nested.data_volume(host), {})

    def _compose(self, document: str, limit: float, on_line: Say = lambda _: None, *, address: str = "") -> Compose:
        return Compose(
            self.folder, project=self.name, document=lambda: document, limit=limit, on_line=on_line, address=address
        )

    def _topology_error(self, state: str, failed: ComposeFailedError) -> TopologyError | EngineError:
        words = failed.finished.last(8)
        if "Cannot connect to the Docker daemon" in words or "error during connect" in words:
            return EngineError(f"the Docker engine does not answer (compose {failed.what})", hint="shaketable doctor")
        late = "its time ran out; compose's last words" if failed.finished.late else "compose says"
        return TopologyError(f"the topology {self.folder.name} {state}; {late}:\n{words}")
