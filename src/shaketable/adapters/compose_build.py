"""Images of a topology's own services, named by a hash of all that goes into them, so that nothing is built twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.utils.build import exclude_paths

from shaketable.adapters.base_image import BASE, ensure_base, pull
from shaketable.adapters.command import Say
from shaketable.adapters.compose_model import Build, ComposeModel
from shaketable.adapters.dockerfile import bases
from shaketable.adapters.image_build import content_hash, image_id
from shaketable.model.errors import TopologyError


@dataclass(frozen=True, slots=True)
class Images:
    """`tags`: image by service, for those built here; `builds`: for each tag, one service that builds it."""

    tags: Mapping[str, str]
    builds: Mapping[str, str]


def ensure_bases(client: docker.DockerClient, model: ComposeModel, say: Say) -> None:
    """See to it that every image the topology begins from is on the engine. Raises EngineError, TopologyError."""
    needed: dict[str, str] = {}
    own = _built_as(model)
    for service in model.services.values():
        if service.build is None:
            if service.image in own:
                continue
            needed.setdefault(service.image, f"service {service.name}")
            continue
        for base in base_images(dockerfile_text(service.name, service.build), service.build.args):
            needed.setdefault(base, f"the Dockerfile of service {service.name}")
    for image, who in needed.items():
        if image_id(client, image):
            continue
        if image in {BASE, f"docker.io/library/{BASE}"}:
            ensure_base(say)
        elif problem := pull(image, say):
            raise TopologyError(
                f"the image {image}, which {who} needs, is not on the engine and cannot be pulled: {problem}",
                hint="check its name, let the engine reach the registry, or `docker load` it",
            )


def name_images(client: docker.DockerClient, folder: Path, model: ComposeModel, resolved: Mapping[str, Any]) -> Images:
    """Name the image of each service that is built. Its base images must be on the engine already."""
    tags: dict[str, str] = {}
    builds: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name, service in model.services.items():
        if service.build is None:
            continue
        recipe = json.dumps(resolved["services"][name]["build"], sort_keys=True)
        if recipe not in hashes:
            hashes[recipe] = _hash(client, name, service.build, recipe)
        tags[name] = f"shaketable/{_slug(folder, service.build)}:{hashes[recipe]}"
        builds.setdefault(tags[name], name)
    own = _built_as(model)
    for name, service in model.services.items():
        if service.build is None and service.image in own:
            tags[name] = tags[own[service.image]]
    return Images(tags, builds)


def _built_as(model: ComposeModel) -> dict[str, str]:
    """Service that builds an image, by the image's name in the file: others may use it and not say how it is built."""
    return {s.image: s.name for s in model.services.values() if s.build is not None and s.image}


def _slug(folder: Path, build: Build) -> str:
    """Give a readable name: the topology's folder, then what tells this build from its others."""
    parts = [folder.name]
    if build.context != folder:
        parts.append(build.context.name)
    if build.target:
        parts.append(build.target)
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-") or "topology"


def _hash(client: docker.DockerClient, service: str, build: Build, recipe: str) -> str:
    text = dockerfile_text(service, build)
    bases = [(f"base {base}", image_id(client, base).encode()) for base in base_images(text, build.args)]
    without_path = recipe.replace(json.dumps(str(build.context)), '"."')  # a checkout elsewhere is the same build
    return content_hash([("recipe", without_path.encode()), ("Dockerfile", text.encode()), *bases, *_context(build)])


def dockerfile_text(service: str, build: Build) -> str:
    """Text of a build's Dockerfile. Raises TopologyError."""
    if build.inline:
        return build.inline
    path = build.context / build.dockerfile
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise TopologyError(f"the Dockerfile of service {service} cannot be read: {path}: {error.strerror}") from error


def base_images(dockerfile: str, args: Mapping[str, str]) -> list[str]:
    """Name the images from outside that a Dockerfile's stages begin from, as far as its variables are known."""
    found = [base.image for base in bases(dockerfile, args) if not base.copied and "$" not in base.image]
    return list(dict.fromkeys(found))


def _context(build: Build) -> Iterator[tuple[str, bytes]]:
    """Every file of the build context that the engine would be sent: (path, mode and content)."""
    for name in sorted(exclude_paths(str(build.context), _ignored(build), build.dockerfile)):
        if name == ".dockerignore":  # what it does shows in the other files
            continue
        path = build.context / name
        if path.is_symlink():
            yield name, f"link {path.readlink()}".encode()
        elif path.is_file():
            runs = b"x" if path.stat().st_mode & 0o111 else b"-"
            yield name, runs + path.read_bytes()


def _ignored(build: Build) -> list[str]:
    """Patterns of the .dockerignore that counts for this build."""
    for name in (f"{build.dockerfile}.dockerignore", ".dockerignore"):
        path = build.context / name
        if path.is_file():
            lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
            return [line for line in lines if line and not line.startswith("#")]
    return []
