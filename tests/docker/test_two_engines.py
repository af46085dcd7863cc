"""Two engines, two terminals, two runs at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import SCENARIO
from second_engine import NEEDS_ROOT, SecondEngine

from shaketable.adapters.base_image import BASE
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.run.prepare import load_all, prepare_images, project_of

pytestmark = NEEDS_ROOT


@pytest.fixture
def second_engine(engine: DockerEngine, tools_image: str) -> Iterator[str]:
    """Address of another engine, in a network namespace of its own, with the images of this one."""
    prepare_images([SCENARIO], print)
    (loaded,) = load_all([SCENARIO])
    built = project_of(loaded, "fixed", "st-images", "images", "0")._images.tags.values()
    with SecondEngine({BASE, tools_image, *built}) as second:
        yield second.address


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
