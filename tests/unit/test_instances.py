"""Containers of a topology and of its nested hosts: whose engine says what, and what it means out here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from shaketable.adapters.docker_engine import NESTED_LABEL, ContainerFacts
from shaketable.adapters.fault_agent import FaultAgent
from shaketable.adapters.instances import Instances
from shaketable.model.errors import EngineError, TopologyError
from shaketable.ports import Link, Target


def facts(identity: str, name: str, *, pid: int = 5, service: str = "", **more: Any) -> ContainerFacts:
    """What an engine says of a container."""
    labels = {"com.docker.compose.service": service} if service else {}
    plain = ContainerFacts(identity, name, pid, pid > 0, 0, "", (), 15, "no", labels)
    return replace(plain, **more)


class FakeEngine:
    """An engine with some containers; `asked` are those it was asked for by id."""

    def __init__(self, *containers: ContainerFacts, silent: bool = False) -> None:
        self.containers = {one.id: one for one in containers}
        self.asked: list[str] = []
        self.silent = silent

    def of_run(self, run: str) -> list[ContainerFacts]:
        """All of them."""
        assert run == "t"
        return list(self.containers.values())

    def inspect(self, container: str) -> ContainerFacts:
        """One of them."""
        self.asked.append(container)
        if self.silent:
            raise EngineError("the Docker engine does not answer")
        return self.containers[container]


class Topology:
    """A front and two nested hosts, each with an engine of its own and the same inner project."""

    def __init__(self) -> None:
        self.outer = FakeEngine(
            facts("c0", "st-t-front-1"),
            facts("c3", "st-t-host-3-1", pid=300, addresses=("10.0.0.3", "10.1.0.3")),
            facts("c4", "st-t-host-4-1", pid=400, addresses=("10.0.0.4",)),
        )
        self.inner = {
            "host-3": FakeEngine(facts("i1", "host-3-web-1", pid=77, service="web"), facts("i2", "by-hand", pid=78)),
            "host-4": FakeEngine(facts("i3", "host-4-web-1", pid=77, service="web", published=(8080,))),
        }
        project = SimpleNamespace(
            name="st-t",
            run="t",
            inner=dict.fromkeys(self.inner),
            containers=lambda: {"front": "c0", "host-3": "c3", "host-4": "c4"},
            engines=SimpleNamespace(engine=self.inner.__getitem__),
        )
        self.instances = Instances(self.outer, project)  # type: ignore[arg-type]
        self.instances.read()


@pytest.fixture
def topology() -> Topology:
    """A topology that is up."""
    return Topology()


def test_what_runs_inside_is_called_by_host_and_service(topology: Topology) -> None:
    """The same project in two hosts is two instances; what compose did not start has its container's name."""
    found = topology.instances
    assert found.outer == {"front": "c0", "host-3": "c3", "host-4": "c4"}
    assert found.inner == {"host-3/web": "i1", "host-3/by-hand": "i2", "host-4/web": "i3"}
    assert dict(found.ids) == {**found.outer, **found.inner}


def test_each_container_is_its_own_engines(topology: Topology) -> None:
    """A nested host itself is of the topology's engine, as all that is not known to be another's."""
    of = topology.instances.engine_of
    assert of("i1") is of("i2") is topology.inner["host-3"]
    assert of("i3") is topology.inner["host-4"]
    assert of("c0") is of("c3") is of("unknown") is topology.outer


def test_what_an_inner_engine_says_is_placed_in_its_host(topology: Topology) -> None:
    """Its pid counts in there, so the host's own comes with it; so do the addresses at which others reach what it publishes."""
    front, web = topology.instances.facts(["front", "host-4/web"])
    assert front == topology.outer.containers["c0"]
    assert (web.name, web.pid, web.within) == ("st-t-host-4-1/web", 77, 400)
    assert (web.host_addresses, web.published) == (("10.0.0.4",), (8080,))
    assert topology.instances.facts(["host-3/web"])[0].within == 300


def test_nothing_is_known_of_what_is_in_a_host_that_does_not_run(topology: Topology) -> None:
    """A pid of its engine's would mean some process of the machine itself: it is refused, and that engine is not asked."""
    topology.outer.containers["c3"] = facts("c3", "st-t-host-3-1", pid=0)
    with pytest.raises(TopologyError, match="host-3/web cannot be looked at: its host host-3 is not running"):
        topology.instances.facts(["host-3/web"])
    assert topology.inner["host-3"].asked == []
    assert topology.instances.facts(["host-4/web"])[0].running, "another host's are as before"


