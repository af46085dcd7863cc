"""A compose project as one run uses it: read, built, brought up under labels of ours, and taken down."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from shaketable.adapters.command import Say
from shaketable.adapters.compose_build import Images, ensure_bases, name_images
from shaketable.adapters.compose_command import Compose, ComposeFailedError, compose_version
from shaketable.adapters.compose_config import read_whole, resolve
from shaketable.adapters.compose_model import EXTENSION, ComposeModel, compose_model
from shaketable.adapters.compose_source import ComposeSource
from shaketable.adapters.engine_client import image_client
from shaketable.adapters.image_build import News, image_id
from shaketable.adapters.paths import locked
from shaketable.model.errors import EngineError, TopologyError

__all__ = ["ComposeProject", "compose_version"]

RUN_LABEL = "shaketable.run"
LANE_LABEL = "shaketable.lane"
_BUILD_LIMIT = 1800.0
_UP_LIMIT = 180.0
_DOWN_LIMIT = 90.0


class ComposeProject:
    """The compose `files` of `folder` as project `name`; everything in it carries the labels of `run` and `lane`.

    Compose reads the user's files itself; what it makes of them is changed here and handed back to it as text, so that
    nothing is written into the user's folder. Published ports and fixed container names are left out unless `publish`:
    they would make two lanes collide, and load and observers live in the topology's own network.
    """

    def __init__(
        self, folder: Path, files: Sequence[str], name: str, run: str, lane: str = "", *, publish: bool = False
    ) -> None:
        self.folder = folder.absolute()
        self.files = tuple(files)
        self.name = name
        self.run, self.lane, self.publish = run, lane, publish
        self.devices: Mapping[str, str] = {}
        """The disk under each volume that has one of its own, as `/dev/loop3`; it holds an ext4."""

    def model(self) -> ComposeModel:
        """Read the topology. Raises ScenarioError with every problem in the files, EngineError without a compose v2."""
        return self._model

    def build(self, say: Say) -> None:
        """Get or build every image that is not on the engine yet. Raises EngineError, TopologyError."""
        with image_client(f"looking for the images of {self.folder.name}") as client:
            ensure_bases(client, self._model, say)
            images = self._images
            if not any(not image_id(client, tag) for tag in images.builds):
                return
            with locked("topology-images"):
                missing = [service for tag, service in images.builds.items() if not image_id(client, tag)]
                if missing:
                    self._build(missing, say)

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
        say(f"starting {len(self._model.services)} services of {self.name}")
        try:
            self._compose(self._document(), _UP_LIMIT).start()
        except ComposeFailedError as failed:
            raise self._topology_error("did not start", failed) from failed

    def down(self) -> None:
        """Remove containers, networks and volumes. Harmless if nothing is up. Raises EngineError, TopologyError."""
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
    def _source(self) -> ComposeSource:
        return read_whole(self.folder, self.files)

    @cached_property
    def _resolved(self) -> dict[str, Any]:
        """What compose makes of the files."""
        return resolve(self.folder, self.files, self.name, self._source)

    @cached_property
    def _model(self) -> ComposeModel:
        return compose_model(self._resolved, self._source)

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

    def _compose(self, document: str, limit: float, on_line: Say = lambda _: None) -> Compose:
        return Compose(self.folder, project=self.name, document=lambda: document, limit=limit, on_line=on_line)

    def _topology_error(self, state: str, failed: ComposeFailedError) -> TopologyError | EngineError:
        words = failed.finished.last(8)
        if "Cannot connect to the Docker daemon" in words or "error during connect" in words:
            return EngineError(f"the Docker engine does not answer (compose {failed.what})", hint="shaketable doctor")
        late = "its time ran out; compose's last words" if failed.finished.late else "compose says"
        return TopologyError(f"the topology {self.folder.name} {state}; {late}:\n{words}")
