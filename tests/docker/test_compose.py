"""Compose projects on a real engine, with a tiny topology."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from shaketable.adapters.compose import ComposeProject
from shaketable.model.errors import EngineError, ScenarioError, TopologyError

pytestmark = pytest.mark.docker

COMPOSE = """
x-shaketable:
  hosts:
    one: [web, app]
x-any: &any {stop_signal: SIGKILL, command: [sleep, "300"]}
services:
  web:
    <<: *any
    build: {context: ., args: {WHICH: "a$$b"}}
    image: tiny:${TINY_TAG:-1}
    ports: ["127.0.0.1:5:80"]
    container_name: tiny-web
    environment: {PRICE: "5$$"}
  app: {<<: *any, image: "tiny:${TINY_TAG:-1}", network_mode: "service:web", volumes: ["data:/data"]}
volumes: {data: {}}
"""
DOCKERFILE = "FROM debian:bookworm-slim\nARG WHICH\nCOPY file /file\n"


def quiet(_: str) -> None:
    """Hear nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Make a tiny topology; the images it leaves are removed."""
    name = f"tiny{os.getpid()}-{tmp_path.name[-8:]}".lower()
    topology = tmp_path / name
    topology.mkdir()
    (topology / "compose.yaml").write_text(COMPOSE)
    (topology / "Dockerfile").write_text(DOCKERFILE)
    (topology / "file").write_text("1")
    yield topology
    client = docker.from_env()
    for image in client.images.list():
        for tag in image.tags:
            if tag.startswith(f"shaketable/{name.replace('_', '-')}"):
                client.images.remove(tag, force=True)
    client.close()


def test_two_lanes_of_a_topology_do_not_meet(folder: Path, run_id: str) -> None:
    """Fixed ports and names would collide; everything carries the labels by which it can be found and removed."""
    lanes = [ComposeProject(folder, ["compose.yaml"], f"{run_id}-{n}", run_id, str(n)) for n in (1, 2)]
    client = docker.from_env()
    try:
        for lane in lanes:
            lane.up(quiet)
        ids = [lane.containers() for lane in lanes]
        assert [sorted(found) for found in ids] == [["app", "web"]] * 2
        assert len({identity for found in ids for identity in found.values()}) == 4
        for number, (lane, found) in enumerate(zip(lanes, ids, strict=True), 1):
            labels = {"shaketable.run": run_id, "shaketable.lane": str(number)}
            web, app = (client.api.inspect_container(found[name]) for name in ("web", "app"))
            assert labels.items() <= web["Config"]["Labels"].items()
            assert labels.items() <= client.networks.get(lane.network()).attrs["Labels"].items()
            volumes = client.volumes.list(filters={"label": f"shaketable.run={run_id}"})
            assert {f"{run_id}-{number}_data"} <= {volume.name for volume in volumes}
            assert web["HostConfig"]["PortBindings"] in (None, {})
            assert app["HostConfig"]["NetworkMode"] == f"container:{found['web']}"
            assert app["Config"]["Image"] == web["Config"]["Image"]
            assert web["Config"]["Image"].startswith("shaketable/tiny")
            assert "PRICE=5$" in web["Config"]["Env"]
    finally:
        for lane in lanes:
            lane.down()
        lanes[0].down()
        client.close()
    assert all(lane.containers() == {} for lane in lanes)


def test_nothing_is_built_twice(folder: Path, run_id: str) -> None:
    """The name of an image says what is in it: the same content is found at once, changed content is built anew."""

    def build() -> tuple[list[str], float]:
        said: list[str] = []
        began = time.monotonic()
        ComposeProject(folder, ["compose.yaml"], run_id, run_id).build(said.append)
        return said, time.monotonic() - began

    first, _ = build()
    assert any("ready" in text for text in first)
    again, seconds = build()
    assert again == []
    assert seconds < 1
    (folder / ".dockerignore").write_text("notes\n.dockerignore\n")
    (folder / "notes").write_text("not part of the image")
    assert build()[0] == []
    (folder / "file").write_text("2")
    assert any("ready" in text for text in build()[0])


def test_composes_refusal_is_a_list_of_problems(folder: Path, run_id: str) -> None:
    """A wrong compose file names file, line and column; there is no traceback and nothing is started."""
    (folder / "wrong.yaml").write_text("services:\n  web:\n    depends_on: [bd]\n  db: {imagee: x}\n")
    with pytest.raises(ScenarioError) as caught:
        ComposeProject(folder, ["compose.yaml", "wrong.yaml"], run_id, run_id).model()
    found = [f"{Path(p.file).name}:{p.line}:{p.col}: {p.message}" for p in caught.value.problems]
    assert found == [
        "wrong.yaml:3:18: services.web: there is no service 'bd'; did you mean 'db'?",
        "wrong.yaml:4:8: services.db: unknown key 'imagee'",
    ]


def test_a_topology_that_cannot_start_says_why(folder: Path, run_id: str) -> None:
    """Compose's own last words are the message, and what had been created can be taken down."""
    (folder / "broken.yaml").write_text("services:\n  web:\n    command: [no-such-program]\n")
    project = ComposeProject(folder, ["compose.yaml", "broken.yaml"], run_id, run_id)
    try:
        with pytest.raises(TopologyError, match="no-such-program"):
            project.up(quiet)
    finally:
        project.down()
    assert project.containers() == {}


def test_a_dockerfile_that_fails_or_is_missing_says_so(folder: Path, run_id: str) -> None:
    """The message has the builder's last words, or names the file that is not there."""
    (folder / "Dockerfile").write_text("FROM debian:bookworm-slim\nRUN echo the reason >&2 && exit 3\n")
    with pytest.raises(TopologyError, match="the reason"):
        ComposeProject(folder, ["compose.yaml"], run_id, run_id).build(quiet)
    (folder / "Dockerfile").unlink()
    with pytest.raises(TopologyError, match="Dockerfile of service web cannot be read"):
        ComposeProject(folder, ["compose.yaml"], run_id, run_id).build(quiet)


def test_an_engine_that_is_gone_is_not_the_topologys_fault(
    folder: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An EngineError with a hint, whichever of API and compose notices first."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    project = ComposeProject(folder, ["compose.yaml"], run_id, run_id)
    assert project.model().hosts == {"one": ("web", "app")}
    for use in (lambda: project.build(quiet), lambda: project.up(quiet), project.down, project.containers):
        with pytest.raises(EngineError):
            use()
