"""Building an image from files held in memory, and telling by a hash whether it is built already."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import docker
from docker.errors import ImageNotFound

from shaketable.adapters.command import Say
from shaketable.model.errors import EngineError

_NEWS_EVERY = 5.0
_WIDTH = 110


def content_hash(parts: Iterable[tuple[str, bytes]]) -> str:
    """Sixteen hex digits that change with any name, content or the order of the parts."""
    digest = hashlib.blake2b(digest_size=8)
    for name, content in parts:
        digest.update(f"{len(name)}:{name}{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def context_tar(files: Mapping[str, bytes]) -> bytes:
    """Pack a build context. The same files give the same bytes, so that the engine's build cache hits."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


class News:
    """Passes on what a long step prints: every heading, and the latest line when nothing was said for a while."""

    def __init__(self, say: Say, what: str, heading: str) -> None:
        self._say, self._what, self._heading = say, what, re.compile(heading)
        self._said = time.monotonic()

    def line(self, text: str) -> None:
        """Hear one line of output."""
        text = text.strip()
        if text and (self._heading.match(text) or time.monotonic() - self._said > _NEWS_EVERY):
            self._said = time.monotonic()
            self._say(f"{self._what}: {text if len(text) <= _WIDTH else text[: _WIDTH - 3] + '...'}")


def image_id(client: docker.DockerClient, name: str) -> str:
    """Id of a local image; empty when there is none of this name."""
    try:
        return str(client.images.get(name).id)
    except ImageNotFound:
        return ""


_CONFIGURES: Final = (
    *("Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "OnBuild"),
    *("Shell", "StopSignal", "User", "Volumes", "WorkingDir"),
)
_NOT_ITS_OWN: Final = ("com.docker.compose.", "shaketable.")


def image_content(client: docker.DockerClient, name: str) -> str:
    """Digest of what a local image has in it and how it runs: its layers and configuration; empty when there is none.

    An image's id depends on more: on the labels that compose gives it, with the name of the project that built it, and on
    the time. Built again with the same layers from the cache, it is the same to whoever runs it, and has another id.
    """
    try:
        found = client.images.get(name).attrs
    except ImageNotFound:
        return ""
    config = found.get("Config") or {}
    labels = config.get("Labels") or {}
    parts = {
        "layers": (found.get("RootFS") or {}).get("Layers") or [str(found["Id"])],
        "machine": [found.get(key) or "" for key in ("Os", "Architecture", "Variant")],
        "config": {key: config[key] for key in _CONFIGURES if config.get(key)},
        "labels": {key: value for key, value in labels.items() if not key.startswith(_NOT_ITS_OWN)},
    }
    return f"sha256:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


def build_image(
    client: docker.DockerClient,
    tag: str,
    files: Mapping[str, bytes],
    say: Say,
    *,
    labels: Mapping[str, str],
    network: str = "default",
    args: Mapping[str, str] | None = None,
) -> None:
    """Build `files` (with a `Dockerfile` among them) as `tag`. Raises EngineError with the last lines printed."""
    news, last = News(say, tag.partition(":")[0], r"Step \d+/\d+ "), [""]
    context = io.BytesIO(context_tar(files))
    options: dict[str, Any] = {"custom_context": True, "encoding": "gzip", "rm": True, "forcerm": True, "decode": True}
    options["buildargs"] = dict(args or {})
    events = client.api.build(fileobj=context, tag=tag, labels=dict(labels), network_mode=network, **options)
    for event in events:
        if "error" in event:
            raise EngineError(f"the image {tag} could not be built: {event['error'].strip()}\n" + "\n".join(last[-5:]))
        for line in str(event.get("stream", "")).splitlines():
            if line.strip() and not line.startswith(" --->"):
                last.append(line.strip())
                news.line(line)
