"""Starting and stopping an engine beside the machine's own; the tools image; the doctor."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from shaketable.adapters.engine_client import reach
from shaketable.adapters.host_engine import engine_up, start_engine, stop_engine
from shaketable.adapters.images import ensure_tools_image
from shaketable.model.errors import EngineError
from shaketable.surface.doctor import diagnose

pytestmark = pytest.mark.docker
DOCKERD = shutil.which("dockerd") or "/usr/sbin/dockerd"
needs_dockerd = pytest.mark.skipif(
    os.geteuid() != 0 or not Path(DOCKERD).exists() or not shutil.which("unshare"),
    reason="starting an engine needs root, dockerd and unshare",
)


def quiet(_: str) -> None:
    """Hear nothing."""


@pytest.fixture
def corner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a folder with a short path, for sockets; nothing of an engine may be left in it.

    A `dockerd` started meanwhile gets a network namespace of its own: with `--bridge=none` an engine deletes the
    `docker0` that it finds, and that one belongs to the machine's engine.
    """
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        wrapper = Path(folder) / "bin" / "dockerd"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec unshare --net {DOCKERD} "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        yield Path(folder)


def separate_engine(corner: Path) -> tuple[list[str], str]:
    """Give command line and address of an engine that cannot touch the machine's networks or the engine beside it.

    It needs a network namespace of its own: an engine told to do without a bridge deletes the `docker0` that it sees.
    """
    address = f"unix://{corner}/docker.sock"
    options = ["--bridge=none", "--iptables=false", "--ip6tables=false", f"--host={address}"]
    places = {"data-root": "data", "exec-root": "exec", "pidfile": "docker.pid"}
    dockerd = shutil.which("dockerd") or "/usr/sbin/dockerd"
    placed = [f"--{option}={corner / place}" for option, place in places.items()]
    return ["unshare", "--net", dockerd, *options, *placed], address


def links() -> set[str]:
    """Name this machine's links that no container brings or takes."""
    return {link.name for link in Path("/sys/class/net").iterdir() if not link.name.startswith(("veth", "br-"))}


@needs_dockerd
def test_an_engine_that_we_started_is_the_one_we_stop(corner: Path) -> None:
    """Started detached and awaited until it answers; stopped by its record, once, and gone when that returns."""
    words, address = separate_engine(corner)
    before = links()
    started = start_engine(corner / "state", words, address, quiet)
    assert Path(f"/proc/{started.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    try:
        assert reach(address).version
        assert os.getsid(started.pid) == started.pid
    finally:
        assert stop_engine(corner / "state", quiet)
    assert not started.runs
    assert not reach(address).version
    assert links() == before
    assert not stop_engine(corner / "state", quiet)


@needs_dockerd
def test_an_engine_that_gives_up_says_why(corner: Path) -> None:
    """The reason is in the message, from the engine's own log, and no process or record is left."""
    words, address = separate_engine(corner)
    with pytest.raises(EngineError, match=r"ended at once.*no-such-option"):
        start_engine(corner / "state", [*words, "--no-such-option"], address, quiet)
    assert not (corner / "state" / "engine.json").exists()


@needs_dockerd
def test_a_reused_process_id_is_left_alone(corner: Path) -> None:
    """A record is only a pid and a start time; another process that has that pid now must not be touched."""
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "60")
    try:
        (corner / "engine.json").write_text(f'{{"pid": {child}, "start": 1}}')
        assert not stop_engine(corner, quiet)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_engine_that_answers_is_used_as_it_is() -> None:
    """`engine up` on a machine that has everything is one line, and quick."""
    said: list[str] = []
    began = time.monotonic()
    engine_up(said.append)
    assert len(said) == 1
    assert "answer" in said[0]
    assert time.monotonic() - began < 3


def test_the_tools_image_has_what_the_agent_needs(tools_image: str) -> None:
    """Python with Locust, iptables and iproute2, our code importable; the second call builds nothing."""
    said: list[str] = []
    assert ensure_tools_image(said.append) == tools_image
    assert said == []
    client = docker.from_env()
    script = "import locust, shutil, shaketable.agent.serve as s; print(shutil.which('iptables'), shutil.which('ip'))"
    try:
        output = client.containers.run(tools_image, ["python3", "-c", script], remove=True, network_mode="none")
    finally:
        client.close()
    assert output.split() == [b"/usr/sbin/iptables", b"/usr/sbin/ip"]


def test_the_doctor_finds_what_this_machine_has(tools_image: str) -> None:
    """Where the other tests pass, so does the doctor."""
    missing = [finding for finding in diagnose() if not finding.ok and finding.name != "free disk"]
    assert missing == []
