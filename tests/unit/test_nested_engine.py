"""The way to a nested host's engine: connections to a local socket, carried by execs in its container."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import DockerException

from shaketable.adapters import nested_engine
from shaketable.adapters.nested_engine import NestedEngines, Tunnel, sweep, tunnel

LIMIT = 5.0
"""Seconds after which a byte that did not come counts as lost."""


def framed(data: bytes, kind: int = 1) -> bytes:
    """A piece of what an exec prints, as the engine sends it."""
    return struct.pack(">BxxxL", kind, len(data)) + data


class FakeClient:
    """An engine whose execs are in the test's hands: `far()` is the container's side of the next one."""

    def __init__(self) -> None:
        self.api = self
        self.execs: list[tuple[str, list[str]]] = []
        self.refuses = False
        self.asked = threading.Event()
        self.may_start = threading.Event()
        self.may_start.set()
        self._started: list[socket.socket] = []
        self._news = threading.Condition()
        self._kept: list[socket.socket] = []

    def exec_create(self, container: str, words: list[str], **streams: bool) -> dict[str, str]:
        """Note what is run where."""
        assert streams == {"stdin": True, "stdout": True, "stderr": True}
        if self.refuses:
            raise DockerException("the container is not running")
        self.execs.append((container, words))
        self.asked.set()
        return {"Id": "e1"}

    def exec_start(self, identity: str, *, socket: bool) -> Any:
        """Give our side of it, wrapped as the client library does."""
        assert (identity, socket) == ("e1", True)
        assert self.may_start.wait(LIMIT)
        near, far = _pair()
        with self._news:
            self._started.append(far)
            self._kept += [near, far]
            self._news.notify()
        return SimpleNamespace(_sock=near)

    def far(self) -> socket.socket:
        """The container's side of the exec that was started next."""
        with self._news:
            assert self._news.wait_for(lambda: bool(self._started), LIMIT)
            return self._started.pop(0)

    def close(self) -> None:
        """End all."""
        for end in self._kept:
            end.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    far.settimeout(LIMIT)
    return near, far


@pytest.fixture
def client() -> Iterator[FakeClient]:
    """An engine's client."""
    client = FakeClient()
    yield client
    client.close()


@pytest.fixture
def way(client: FakeClient) -> Iterator[Tunnel]:
    """A tunnel into a container."""
    way = Tunnel(client, "c1")  # type: ignore[arg-type]
    yield way
    way.close()


def call(way: Tunnel) -> socket.socket:
    """Connect as a client or compose does."""
    near = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    near.settimeout(LIMIT)
    near.connect(way.address.removeprefix("unix://"))
    return near


def exactly(end: socket.socket, count: int) -> bytes:
    """So many bytes, or as many as there are."""
    data = b""
    while len(data) < count and (more := end.recv(count - len(data))):
        data += more
    return data


def test_bytes_go_both_ways_whatever_they_are(client: FakeClient, way: Tunnel) -> None:
    """What is sent arrives as it is; what the exec prints arrives without its frames, and its complaints do not."""
    blob = bytes(range(256)) * 2000
    with call(way) as near, client.far() as far:
        assert client.execs == [("c1", ["docker", "system", "dial-stdio"])]
        sender = threading.Thread(target=near.sendall, args=(blob,))
        sender.start()
        assert exactly(far, len(blob)) == blob
        sender.join(LIMIT)
        answer = framed(b"complaint", 2) + framed(b"") + framed(b"HTTP/1.1 200") + framed(blob)
        sender = threading.Thread(
            target=lambda: [far.sendall(answer[n : n + 4099]) for n in range(0, len(answer), 4099)]
        )
        sender.start()
        assert exactly(near, 12 + len(blob)) == b"HTTP/1.1 200" + blob
        sender.join(LIMIT)


def test_each_connection_is_an_exec_of_its_own(client: FakeClient, way: Tunnel) -> None:
    """An answer that takes long, such as the wait for an end, holds up no other question."""
    with call(way) as one, client.far() as far_one, call(way) as two, client.far() as far_two:
        one.sendall(b"1")
        two.sendall(b"2")
        assert (exactly(far_two, 1), exactly(far_one, 1)) == (b"2", b"1")
        far_two.sendall(framed(b"second"))
        assert exactly(two, 6) == b"second"


