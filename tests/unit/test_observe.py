"""The observer as a process, against real servers on the loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_server import LocalServer, Tool, answer

LISTS = {"servers": "servers", "services": "services"}


class Copy:
    """A holder's copy of its lists, and how it answers."""

    def __init__(self) -> None:
        self.lists: dict[str, list[str] | int | None] = {"servers": ["host-2", "host-1"], "services": []}
        self.hung = False
        self.mode = "plain"

    async def handle(self, _: str, writer: asyncio.StreamWriter) -> None:
        """Answer a look."""
        data = answer(json.dumps(self.lists).encode())
        if self.hung:
            await asyncio.sleep(3600)
        elif self.mode == "bytes":
            for byte in data:
                writer.write(bytes([byte]))
                await writer.drain()
        elif self.mode == "close":
            writer.write(data)
            writer.close()
        elif self.mode == "wrong":
            writer.write(answer(b"{}"))
        else:
            writer.write(data)


@pytest.fixture
def copy() -> Copy:
    """Make what the holder says."""
    return Copy()


@pytest.fixture
def server(copy: Copy) -> Iterator[LocalServer]:
    """Run a holder."""
    server = LocalServer(copy.handle)
    yield server
    server.close()


def holder(port: int, host: str = "127.0.0.1", kind: str = "http-json") -> dict[str, Any]:
    """Describe a holder as a scenario does."""
    return {"kind": kind, "at": f"{host}:{port}", "lists": LISTS, "path": "/lists", "every": None}


@pytest.fixture
def observe() -> Iterator[Callable[..., Tool]]:
    """Start observers, and end them all."""
    tools: list[Tool] = []

    def start(holders: dict[str, Any], *how: str) -> Tool:
        tool = Tool(*(how or ("-m", "shaketable.agent.observe")))
        tools.append(tool)
        tool.tell({"every": 0.005, "holders": holders})
        return tool

    yield start
    for tool in tools:
        tool.end()


def looks(messages: list[dict[str, Any]], name: str = "servers") -> list[list[str] | None]:
    """Take the states of one list out of what was said."""
    return [m["look"][3] for m in messages if "look" in m and m["look"][2] == name]


def is_look(name: str, entries: list[str] | None) -> Callable[[dict[str, Any]], bool]:
    """Match the report of this state."""
    return lambda m: "look" in m and m["look"][2:] == [name, entries]


def test_changes_are_reported_once(observe: Callable[..., Tool], server: LocalServer, copy: Copy) -> None:
    """Rule: the first state and each change is one sorted line; the same answer again is none; only GET is sent."""
    tool = observe({"a": holder(server.port)})
    tool.until(is_look("services", []))
    time.sleep(0.1)
    copy.lists = {"servers": ["host-1"], "services": []}
    heard = tool.until(lambda m: "look" in m)
    assert looks(heard) == [["host-1"]]
    assert not looks(heard, "services")
    assert {request.split(b"\r\n")[0] for request in server.requests} == {b"GET /lists HTTP/1.1"}
    assert len(server.connections) == 1


def test_a_gauge_is_a_list_of_one_number(observe: Callable[..., Tool], server: LocalServer, copy: Copy) -> None:
    """Rule: it comes with the lists of the same answer, and is unknown with them when the holder has none."""
    copy.lists = {"servers": ["host-1"], "depth": 3}
    described = {**holder(server.port), "lists": {"servers": "servers"}, "gauges": {"backlog": "depth"}}
    tool = observe({"a": described})
    assert looks(tool.until(is_look("backlog", ["3"]))) == [["host-1"]]
    copy.lists = {"servers": ["host-1"], "depth": None}
    heard = tool.until(is_look("backlog", None))
    assert looks(heard) == [None]


def test_beats_count_looks(observe: Callable[..., Tool], server: LocalServer) -> None:
    """Rule: every 0.2 s each holder has a beat with its number of looks and the largest gap between two."""
    tool = observe({"a": holder(server.port)})
    beats = [m["beat"] for _ in range(3) for m in tool.until(lambda m: "beat" in m) if "beat" in m]
    assert beats[2][0] - beats[0][0] == pytest.approx(0.4, abs=0.2)
    assert 10 < beats[1][2] < 60
    assert 0.004 <= beats[1][3] < 0.2


