"""The engine itself restarts while a fault is held, on an engine of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from cleanup import machine, seconds_until
from second_engine import NEEDS_ROOT, SecondEngine

from shaketable.adapters.base_image import BASE
from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.journal import journals
from shaketable.faults import OURS
from shaketable.run.conform import canary

RESTART = os.environ.get("RESTART_KINDS", "power-off,freeze,slow,disk-stall")
KINDS = [k for k in OURS if RESTART == "all" or k in RESTART.split(",")]
AFTER = 5.0
"""Seconds after the engine's return: a second for its own start, two for the guard's next try, two for us."""
pytestmark = NEEDS_ROOT


@pytest.fixture(scope="module")
def second(engine: DockerEngine, tools_image: str) -> Iterator[SecondEngine]:
    """Another engine with the canary's images."""
    with canary(print, [OURS[kind] for kind in KINDS]) as site:
        images = {BASE, tools_image, *site.project.all_images()}
    with SecondEngine(images) as second:
        yield second


@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_that_restarts_leaves_nothing(
    kind: str, second: SecondEngine, engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The harness is killed while the engine is away: once it is back the guard removes everything that was of the run."""
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))
    before = machine(engine)
    harness = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hold_fault.py")), kind],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DOCKER_HOST": second.address},
    )
    assert harness.stdout is not None
    try:
        assert harness.stdout.readline() == "held\n"
        second.stop()
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    assert seconds_until(lambda: machine(engine) == before, 2.0) <= 2.0, machine(engine)
    second.start()
    client = docker.DockerClient(base_url=second.address)
    ours = {"label": RUN_LABEL}
    assert seconds_until(lambda: not journals(), AFTER) <= AFTER
    assert client.containers.list(all=True, filters=ours) == []
    assert client.networks.list(filters=ours) == []
    client.close()
