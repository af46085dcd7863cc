"""Observer, witness and load in the tools image, as unprivileged peers in a topology's network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shaketable.adapters.channel import Channel
from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine

WEB = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b'{"servers": ["host-1"]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Served-By", "web")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
ThreadingHTTPServer(("", 8000), Web).serve_forever()
"""
LOCUSTFILE = """
from locust import task
from shaketable.agent.load import OpenLoopUser
class Visitor(OpenLoopUser):
    @task
    def page(self):
        self.client.get("/", name="page")
"""


class Heard:
    """What a tool says, with a way to wait for it."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def add(self, message: dict[str, Any]) -> None:
        """Take a message, in the channel's thread."""
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, found: Callable[[dict[str, Any]], bool], limit: float = 10.0) -> dict[str, Any]:
        """Wait for a message and answer it."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(map(found, self.messages)), limit), self.messages[-3:]
            return next(filter(found, self.messages))


@pytest.fixture
def network(engine: DockerEngine, run_id: str) -> str:
    """Make a network of this test's own, without a way out."""
    engine._api.create_network(run_id, internal=True, labels={RUN_LABEL: run_id})
    return run_id


@pytest.fixture
def web(engine: DockerEngine, tools_image: str, run_id: str, network: str) -> str:
    """Run a web server named `web` in the network."""
    api = engine._api
    created = api.create_container(
        tools_image,
        command=["python3", "-c", WEB],
        name=f"{run_id}-web",
        labels={RUN_LABEL: run_id},
        host_config=api.create_host_config(network_mode=network),
        networking_config=api.create_networking_config({network: api.create_endpoint_config(aliases=["web"])}),
    )
    api.start(created["Id"])
    return str(created["Id"])


@pytest.fixture
def start(engine: DockerEngine, tools_image: str, run_id: str, network: str) -> Iterator[Callable[[str], Any]]:
    """Start tools in the network; each answers its channel and what it says."""
    channels: list[Channel] = []

    def run(tool: str) -> tuple[Channel, Heard]:
        heard = Heard()
        _, channel = engine.run_tool(
            name=f"{run_id}-{tool}",
            image=tools_image,
            module=f"shaketable.agent.{tool}",
            run=run_id,
            network=network,
            on_message=heard.add,
        )
        channels.append(channel)
        return channel, heard

    yield run
    for channel in channels:
        channel.close()
        assert channel.closed.wait(5), "a tool exits when its stdin closes"


def test_a_peer_is_observed_and_witnessed(engine: DockerEngine, web: str, start: Callable[[str], Any]) -> None:
    """Rule: it works unprivileged and by name; a frozen peer answers connects and no look, a killed one hangs up."""
    channel, heard = start("observe")
    holder = {"kind": "http-json", "at": "web:8000", "lists": {"servers": "servers"}, "path": "/", "every": None}
    channel.send({"every": 0.005, "holders": {"web": holder}})
    heard.wait(lambda m: m.get("look", [0, 0, 0, 0])[3] == ["host-1"])
    address = next(iter(engine._api.inspect_container(web)["NetworkSettings"]["Networks"].values()))["IPAddress"]
    channel.send({"probe": {"host-1": [[address, 8000]]}})
    heard.wait(lambda m: m.get("probe", [])[3:] == ["answered", "open"])
    assert heard.wait(lambda m: m.get("beat", [0, 0, 0, 1])[3] < 0.05)

    frozen = time.monotonic()
    engine._api.pause(web)
    heard.wait(lambda m: "look" in m and m["look"][3] is None)
    assert [m for m in heard.messages if "probe" in m][-1]["probe"][3:] == ["answered", "open"]
    engine._api.unpause(web)
    heard.wait(lambda m: "look" in m and m["look"][0] > frozen and m["look"][3] == ["host-1"])

    engine._api.kill(web)
    heard.wait(lambda m: "probe" in m and m["probe"][3] != "answered" and m["probe"][4] == "eof")


@pytest.mark.usefixtures("web")
def test_the_load_runs_in_its_image(start: Callable[[str], Any]) -> None:
    """Rule: the locustfile is run as it is, by name, and each request says who served it."""
    channel, heard = start("load")
    channel.send(
        {
            "locustfile": LOCUSTFILE,
            "host": "http://web:8000",
            "rate": 50.0,
            "arrivals": "poisson",
            "timeout": 2.0,
            "seed": "7",
            "served_by": "X-Served-By",
            "upstreams": "X-Upstreams",
            "wrote": "X-Wrote",
            "max_seconds": 60.0,
        }
    )
    request = heard.wait(lambda m: m.get("request", [0] * 5)[4] is True)["request"]
    assert request[3:] == ["page", True, 200, "", "web", [], "", ""]
    heard.wait(lambda m: m.get("load", [0, 0])[1] > 0)