def test_an_engine_that_is_silent_says_so(topology: Topology) -> None:
    """Its host runs, and nobody can tell what runs inside by its word."""
    topology.inner["host-3"].silent = True
    with pytest.raises(EngineError, match="does not answer"):
        topology.instances.facts(["host-3/web"])


def test_names_that_stand_for_nothing_are_all_told(topology: Topology) -> None:
    """Before any engine is asked."""
    with pytest.raises(TopologyError, match="no container of frond, host-3/wbe exists in st-t"):
        topology.instances.facts(["front", "frond", "host-3/wbe"])
    assert topology.outer.asked == []


def test_what_has_gone_is_forgotten_when_it_is_read_anew(topology: Topology) -> None:
    """A container that was made anew has another id, and the old one is no longer its host's."""
    topology.inner["host-3"].containers = {"i9": facts("i9", "host-3-web-1", service="web")}
    topology.instances.read()
    assert topology.instances.inner == {"host-3/web": "i9", "host-4/web": "i3"}
    assert topology.instances.engine_of("i1") is topology.outer


class FakeAgent(FaultAgent):
    """An agent that found every process, with one link and one port each; `request` is what it was asked."""

    def __init__(self) -> None:
        self.facts = {"abilities": {"netem": "", "nfqueue": "not here"}}
        self.request: Mapping[str, Any] = {}

    def ask(self, op: str, *, limit: float = 10.0, **fields: Any) -> dict[str, Any]:
        """Answer as the agent does."""
        assert op == "resolve"
        self.request = fields
        member = {"pid": 5077, "start": 9, "cgroup": "freezer/x", "netns": 7, "limits": {}, "open_files": []}
        member |= {"interfaces": ["eth0"], "gateway": "10.232.0.1", "disks": []}
        return {
            "members": dict.fromkeys(fields["pids"], member),
            "links": [["veth5", 5, 31, 300] if fields["within"] else ["veth5", 5, 0, 0]],
            "listens": [["", 8000], ["10.232.0.9", 9000]],
            "ips": ["10.232.0.2"],
        }


def resolved(name: str, containers: Sequence[ContainerFacts]) -> tuple[Target, Mapping[str, Any]]:
    """A target, and what the agent was asked for it."""
    agent = FakeAgent()
    return agent.resolve(name, containers), agent.request


def test_what_runs_inside_is_resolved_by_way_of_its_host(topology: Topology) -> None:
    """Where others reach it are the host's addresses and what it publishes there; its own mean nothing outside."""
    target, request = resolved("host-4/web", topology.instances.facts(["host-4/web"]))
    assert request == {"pids": {"st-t-host-4-1/web": 77}, "within": {"st-t-host-4-1/web": 400}}
    assert (target.inside, target.gateway) == ("host-4", "10.232.0.1")
    assert target.addresses == (("10.0.0.4", 8080),)
    assert target.links == (Link("veth5", 5, netns=31, via=300),)
    assert target.members[0].pid == 5077, "as it is seen out here"
    hidden, _ = resolved("host-3/web", topology.instances.facts(["host-3/web"]))
    assert hidden.addresses == (), "it publishes nothing"


def test_other_targets_are_inside_of_nothing(topology: Topology) -> None:
    """They are reached where they listen; a nested host is known by the label with its engine's version."""
    target, request = resolved("front", topology.instances.facts(["front"]))
    assert (request["within"], target.inside, target.gateway, target.nested) == ({}, "", "", "")
    assert target.addresses == (("10.232.0.2", 8000),)
    assert target.links == (Link("veth5", 5),)
    host = replace(topology.outer.containers["c4"], labels={NESTED_LABEL: "26.1"})
    assert resolved("host-4", [host])[0].nested == "26.1"
    assert resolved("host-4", [host])[0].members[0].interfaces == ("eth0",)


def test_what_does_not_run_is_no_target(topology: Topology) -> None:
    """It is named with its host."""
    topology.inner["host-4"].containers["i3"] = facts("i3", "host-4-web-1", pid=0, service="web")
    with pytest.raises(TopologyError, match="host-4/web cannot be a target: st-t-host-4-1/web not running"):
        resolved("host-4/web", topology.instances.facts(["host-4/web"]))
