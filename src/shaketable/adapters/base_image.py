"""The base image everything is built on: pulled, or made from Debian packages where there is no container registry."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException

from shaketable.adapters import apt, command
from shaketable.adapters.command import Say
from shaketable.adapters.engine_client import image_client, why
from shaketable.adapters.image_build import News, image_id
from shaketable.adapters.paths import locked, state_dir
from shaketable.model.errors import EngineError

BASE = "debian:bookworm-slim"
_SUITE = "bookworm"
_PULL_SILENCE = 20
_BOOTSTRAP_LIMIT = 1200.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SHARED = ("doc", "man", "info", "locale")
_NOT_NEEDED = (*(f"usr/share/{name}" for name in _SHARED), "var/lib/apt/lists", "var/cache/apt", "var/log")


def ensure_base(say: Say) -> str:
    """Give the id of `debian:bookworm-slim`; pull it if it is not there, or build it if it cannot be pulled.

    Raises EngineError.
    """
    with image_client("looking for the base image") as client:
        if found := image_id(client, BASE):
            return found
        with locked("base-image"):
            if found := image_id(client, BASE):
                return found
            if problem := pull(BASE, say):
                say(f"{BASE} cannot be pulled ({problem})")
                bootstrap(client, BASE, say, problem)
            return image_id(client, BASE)


def pull(image: str, say: Say) -> str:
    """Pull an image; an empty text, or why it could not be. Gives up after 20 s without news from the engine."""
    say(f"pulling {image}")
    whole = "@" in image or ":" not in image.rpartition("/")[2]
    name, tag = (image, None if "@" in image else "latest") if whole else image.rsplit(":", 1)
    news = News(say, image, "(Status|Digest)")
    try:
        with contextlib.closing(docker.from_env(timeout=_PULL_SILENCE)) as client:
            for event in client.api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in event:
                    return str(event["error"])
                news.line(f"{event.get('id', '')} {event.get('status', '')}")
    except (APIError, DockerException, requests.RequestException) as error:
        return why(error)
    return ""


def bootstrap(client: docker.DockerClient, tag: str, say: Say, pull_problem: str) -> None:
    """Build the base image as `tag` from Debian packages. Raises EngineError where this machine cannot."""
    mirror = apt.debian_mirror(_SUITE, apt.sources()) or apt.debian_mirror(
        apt.this_release().codename, [s for s in apt.sources() if apt.this_release().id == "debian"]
    )
    if sys.platform != "linux" or os.geteuid() != 0 or mirror is None:
        raise EngineError(
            f"the base image {tag} is not on the engine and cannot be pulled: {pull_problem}",
            hint="let the engine reach a registry, or `docker load` the image; as root on Debian it is built instead",
        )
    say("building it from Debian packages instead")
    if not shutil.which("debootstrap"):
        apt.update(say)
        apt.install(["debootstrap"], say)
    with tempfile.TemporaryDirectory(prefix="base-", dir=state_dir(), ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "root"
        _debootstrap(root, mirror, say)
        configure(root, mirror, apt.container_settings())
        say(f"importing it as {tag}")
        _import(client, root, tag)


def _debootstrap(root: Path, mirror: apt.Mirror, say: Say) -> None:
    headings = r"I: (Retrieving InRelease|Resolving|Base system|Installing|Unpacking the)"
    news = News(say, "debootstrap", headings)
    arguments = ["debootstrap", "--variant=minbase"]
    if mirror.main.startswith("https:"):
        arguments.append("--include=ca-certificates")
    if _KEYRING.exists():
        arguments.append(f"--keyring={_KEYRING}")
    # debootstrap talks on stdout; the shell folds it into the stream that is heard line by line
    words = ["sh", "-c", 'exec "$@" >&2', "sh", *arguments, _SUITE, str(root), mirror.main]
    done = command.run(words, limit=_BOOTSTRAP_LIMIT, on_line=news.line, environment={"LC_ALL": "C.UTF-8"})
    if not done.ok:
        raise EngineError(
            f"debootstrap could not make {BASE}:\n{done.last()}", hint="look at the machine's apt sources"
        )


def configure(root: Path, mirror: apt.Mirror, settings: Sequence[str]) -> None:
    """Turn a fresh Debian tree into a slim image: updates and fixes from this machine's mirrors, no ballast."""
    lines = [f"deb {mirror.main} {_SUITE} main", f"deb {mirror.main} {_SUITE}-updates main"]
    if mirror.security:
        lines.append(f"deb {mirror.security} {_SUITE}-security main")
    (root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    kept = ['Acquire::Languages "none";', 'Acquire::GzipIndexes "true";', 'Apt::AutoRemove::SuggestsImportant "false";']
    (root / "etc/apt/apt.conf.d/90container").write_text("\n".join([*kept, *settings]) + "\n")
    policy = root / "usr/sbin/policy-rc.d"  # packages must not start their services while an image is built
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    for path in _NOT_NEEDED:
        for entry in [*(root / path).glob("*"), *(root / path).glob(".[!.]*")]:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)


def _import(client: docker.DockerClient, root: Path, image: str) -> None:
    """Stream the tree into the engine as an image. Raises EngineError."""
    name, _, tag = image.partition(":")
    with subprocess.Popen(["tar", "-C", str(root), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE) as tar:
        answer = client.api.import_image_from_stream(tar.stdout, repository=name, tag=tag, changes=['CMD ["bash"]'])
    if tar.returncode != 0 or "error" in str(answer):
        raise EngineError(f"the engine could not import {image}: {str(answer)[-300:]}")