def test_a_hung_holder_is_unreadable_and_its_gap_grows(
    observe: Callable[..., Tool], server: LocalServer, copy: Copy
) -> None:
    """Rule: no answer for 250 ms makes the lists unknown; the open gap shows in every beat; then it is read again."""
    tool = observe({"a": holder(server.port)})
    tool.until(is_look("services", []))
    copy.hung = True
    began = time.monotonic()
    heard = tool.until(is_look("services", None))
    assert looks(heard) == [None]
    assert 0.2 < heard[-1]["look"][0] - began < 0.8
    heard = tool.until(lambda m: "beat" in m and m["beat"][3] > 0.5)
    assert heard[-1]["beat"][2] == 0
    copy.hung = False
    heard = tool.until(is_look("services", []))
    assert looks(heard) == [["host-1", "host-2"]]
    heard = tool.until(lambda m: "beat" in m)
    assert heard[-1]["beat"][3] > 0.5, "the gap that ended belongs to this beat"


@pytest.mark.parametrize("mode", ["bytes", "close"])
def test_any_way_of_answering_is_read(observe: Callable[..., Tool], server: LocalServer, copy: Copy, mode: str) -> None:
    """Rule: an answer byte by byte, or a connection closed after each, is read without ever being unreadable."""
    copy.mode = mode
    tool = observe({"a": holder(server.port)})
    heard = [m for _ in range(3) for m in tool.until(lambda m: "beat" in m)]
    assert looks(heard) == [["host-1", "host-2"]]
    assert sum(m["beat"][2] for m in heard if "beat" in m) > 20


def test_a_wrong_answer_is_unreadable_and_told_once(
    observe: Callable[..., Tool], server: LocalServer, copy: Copy
) -> None:
    """Rule: what the holder never should say makes the lists unknown, and a person is told why, once."""
    copy.mode = "wrong"
    tool = observe({"a": holder(server.port)})
    heard = [m for _ in range(3) for m in tool.until(lambda m: "beat" in m)]
    assert looks(heard) == [None]
    errors = [m["error"] for m in heard if "error" in m]
    assert len(errors) == 1
    assert "'servers' is missing" in errors[0]
    assert "a at 127.0.0.1" in errors[0]


def test_a_holder_that_dies_and_comes_back(observe: Callable[..., Tool], copy: Copy) -> None:
    """Rule: a refused connection makes the lists unknown; another is tried until the holder is back."""
    server = LocalServer(copy.handle)
    tool = observe({"a": holder(server.port)})
    tool.until(is_look("services", []))
    server.close()
    tool.until(is_look("services", None))
    again = LocalServer(copy.handle, server.port)
    tool.until(is_look("services", []))
    again.close()


SLOW_NAMES = """
import socket, time
real = socket.gethostbyname
def lookup(name):
    if name.startswith("slow"):
        time.sleep(0.8)
        return "127.0.0.1"
    return real(name)
socket.gethostbyname = lookup
from shaketable.agent.observe import main
main()
"""


def test_a_slow_lookup_delays_nobody_else(observe: Callable[..., Tool], server: LocalServer) -> None:
    """Rule: names are resolved beside the loop: one that hangs is unreadable meanwhile, and others are read on time."""
    tool = observe({"a": holder(server.port), "b": holder(server.port, "slow.example")}, "-c", SLOW_NAMES)
    heard = tool.until(lambda m: "look" in m and m["look"][1] == "b" and m["look"][3] is not None)
    assert [m["look"][3] for m in heard if "look" in m and m["look"][1:3] == ["b", "servers"]] == [
        None,
        ["host-1", "host-2"],
    ]
    beats = [m["beat"] for m in heard if "beat" in m and m["beat"][1] == "a"][1:]
    assert beats
    assert max(beat[3] for beat in beats) < 0.5


def test_it_exits_when_stdin_closes(observe: Callable[..., Tool], server: LocalServer, copy: Copy) -> None:
    """Rule: a harness that is gone ends the observer at once, whatever holders do."""
    copy.hung = True
    tool = observe({"a": holder(server.port), "b": holder(server.port, "slow.example")}, "-c", SLOW_NAMES)
    tool.until(lambda m: "beat" in m)
    began = time.monotonic()
    assert tool.end() == 0
    assert time.monotonic() - began < 1


def test_a_holder_that_cannot_be_read_at_all_is_said(observe: Callable[..., Tool]) -> None:
    """Rule: a description that cannot be used is one message naming the holder, and exit code 2."""
    tool = observe({"registry": {**holder(1, kind="etcd"), "lists": {"servers": "/servers"}}})
    heard = list(tool.lines())
    assert "registry: '/servers' must have {host}" in heard[0]["error"]
    assert tool.end() == 2
