"""Who is resolved for a fault, and who is whose peer: what runs in a nested host has that host alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from shaketable.adapters.docker_engine import ContainerFacts
from shaketable.faults import CATALOGUE, UnfitError
from shaketable.model.errors import TopologyError
from shaketable.ports import Member, Target
from shaketable.run.injection import Injection, Order

HOSTS: Mapping[str, Sequence[str]] = {
    "host-1": ("host-1", "orders"),
    "host-2": ("host-2",),
    "host-3": ("host-3",),
    **{f"host-3/{service}": (f"host-3/{service}",) for service in ("web", "db")},
    "host-4": ("host-4",),
}


class FakeSite:
    """A topology whose targets are made from their names; `asked` are the containers whose facts were wanted."""

    def __init__(self, *, silent: bool = False, **gateways: str) -> None:
        self._silent = silent
        self.asked: list[str] = []
        self.knocked: list[str] = []
        self._gateways = gateways
        agent = SimpleNamespace(missing=lambda _: "", resolve=self._resolve)
        self.keeper: Any = SimpleNamespace(agent=lambda: agent)

    def facts(self, services: Sequence[str]) -> list[ContainerFacts]:
        """What the engines say: the name is all that counts here."""
        self.asked += services
        return [SimpleNamespace(name=name) for name in services]  # type: ignore[misc]

    def _resolve(self, name: str, containers: Sequence[ContainerFacts]) -> Target:
        inside = name.partition("/")[0] if "/" in name else ""
        number = sorted(HOSTS).index(name) + 1 if name in HOSTS else 1
        members = tuple(
            Member(c.name, f"c-{c.name}", number, number, "freezer/x", holds_namespace=c.name in HOSTS, netns=number)
            for c in containers
        )
        ip = f"10.232.0.{number}" if inside else f"10.0.0.{number}"
        gateway = self._gateways.get(name.partition("/")[2], "10.232.0.1") if inside else ""
        addresses = () if self._silent else ((ip, 80),)
        return Target(name, members, (), addresses, (ip,), inside=inside, gateway=gateway)

    def engine_of(self, container: str) -> Any:
        """Nobody asks."""

    def probe(self, addresses: Mapping[str, Sequence[tuple[str, int]]]) -> None:
        """Note who is knocked at."""
        self.knocked += addresses

    def stop_probing(self, targets: Sequence[str]) -> None:
        """Nobody knocks."""

    def probes(self) -> list[Any]:
        """Nobody has knocked."""
        return []

    def event(self, kind: str, at: float, *, fsync: bool = False, **fields: Any) -> None:
        """Nobody listens."""


def prepared(site: FakeSite, kind: str, *targets: str, **given: Any) -> dict[str, Target]:
    """The targets of a fault, resolved."""
    fault = CATALOGUE[kind]
    hit = {name: HOSTS.get(name, (name,)) for name in targets}
    injection = Injection(site, Order("id", "event", fault, fault.params(**given), HOSTS, hit), lambda: 0.0)
    injection.prepare()
    return {target.name: target for target in injection.targets}


def peers(target: Target) -> dict[str, tuple[str, ...]]:
    """Its peers and their addresses."""
    return {peer.name: peer.ips for peer in target.peers}


def test_hosts_have_hosts_as_peers() -> None:
    """A nested host is one of them; what runs in it is not, and is not even looked at."""
    site = FakeSite()
    found = prepared(site, "partition", "host-1")
    assert peers(found["host-1"]) == {"host-2": ("10.0.0.2",), "host-3": ("10.0.0.3",), "host-4": ("10.0.0.6",)}
    assert not any("/" in name for name in site.asked)


def test_a_nested_host_is_no_peer_of_itself() -> None:
    """Nor is what runs in it one of its own."""
    found = prepared(FakeSite(), "partition", "host-3")
    assert set(peers(found["host-3"])) == {"host-1", "host-2", "host-4"}


def test_what_runs_in_a_nested_host_has_that_host_as_its_only_peer() -> None:
    """By the address that it has from inside; nobody else is resolved for it."""
    site = FakeSite(web="10.232.7.1")
    found = prepared(site, "partition", "host-3/web")
    assert peers(found["host-3/web"]) == {"host-3": ("10.232.7.1",)}
    assert sorted(site.asked) == ["host-3", "host-3/web"]


def test_several_of_one_nested_host_have_it_in_common() -> None:
    """Each by its own way to it, as their networks differ; still nobody else is resolved."""
    site = FakeSite(web="10.232.7.1", db="10.232.8.1")
    found = prepared(site, "partition", "host-3/web", "host-3/db")
    assert {name: peers(target) for name, target in found.items()} == {
        "host-3/web": {"host-3": ("10.232.7.1",)},
        "host-3/db": {"host-3": ("10.232.8.1",)},
    }
    assert sorted(site.asked) == ["host-3", "host-3/db", "host-3/web"]
    assert found["host-3/web"].group == ("host-3/db", "host-3/web")


def test_what_runs_in_a_nested_host_is_nobodys_peer() -> None:
    """Not even of those that are hit together with it: its address means nothing to them."""
    found = prepared(FakeSite(), "partition", "host-1", "host-3/web")
    assert set(peers(found["host-1"])) == {"host-2", "host-3", "host-4"}
    assert set(peers(found["host-3/web"])) == {"host-3"}


def test_without_a_way_to_its_host_it_has_no_peer() -> None:
    """An instance without a network has no gateway, and a fault that needs a peer says so."""
    with pytest.raises(UnfitError, match="host-3/web has no peer to be parted from"):
        prepared(FakeSite(web=""), "partition", "host-3/web")


def test_a_fault_that_does_not_speak_of_peers_resolves_none() -> None:
    """For one instance of a host its neighbours are resolved, who may share its network; for what runs inside, nobody."""
    site = FakeSite()
    found = prepared(site, "stop", "host-3/web")
    assert (site.asked, peers(found["host-3/web"]), site.knocked) == (["host-3/web"], {}, ["host-3/web"])
    site = FakeSite()
    found = prepared(site, "stop", "orders")
    assert found["orders"].shared_with == ("host-1",)
    assert sorted(site.asked) == ["host-1", "orders", "orders"]


@pytest.mark.parametrize(("name", "lacks"), [("host-2", "listens on no address"), ("host-3/web", "publishes no port")])
def test_who_cannot_be_reached_cannot_be_witnessed(name: str, lacks: str) -> None:
    """Silence where there was silence before proves nothing, so that is told before anything is done."""
    with pytest.raises(TopologyError, match=f"{name} {lacks}"):
        prepared(FakeSite(silent=True), "cut", name)
