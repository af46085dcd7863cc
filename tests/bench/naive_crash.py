"""The same verdict the way one gets it without shaketable: pytest, testcontainers, `docker kill`, poll, take down.

Not collected with the other tests; `bench.py` runs it and counts its trials per minute.
"""

from __future__ import annotations

import json
import os
import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from testcontainers.compose import DockerCompose

TOPOLOGY = Path(__file__).parents[2] / "compose" / "backoffice"
TRIALS = int(os.environ.get("NAIVE_TRIALS", "3"))
poll = retry(
    stop=stop_after_delay(30),
    wait=wait_fixed(0.1),
    retry=retry_if_exception_type((AssertionError, OSError)),
    reraise=True,
)


@pytest.fixture
def topology(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[DockerCompose]:
    """A fresh topology for each trial, its lists published on loopback."""
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", f"naive-{os.getpid()}-{request.node.callspec.params['trial']}")
    files = ["compose.yaml", os.environ["NAIVE_OVERRIDE"]]
    with DockerCompose(TOPOLOGY, compose_file_name=files, wait=False) as compose:
        yield compose


def lists(compose: DockerCompose, back_office: str) -> dict[str, list[str]]:
    """Both lists as one back office has them."""
    host, port = compose.get_service_host_and_port(back_office, 8081)
    with urllib.request.urlopen(f"http://{host}:{port}/lists", timeout=2) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize("trial", range(TRIALS))
def test_a_killed_host_leaves_the_lists(topology: DockerCompose, trial: int) -> None:
    """Kill one host, poll both back offices until it has left, start it again, poll until it is back."""

    @poll
    def all_there() -> None:
        for back_office in ("back-office-1", "back-office-2"):
            assert len(lists(topology, back_office)["services"]) == 12

    @poll
    def gone(host: str) -> None:
        for back_office in ("back-office-1", "back-office-2"):
            both = lists(topology, back_office)
            assert not [e for e in both["servers"] + both["services"] if e.split("/")[0] == host]

    all_there()
    victim = random.Random(trial).choice(["host-1", "host-2", "host-3"])
    client = docker.from_env()
    project = os.environ["COMPOSE_PROJECT_NAME"]
    containers = client.containers.list(filters={"label": f"com.docker.compose.project={project}"})
    members = [c for c in containers if c.labels["com.docker.compose.service"].startswith(victim)]
    for member in members:
        member.kill()
    gone(victim)
    for member in sorted(members, key=lambda m: len(m.labels["com.docker.compose.service"])):
        member.start()
    all_there()
