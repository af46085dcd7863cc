"""The tools image: what runs beside the targets, built on the engine from this very package and cached by content."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import docker

from shaketable.adapters import command
from shaketable.adapters.base_image import ensure_base
from shaketable.adapters.command import Say
from shaketable.adapters.engine_client import image_client
from shaketable.adapters.image_build import News, build_image, content_hash, image_id
from shaketable.adapters.paths import locked, state_dir
from shaketable.model.errors import EngineError

REPOSITORY: Final = "shaketable/tools"
_BASE_REPOSITORY: Final = "shaketable/tools-base"
LABELS: Final = {"shaketable.image": "tools"}
REQUIREMENTS: Final = ("locust>=2.47,<3", "pip>=23,<27")
"""Installed in the image; pip itself comes along as a wheel, and is run from it."""
PYTHON: Final = "3.11"
"""The Python of the base image's Debian release."""
_DOWNLOAD_LIMIT: Final = 900.0
_ARCHITECTURES: Final = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}
_GLIBC: Final = (36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)
"""Minor versions of the glibc 2 that wheels may ask for; the base image has 2.36."""


def _source(name: str) -> Traversable:
    return resources.files("shaketable") / name


def dockerfiles() -> Mapping[str, bytes]:
    """Give the two Dockerfiles by name: what seldom changes, and our code on top of it."""
    folder = _source("adapters") / "tools_image"
    return {name: (folder / name).read_bytes() for name in ("base.Dockerfile", "code.Dockerfile")}


def sources() -> dict[str, bytes]:
    """Content of every Python file that goes into the image, by its path there."""
    files = {"shaketable/__init__.py": _source("__init__.py").read_bytes()}
    for part in ("agent", "observers"):
        _collect(_source(part), f"shaketable/{part}", files)
    return files


def _collect(folder: Traversable, name: str, files: dict[str, bytes]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            _collect(entry, f"{name}/{entry.name}", files)
        elif entry.name.endswith(".py"):
            files[f"{name}/{entry.name}"] = entry.read_bytes()


def tools_tag(code: Mapping[str, bytes]) -> str:
    """Name of the tools image with this code (see `sources`); tells nothing about whether it is built."""
    parts = {**dockerfiles(), "requirements": _needs(), **code}
    return f"{REPOSITORY}:{content_hash(sorted(parts.items()))}"


def ensure_tools_image(say: Say) -> str:
    """Give the name of the tools image, built if it is not there. Raises EngineError, UsageError."""
    code = sources()
    tag = tools_tag(code)
    with image_client("looking for the tools image") as client:
        if image_id(client, tag):
            return tag
        with locked("tools-image"):
            if image_id(client, tag):
                return tag
            base = _ensure_tools_base(client, say)
            recipe = dockerfiles()["code.Dockerfile"].replace(b"@BASE@", base.encode())
            build_image(client, tag, {"Dockerfile": recipe, **code}, say, labels=LABELS, network="none")
            say(f"{tag} is ready")
    return tag


def _ensure_tools_base(client: docker.DockerClient, say: Say) -> str:
    """Give the name of the image with Debian's and Locust's packages, built if it is not there."""
    base = ensure_base(say)
    recipe = dockerfiles()["base.Dockerfile"]
    tag = f"{_BASE_REPOSITORY}:{content_hash([('base', base.encode()), ('recipe', recipe), ('needs', _needs())])}"
    if not image_id(client, tag):
        wheels = _wheels(str(client.version()["Arch"]), say)
        files = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
        build_image(client, tag, {"Dockerfile": recipe, **files}, say, labels=LABELS)
    return tag


def _needs() -> bytes:
    return "\n".join([*REQUIREMENTS, PYTHON]).encode()


def _wheels(engine_architecture: str, say: Say) -> list[Path]:
    """Download the wheels on this machine, which has an index and certificates that a container may lack; kept."""
    machine = _ARCHITECTURES.get(engine_architecture)
    if machine is None:
        raise EngineError(f"the engine runs on {engine_architecture}; the tools image is made for amd64 and arm64 only")
    folder = state_dir() / "wheels" / content_hash([("needs", _needs()), ("machine", machine.encode())])
    if not folder.is_dir():
        folder.parent.mkdir(exist_ok=True)
        say(f"downloading {' and '.join(REQUIREMENTS)} for the tools image")
        with tempfile.TemporaryDirectory(prefix="new-", dir=folder.parent) as temporary:
            _download(Path(temporary), machine, say)
            complete = Path(shutil.copytree(temporary, folder.with_suffix(".part"), dirs_exist_ok=True))
        complete.rename(folder)
    return sorted(folder.glob("*.whl"))


def _download(folder: Path, machine: str, say: Say) -> None:
    arguments = [
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON}"),
        *(f"--platform=manylinux_2_{minor}_{machine}" for minor in _GLIBC),
        *(f"--platform=manylinux2014_{machine}", f"--platform=manylinux2010_{machine}", f"--platform=linux_{machine}"),
        *("--progress-bar=off", "--disable-pip-version-check", f"--dest={folder}"),
    ]
    news = News(say, "pip", r"(Downloading|ERROR)")
    # pip talks on stdout; the shell folds it into the stream that is heard line by line
    words = ["sh", "-c", 'exec "$@" >&2', "sh", sys.executable, "-m", "pip", "download", *arguments, *REQUIREMENTS]
    done = command.run(words, limit=_DOWNLOAD_LIMIT, on_line=news.line)
    if not done.ok:
        raise EngineError(
            f"the packages of the tools image could not be downloaded:\n{done.last()}",
            hint="pip on this machine must reach a package index",
        )
