"""Another Docker engine on this machine, in a network namespace of its own: it cannot touch the first one's bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Self

import docker
import pytest

from shaketable.adapters.host_engine import start_engine, stop_engine

DOCKERD = shutil.which("dockerd") or "/usr/sbin/dockerd"
NEEDS_ROOT = pytest.mark.skipif(
    os.geteuid() != 0 or not Path(DOCKERD).exists() or not shutil.which("unshare"),
    reason="a second engine needs root, dockerd and unshare",
)


class SecondEngine:
    """Runs for a block, with copies of these images of the first engine."""

    def __init__(self, images: Collection[str]) -> None:
        self._images = images
        self._place = tempfile.TemporaryDirectory(prefix="st-", dir="/tmp")
        self._folder = Path(self._place.name)
        self.address = f"unix://{self._folder}/docker.sock"

    def start(self) -> None:
        """Start it on its data folder, the first time or again."""
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
        options = [f"--{option}={self._folder / name}" for option, name in places.items()]
        words = ["unshare", "--net", DOCKERD, f"--host={self.address}", *options]
        start_engine(self._folder / "state", words, self.address, print)

    def stop(self) -> None:
        """Stop it, its containers with it."""
        stop_engine(self._folder / "state", print)

    def __enter__(self) -> Self:
        self.start()
        client, other = docker.from_env(), docker.DockerClient(base_url=self.address, timeout=120)
        for tag in self._images:
            other.images.load(client.images.get(tag).save(named=tag))
        other.close()
        client.close()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for line in Path("/proc/mounts").read_text().splitlines():  # it leaves its networks' handles mounted
            if (mount := line.split()[1]).startswith(f"{self._folder}/"):
                subprocess.run(["umount", mount], check=True)
        self._place.cleanup()
