"""Figures of nested hosts: how soon the engine of one answers, and what it costs to run a project in there."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from bench import Log, quantile

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.nested_engine import await_engine, tunnel
from shaketable.run.session import new_run

TIMES = 5
INNER = Path(__file__).parents[1] / "docker" / "nested" / "host"
_OUTER = """
x-shaketable: {nested: {only: {compose: [host/compose.yaml], engine: "20.10"}}}
services: {}
"""


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


@contextmanager
def project(folder: Path, files: list[str]) -> Iterator[ComposeProject]:
    """A project that is taken down afterwards."""
    run = new_run()
    made = ComposeProject(folder, files, f"st-{run}-bench", run, "1")
    try:
        yield made
    finally:
        made.down()
        engine = DockerEngine()
        engine.remove_run(run)
        engine.close()


def figures(log: Log) -> dict[str, Any]:
    """Medians: four services up on the engine itself and in a nested host, and a nested host's engine alone."""
    plain, nested, answers = [], [], []
    client = docker.from_env()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(INNER, folder / "host")
        (folder / "compose.yaml").write_text(_OUTER)
        for _ in range(TIMES):
            with project(folder / "host", ["compose.yaml"]) as here:
                here.build(log.say)
                plain.append(seconds(lambda here=here: here.up(log.say)))
            with project(folder, ["compose.yaml"]) as inside:
                inside.build(log.say)
                nested.append(seconds(lambda inside=inside: inside.up(log.say)))
                box = client.containers.get(inside.containers()["only"])
                box.stop(timeout=20)
                answers.append(seconds(lambda box=box: _start(client, box)))
    client.close()
    medians = {"plain_up_s": quantile(plain, 0.5), "nested_up_s": quantile(nested, 0.5)}
    return {
        "times": TIMES,
        **medians,
        "ratio": round((medians["nested_up_s"] or 0) / (medians["plain_up_s"] or 1), 2),
        "engine_answers_after_s": {"p50": quantile(answers, 0.5), "max": quantile(answers, 1.0)},
    }


def _start(client: docker.DockerClient, box: Any) -> None:
    box.start()
    with tunnel(client, box.id) as address:
        await_engine(address, "the nested host's engine").close()