def test_who_has_said_all_still_gets_the_answer(client: FakeClient, way: Tunnel) -> None:
    """An end of one direction is passed on as that, and leaves the other one open."""
    with call(way) as near, client.far() as far:
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert exactly(far, 9) == b"question"
        far.sendall(framed(b"answer"))
        assert exactly(near, 6) == b"answer"
        far.close()
        assert near.recv(1) == b""


def test_who_hangs_up_ends_the_exec(client: FakeClient, way: Tunnel) -> None:
    """A client that goes away leaves nothing open in the container."""
    near = call(way)
    with client.far() as far:
        near.close()
        assert far.recv(1) == b""


@pytest.mark.parametrize("last", [b"", framed(b"cut off")[:11], b"\1\0"], ids=["at once", "in a frame", "in a head"])
def test_an_exec_that_ends_ends_the_connection(client: FakeClient, way: Tunnel, last: bytes) -> None:
    """When the engine inside, or the container, goes away, whoever waits for an answer hears of it at once."""
    with call(way) as near:
        far = client.far()
        far.sendall(last)
        far.close()
        assert exactly(near, 99) == last[8:]


def test_a_container_that_is_gone_takes_one_connection_down_and_not_the_next(client: FakeClient, way: Tunnel) -> None:
    """Nothing listens inside while a host reboots: connections close, and go through again when it is back."""
    client.refuses = True
    with call(way) as near:
        assert near.recv(1) == b""
    client.refuses = False
    with call(way) as near, client.far() as far:
        far.sendall(framed(b"back"))
        assert exactly(near, 4) == b"back"


def test_closing_ends_everything(client: FakeClient) -> None:
    """Both sides of every connection end, and the socket is no longer there."""
    with tunnel(client, "c1") as address:  # type: ignore[arg-type]
        path = Path(address.removeprefix("unix://"))
        near = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        near.settimeout(LIMIT)
        near.connect(str(path))
        far = client.far()
        assert path.is_socket()
    with near, far:
        assert near.recv(1) == b""
        assert far.recv(1) == b""
    assert not path.parent.exists()


def test_closing_ends_what_is_only_about_to_begin(client: FakeClient) -> None:
    """A connection whose exec is still being made when the tunnel is closed does not outlive it."""
    client.may_start.clear()
    way = Tunnel(client, "c1")  # type: ignore[arg-type]
    with call(way) as near:
        assert client.asked.wait(LIMIT)
        way.close()
        client.may_start.set()
        with client.far() as far:
            assert near.recv(1) == b""
            assert far.recv(1) == b""


def test_a_host_that_was_made_anew_is_reached_anew(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a host whose container is another one gets another tunnel, whether its engine was ever asked or not."""
    monkeypatch.setattr(nested_engine.docker, "from_env", lambda **_: client)
    waited: list[str] = []
    monkeypatch.setattr(nested_engine, "await_engine", lambda address, _: waited.append(address) or client)
    monkeypatch.setattr(nested_engine, "DockerEngine", lambda address: SimpleNamespace(of=address, close=lambda: None))
    engines = NestedEngines()
    engines.keep({"h1": "c1", "h2": "c2"})
    first = engines.engine("h1")
    assert engines.engine("h1") is first
    assert len(waited) == 1, "an engine that is known is not waited for"
    engines.keep({"h1": "c1", "h2": "c3"})
    assert engines.engine("h1") is first
    engines.keep({"h1": "c4", "h2": "c3"})
    assert engines.engine("h1").of == engines.address("h1") != first.of  # type: ignore[attr-defined]
    assert not Path(first.of.removeprefix("unix://")).exists()  # type: ignore[attr-defined]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as near:
        near.connect(engines.address("h2").removeprefix("unix://"))
        client.far()
        assert [container for container, _ in client.execs] == ["c3"]
    engines.close()
    engines.close()


def test_folders_of_a_harness_that_was_killed_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed harness leaves its sockets; the next one removes them, and those of one that lives stay."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead, living = (tmp_path / f"shaketable-engine-{pid}-x" for pid in (ended.pid, os.getpid()))
    other = tmp_path / "shaketable-engine-notes-x"
    for folder in (dead, living, other):
        folder.mkdir()
    sweep()
    assert not dead.exists()
    assert living.exists()
    assert other.exists()
