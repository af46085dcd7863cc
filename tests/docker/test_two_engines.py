"""Two engines, two terminals, two runs at once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from campaigns import SCENARIO

from shaketable.adapters.base_image import BASE
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.host_engine import start_engine, stop_engine
from shaketable.run.prepare import load_all, prepare_images, project_of

DOCKERD = shutil.which("dockerd") or "/usr/sbin/dockerd"
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path(DOCKERD).exists() or not shutil.which("unshare"),
    reason="a second engine needs root, dockerd and unshare",
)


@pytest.fixture
def second_engine(engine: DockerEngine, tools_image: str) -> Iterator[str]:
    """Address of another engine, in a network namespace of its own, with the images of this one."""
    prepare_images([SCENARIO], print)
    client = docker.from_env()
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as place:
        folder = Path(place)
        address = f"unix://{folder}/docker.sock"
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
        words = [
            "unshare",
            "--net",
            DOCKERD,
            f"--host={address}",
            *(f"--{option}={folder / name}" for option, name in places.items()),
        ]
        start_engine(folder / "state", words, address, print)
        try:
            other = docker.DockerClient(base_url=address, timeout=120)
            (loaded,) = load_all([SCENARIO])
            built = project_of(loaded, "fixed", "st-images", "images", "0")._images.tags.values()
            for tag in {BASE, tools_image, *built}:
                other.images.load(client.images.get(tag).save(named=True))
            other.close()
            yield address
        finally:
            stop_engine(folder / "state", print)
            client.close()
            for line in (
                Path("/proc/mounts").read_text().splitlines()
            ):  # the engine leaves its networks' handles mounted
                if (mount := line.split()[1]).startswith(f"{folder}/"):
                    subprocess.run(["umount", mount], check=True)


def start(folder: Path, mode: str, address: str) -> subprocess.Popen[str]:
    """A run in a terminal of its own."""
    words = ["run", str(SCENARIO), "--variant", "fixed", "--only", f"mode={mode}", "--lanes", "1", "--out", str(folder)]
    environment = {**os.environ, **({"DOCKER_HOST": address} if address else {})}
    return subprocess.Popen(
        [sys.executable, "-m", "shaketable.surface.cli", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_engines_two_terminals(tmp_path: Path, second_engine: str) -> None:
    """Each run passes on its own engine and names it; neither sees the other."""
    runs = [start(tmp_path / "one", "power-off", ""), start(tmp_path / "two", "freeze", second_engine)]
    printed = [run.communicate(timeout=240)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("one", "two")]
    assert [r["residue"] for r in results] == [[], []]
    assert [r["scenarios"][0]["trials"][0]["outcome"] for r in results] == ["pass", "pass"]
