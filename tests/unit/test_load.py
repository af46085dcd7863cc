"""The load as a process, against real servers on the loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from local_server import LocalServer, Tool, answer

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("locust") is None, reason="Locust is not installed here; the load has its own image"
)

PAGE = """
from locust import task
from shaketable.agent.load import OpenLoopUser

class Visitor(OpenLoopUser):
    @task
    def page(self):
        self.client.get("/page", name="page")
"""
FEW_USERS = """
import os
from shaketable.agent import load
from shaketable.agent.wire import Writer
os._exit(load.run(0, Writer(1), max_users=5))
"""
ONE_USER = FEW_USERS.replace("max_users=5", "max_users=1")


@pytest.fixture
def load() -> Iterator[Callable[..., Tool]]:
    """Start loads, and end them all."""
    tools: list[Tool] = []

    def start(port: int, *how: str, **settings: Any) -> Tool:
        tool = Tool(*(how or ("-m", "shaketable.agent.load")))
        tools.append(tool)
        config = {
            "locustfile": PAGE,
            "host": f"http://127.0.0.1:{port}",
            "rate": 100.0,
            "arrivals": "constant",
            "timeout": 5.0,
            "seed": "7",
            "served_by": "X-Served-By",
            "upstreams": "X-Upstreams",
            "wrote": "X-Wrote",
            "max_seconds": 1.0,
        }
        tool.tell({**config, **settings})
        return tool

    yield start
    for tool in tools:
        tool.end()


def requests(heard: list[dict[str, Any]]) -> list[list[Any]]:
    """Take the recorded requests out of what was said."""
    return [m["request"] for m in heard if "request" in m]


def test_a_stall_shows_as_long_as_it_was(load: Callable[..., Tool]) -> None:
    """Rule: latency counts from when an arrival was due, so all who came in a stall waited.

    At 100 arrivals a second, those due in a stall of 0.5 s wait until its end, up to 0.5 s: by arithmetic a quarter of
    2 s is over 0 s, 12.5 % are over 0.25 s, and the 95th percentile is 0.5 s - 5 % of 2 s = 0.4 s.
    """
    stall = [0.0, 0.0]

    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        now = time.monotonic()
        if not stall[1]:
            stall[:] = [now + 0.7, now + 1.2]
        if stall[0] <= now < stall[1]:
            await asyncio.sleep(stall[1] - now)
        writer.write(answer(b"page"))

    server = LocalServer(handle)
    heard = list(load(server.port, max_seconds=2.0).lines())
    server.close()
    rows = requests(heard)
    assert 195 <= len(rows) <= 200
    assert sum(m["load"][1] for m in heard if "load" in m) == len(rows)
    latencies = sorted(row[2] - row[0] for row in rows)
    assert sum(latency > 0.25 for latency in latencies) / len(rows) == pytest.approx(0.125, abs=0.03)
    assert latencies[int(len(rows) * 0.95)] == pytest.approx(0.4, abs=0.08)
    wrong = [
        ended - due
        for due, _, ended, *_ in rows
        if abs((ended - due) - (stall[1] - due if stall[0] < due < stall[1] else 0.0)) > 0.15
    ]
    assert len(wrong) < 0.05 * len(rows)


OUTCOMES = """
from locust import task
from shaketable.agent.load import OpenLoopUser

class Visitor(OpenLoopUser):
    @task(3)
    def good(self):
        self.client.get("/good", name="good")

    @task
    def bad(self):
        self.client.get("/bad", name="bad")

    @task
    def drip(self):
        self.client.get("/drip", name="drip")

    @task
    def checked(self):
        with self.client.get("/good", name="checked", catch_response=True) as response:
            response.failure("not what I wanted")

    @task
    def gone(self):
        self.client.get("http://127.0.0.1:1/", name="gone")

    @task
    def broken(self):
        raise KeyError("oops")
