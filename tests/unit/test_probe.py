"""The witness's view: what a held connection and new ones show of a peer."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_server import Tool


class Peer:
    """A listener that accepts by itself (in the kernel) and does nothing more."""

    def __init__(self, backlog: int = 100) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.address = self.listener.getsockname()

    def accept(self) -> socket.socket:
        """Take the first connection waiting, which is the one held."""
        self.listener.settimeout(2)
        return self.listener.accept()[0]


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Run a peer."""
    peer = Peer()
    yield peer
    peer.listener.close()


@pytest.fixture
def observe() -> Iterator[Tool]:
    """Start an observer without holders."""
    tool = Tool("-m", "shaketable.agent.observe")
    tool.tell({"every": 0.005, "holders": {}})
    yield tool
    tool.end()


def is_probe(connect: str, held: str) -> Callable[[dict[str, Any]], bool]:
    """Match a report of this state."""
    return lambda m: "probe" in m and m["probe"][3:] == [connect, held]


def test_a_peer_that_lives(observe: Tool, peer: Peer) -> None:
    """Rule: a completed handshake is `answered` even if no code runs; it is said again every 0.25 s."""
    observe.tell({"probe": {"host-2": [peer.address]}})
    first = observe.until(is_probe("answered", "open"))[-1]["probe"]
    assert first[1:3] == ["host-2", f"127.0.0.1:{peer.address[1]}"]
    second = observe.until(lambda m: "probe" in m)[-1]["probe"]
    assert second[0] - first[0] == pytest.approx(0.25, abs=0.2)


def test_a_peer_that_is_killed(observe: Tool, peer: Peer) -> None:
    """Rule: the end of the held connection and refused new ones are seen within two tries."""
    observe.tell({"probe": {"host-2": [peer.address]}})
    observe.until(is_probe("answered", "open"))
    connection = peer.accept()
    began = time.monotonic()
    peer.listener.close()
    connection.close()
    found = observe.until(lambda m: "probe" in m and m["probe"][3] == "refused" and m["probe"][4] != "open")[-1][
        "probe"
    ]
    assert found[0] - began < 0.6
    assert found[4] == "eof"


def test_a_reset_is_not_an_end(observe: Tool, peer: Peer) -> None:
    """Rule: a connection that is reset is told from one that is closed."""
    observe.tell({"probe": {"host-2": [peer.address]}})
    observe.until(is_probe("answered", "open"))
    connection = peer.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    observe.until(is_probe("answered", "reset"))


def test_a_peer_that_is_silent_and_comes_back(observe: Tool) -> None:
    """Rule: no answer within 150 ms is `silent`, and a new life is seen by the next try, not after a pending one."""
    peer = Peer(backlog=0)
    full = [socket.create_connection(peer.address)]
    observe.tell({"probe": {"host-2": [peer.address]}})
    began = time.monotonic()
    found = observe.until(is_probe("silent", "none"))[-1]["probe"]
    assert 0.12 < found[0] - began < 0.8
    peer.accept().close()
    began = time.monotonic()
    found = observe.until(lambda m: "probe" in m and m["probe"][3] == "answered")[-1]["probe"]
    assert found[0] - began < 0.6
    full[0].close()
    peer.listener.close()


def test_unprobe_lets_go(observe: Tool, peer: Peer) -> None:
    """Rule: after `unprobe` every connection is closed and none is opened."""
    observe.tell({"probe": {"host-2": [peer.address]}})
    observe.until(is_probe("answered", "open"))
    observe.tell({"unprobe": True})
    held = peer.accept()
    held.settimeout(2)
    assert held.recv(1) == b""
    time.sleep(0.1)
    peer.listener.settimeout(0.12)
    tries = 0
    try:
        while tries < 1000:
            peer.listener.accept()[0].close()
            tries += 1
    except TimeoutError:
        pass
    assert tries < 10