"""


def test_every_outcome_is_told_apart(load: Callable[..., Tool]) -> None:
    """Rule: each request has its outcome in few words, who served it and who was called; none is too long."""

    async def handle(path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/bad":
            writer.write(answer(b"", status="503 Service Unavailable", head="X-Served-By: back-office-2\r\n"))
        elif path == "/drip":
            writer.write(answer(b"x" * 100)[:-100])
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        else:
            head = "X-Served-By: back-office-1\r\nX-Upstreams: host-1/orders, host-2/billing\r\n"
            writer.write(answer(b"page", head=head))

    server = LocalServer(handle)
    heard = list(load(server.port, locustfile=OUTCOMES, timeout=0.3, seed="8").lines())
    server.close()
    rows = requests(heard)
    seen = {
        (name, ok, status, error, served_by, tuple(up))
        for _, _, _, name, ok, status, error, served_by, up, _, _ in rows
    }
    called = ("host-1/orders", "host-2/billing")
    assert seen == {
        ("good", True, 200, "", "back-office-1", called),
        ("bad", False, 503, "status 503", "back-office-2", ()),
        ("drip", False, 200, "no answer within 0.3 s", "", ()),
        ("checked", False, 200, "not what I wanted", "back-office-1", called),
        ("gone", False, 0, "connection refused", "", ()),
        ("broken", False, 0, "KeyError: 'oops'", "", ()),
    }
    assert Counter(row[3] for row in rows)["good"] > 25
    assert max(row[2] - row[1] for row in rows) < 1
    assert [m["error"] for m in heard if "error" in m] == [
        "a task of the locustfile failed: KeyError: 'oops' (locustfile.py:29)"
    ]


def test_what_cannot_be_started_is_counted(load: Callable[..., Tool]) -> None:
    """Rule: with every user busy, arrivals are counted as not started; the oldest under way is told; EOF ends all."""

    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3600)

    server = LocalServer(handle)
    tool = load(server.port, "-c", FEW_USERS, max_seconds=60.0)
    beats = [m["load"] for _ in range(4) for m in tool.until(lambda m: "load" in m)]
    assert sum(beat[1] - beat[2] for beat in beats) == 5
    assert beats[3][1:3] == [beats[3][1], beats[3][1]]
    assert 5 <= beats[3][1] <= 35
    assert beats[3][3] == beats[1][3] < beats[0][0]
    began = time.monotonic()
    assert tool.end() == 0
    assert time.monotonic() - began < 2
    server.close()


def test_a_dead_connection_fails_nobody_later(load: Callable[..., Tool]) -> None:
    """Rule: connections are kept, and after one broke, no arrival is sent into another that died with it."""

    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.03)
        writer.write(answer(b"page"))

    server = LocalServer(handle)
    tool = load(server.port, max_seconds=1.6)
    heard = tool.until(lambda m: "load" in m and m["load"][0] > 0)
    heard += tool.until(lambda m: "load" in m)
    assert 1 <= len(server.connections) <= 20, "connections are kept and used again"
    server.reset_connections()
    heard += tool.until(lambda m: "load" in m)
    port = server.port
    server.close()
    with socket.socket() as taken:  # refused meanwhile
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        heard += tool.until(lambda m: "request" in m and "refused" in m["request"][6])
    again = LocalServer(handle, port)
    back = time.monotonic()
    heard += list(tool.lines())
    again.close()
    late = [row for row in requests(heard) if row[0] > back + 0.02]
    assert len(late) > 20
    assert [row[6] for row in late if not row[4]] == []


def test_a_bad_locustfile_is_told_with_its_line(load: Callable[..., Tool]) -> None:
    """Rule: a locustfile that cannot be run is one message with the line, or with what to write; and exit code 2."""
    tool = load(1, locustfile="import os\n\nfrom nowhere import x\n")
    assert [m["error"] for m in tool.lines()] == ["locustfile.py:3: ModuleNotFoundError: No module named 'nowhere'"]
    assert tool.end() == 2


COHORTS = """
from locust import task
from shaketable.agent.load import OpenLoopUser

class Visitor(OpenLoopUser):
    visits = 0

    @task
    def page(self):
        self.client.get("/page", name=f"first {self.visits == 0}")
        self.visits += 1
        self.cohort = {"plan": "free", "app": "2.0"}
        self.client.get("/page", name="second")
        if self.visits == 3:
            self.cohort = {"plan": "a,b"}
        if self.visits == 4:
            self.cohort = "free"

    @task
    def broken(self):
        self.cohort = {"app": "1.0"}
        raise KeyError("oops")
"""


def test_a_request_carries_who_asked_at_that_moment(load: Callable[..., Tool]) -> None:
    """Rule: what the user says of itself counts from then on, also for what never came to a request; nonsense is told."""

    async def handle(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"page"))

    server = LocalServer(handle)
    heard = list(load(server.port, "-c", ONE_USER, locustfile=COHORTS, rate=40.0).lines())
    server.close()
    rows = requests(heard)
    assert rows[0][3] in ("first True", "broken")
    assert {row[10] for row in rows if row[3] == "second"} == {"app=2.0,plan=free"}
    assert {row[10] for row in rows if row[3] == "broken"} == {"app=1.0"}
    assert {row[10] for row in rows if row[3] == "first False"} >= {"app=2.0,plan=free", ""}
    told = [m["error"] for m in heard if "error" in m]
    assert "Visitor: a cohort's keys and values are text without '=' and ',', not 'plan': 'a,b'" in told
    assert "Visitor: a cohort is a mapping, as {'plan': 'free'}, not 'free'" in told
