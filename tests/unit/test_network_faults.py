"""Network faults: who is parted from whom, which rules that takes, and what the witness must see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shaketable.agent.changes import shape
from shaketable.agent.changes.shape import discipline
from shaketable.faults import CATALOGUE, Params, Seen, UnfitError, witness
from shaketable.faults.network import Partition, apart
from shaketable.model.units import FROM_TEXT
from shaketable.ports import Link, Member, Target


def host(number: int) -> Target:
    """One of several hosts."""
    name = f"host-{number}"
    member = Member(name, f"c{number}", number, number, f"freezer/{name}", holds_namespace=True, netns=number)
    return Target(name, (member,), (Link(f"veth{number}", number),), ((f"10.0.0.{number}", 80),), (f"10.0.0.{number}",))


HOSTS = [host(n) for n in range(1, 6)]
ONE = replace(HOSTS[0], peers=tuple(HOSTS[1:3]), group=("host-1",))


def params(kind: str, **values: Any) -> Params:
    """Parameters as they are read from a scenario."""
    return CATALOGUE[kind].params.model_validate(values, context=dict(FROM_TEXT))


def datagrams(target: Target, received: dict[str, int], delays: float = 0.0001, sent: int = 6) -> dict[str, Any]:
    """A reading; pairs that are not named lost nothing."""
    pairs = {}
    for peer in target.peers:
        for name in (f"{peer.name}>{target.name}", f"{target.name}>{peer.name}"):
            got = received.get(name, sent)
            pairs[name] = {"sent": sent, "received": got, "refused": 0, "delays": [delays] * got}
    return {"datagrams": {"at": 5.0, "pairs": pairs}}


@given(st.integers(3, 12), st.sampled_from(["halves", "ring", "bridge"]))
def test_patterns_are_symmetric_and_part_somebody(size: int, pattern: Any) -> None:
    """If a no longer talks with b, b no longer talks with a; nobody is parted from itself."""
    group = tuple(f"n{n:02}" for n in range(size))
    lost = {name: apart(name, group, pattern) for name in group}
    for name, others in lost.items():
        assert name not in others
        assert all(name in lost[other] for other in others)
    assert any(lost.values()) or (pattern == "ring" and size == 3)
    if pattern == "ring":
        assert all(len(others) == max(0, size - 3) for others in lost.values())
    if pattern == "bridge":
        assert sum(not others for others in lost.values()) == 1


@pytest.mark.parametrize(("direction", "ways"), [("both", {"in", "out"}), ("in", {"in"}), ("out", {"out"})])
def test_a_one_way_partition_has_rules_one_way(direction: str, ways: set[str]) -> None:
    """What comes in is dropped by its source, what goes out by where it goes, and each way only when asked for."""
    (step,) = CATALOGUE["partition"].plan_for(ONE, params("partition", peers=["host-2"], direction=direction)).steps
    assert {way for way in ("in", "out") if way in step} == ways
    assert step.get("in", ["-s 10.0.0.2 -j DROP"]) == ["-s 10.0.0.2 -j DROP"]
    assert step.get("out", ["-d 10.0.0.2 -j DROP"]) == ["-d 10.0.0.2 -j DROP"]


def test_every_change_is_undone_in_the_same_place() -> None:
    """Each chain that is set is taken away again, in the namespace it was set in."""
    for kind in ("partition", "slow", "jam", "lossy", "reject"):
        given = {**CATALOGUE[kind].example, **({"peers": ["host-2"]} if kind == "partition" else {})}
        plan = CATALOGUE[kind].plan_for(ONE, params(kind, **given))
        made = {(s["chain"], s["netns"]) for s in plan.steps if s["do"] == "rules"}
        assert made == {(s["chain"], s["netns"]) for s in plan.undo}
        assert all(len(chain) <= 24 for chain, _ in made), "the kernel takes 28 characters, with -in or -out"


def test_who_is_no_peer_is_named() -> None:
    """A peer that does not exist is an error that names those that do."""
    with pytest.raises(UnfitError, match=r"host-9: no peer of host-1; there are host-2, host-3"):
        CATALOGUE["partition"].plan_for(ONE, params("partition", peers=["host-9"]))


def test_a_shared_namespace_is_refused() -> None:
    """An instance whose network is also used by others cannot be cut off alone: the message names its host's members."""
    with pytest.raises(UnfitError, match="also used by host-1-orders"):
        CATALOGUE["slow"].plan_for(replace(ONE, shared_with=("host-1-orders",)), params("slow", delay="50 ms"))


@pytest.mark.parametrize(
    ("received", "seen"),
    [
        ({"host-2>host-1": 0}, True),
        ({}, False),
        ({"host-2>host-1": 1}, False),
        ({"host-2>host-1": 0, "host-1>host-2": 0}, False),
        ({"host-2>host-1": 0, "host-3>host-1": 0}, False),
    ],
)
def test_a_partition_is_witnessed_by_exactly_its_own_losses(received: dict[str, int], seen: bool) -> None:
    """One way is one way: loss the other way, or of somebody else, is another fault."""
    one_way = Partition(peers=("host-2",), direction="in")
    found = witness(CATALOGUE["partition"], Seen(ONE, one_way, {}, datagrams(ONE, received)))
    assert (found.at is not None) == seen, found.seen


@pytest.mark.parametrize(("milliseconds", "seen"), [(50, True), (52, True), (0.1, False), (30, False), (90, False)])
def test_slow_is_witnessed_by_its_own_delay(milliseconds: float, seen: bool) -> None:
    """A delay that is not the one asked for is no proof."""
    reading = datagrams(ONE, {}, delays=0.0001)
    for row in (reading["datagrams"]["pairs"]["host-1>host-2"],):
        row["delays"] = [milliseconds / 1000] * 6
    found = witness(CATALOGUE["slow"], Seen(ONE, params("slow", delay="50 ms"), {}, reading))
    assert (found.at is not None) == seen, found.seen


@pytest.mark.parametrize(("received", "seen"), [(280, True), (400, False), (100, False)])
def test_loss_is_witnessed_by_its_own_share(received: int, seen: bool) -> None:
    """30 % of 400 is 120 give or take 46; nothing lost, or three quarters, is another fault."""
    both = {"host-2>host-1": received, "host-1>host-2": received}
    found = witness(CATALOGUE["lossy"], Seen(ONE, params("lossy", share="30 %"), {}, datagrams(ONE, both, sent=400)))
    assert (found.at is not None) == seen, found.seen


def test_a_loss_that_could_not_be_witnessed_is_refused() -> None:
    """Less than 5 % could not be told from chance."""
    with pytest.raises(ValidationError, match="could not be told from chance"):
        params("lossy", share="1 %")


def test_netem_delays_where_the_kernel_has_it() -> None:
    """The same fault by the kernel's own discipline, undone by its handle; by a queue of ours where there is none."""
    given = params("slow", delay="50 ms", jitter="5 ms", direction="both")
    able = replace(ONE, able=frozenset({"netem"}))
    plan = CATALOGUE["slow"].plan_for(able, given)
    assert [(s["do"], s["links"]) for s in plan.steps] == [("shape", []), ("shape", [["veth1", 1]])]
    assert [s["do"] for s in plan.undo] == ["no-shape", "no-shape"]
    assert discipline(plan.steps[0]) == ["netem", "limit", "100000", "delay", "50000us", "5000us"]
    assert {s["do"] for s in CATALOGUE["slow"].plan_for(ONE, given).steps} == {"run", "rules"}


def test_a_bucket_holds_a_millisecond_and_a_packet_at_least() -> None:
    """The rate in bits, the bucket in bytes."""
    (step,) = CATALOGUE["throttled"].plan_for(ONE, params("throttled", rate="100 Mbit/s")).steps
    assert discipline(step) == ["tbf", "rate", "100000000bit", "burst", "12500", "limit", "2500000"]


@pytest.mark.parametrize(
    ("now", "before", "received", "effective"),
    [
        ("silent", "answered", 6, True),
        ("silent", "silent", 6, False),
        ("answered", "answered", 6, False),
        ("silent", "refused", 0, False),
    ],
)
def test_one_service_is_parted_and_no_other(now: str, before: str, received: int, effective: bool) -> None:
    """Connections to its port are silent where they were not, and what else passes between the hosts passes on."""
    kind, given = CATALOGUE["partition"], params("partition", peers=["host-2"], port=80)
    (step,) = kind.plan_for(ONE, given).steps
    assert all("-p tcp --dport 80" in rule or "-p tcp --sport 80" in rule for rule in (*step["in"], *step["out"]))
    looks = []
    for outcome in (before, now):
        tries = {name: {"outcome": outcome, "seconds": 0.0} for name in ("host-1>host-2:80", "host-2>host-1:80")}
        passed = {f"{p.name}>host-1": received for p in ONE.peers}
        looks.append({**datagrams(ONE, passed), "connects": {"at": 5.0, "tries": tries}})
    assert (witness(kind, Seen(ONE, given, *looks)).at is not None) == effective


NESTED = replace(ONE, members=(replace(ONE.members[0], interfaces=("eth0", "eth1"), nested="20.10"),))
INSIDE = replace(ONE, name="host-1/web", links=(Link("veth1", 9, netns=1, via=41),), inside="host-1")


@pytest.mark.parametrize("kind", ["partition", "lossy", "reject", "connection-limit", "slow", "jam"])
def test_what_passes_through_a_nested_host_is_hit_too(kind: str) -> None:
    """Its containers' packets pass between its link and its bridges: rules stand there as well, and only on its links."""
    given = params(kind, **{**CATALOGUE[kind].example, **({"peers": ["host-2"]} if kind == "partition" else {})})
    made = [step for step in CATALOGUE[kind].plan_for(NESTED, given).steps if step["do"] == "rules"]
    assert made
    assert all(step["forward"] == ["eth0", "eth1"] for step in made)
    for target in (ONE, INSIDE):
        assert not any("forward" in step for step in CATALOGUE[kind].plan_for(target, given).steps)


def test_what_a_nested_host_sends_is_shaped_where_it_leaves() -> None:
    """Its bridges and their ports carry what its containers say to each other, and what they get."""
    kind, given = CATALOGUE["throttled"], params("throttled", rate="2 Mbit/s", direction="out")
    plan = kind.plan_for(NESTED, given)
    assert [step["interfaces"] for step in (*plan.steps, *plan.undo)] == [["eth0", "eth1"]] * 2
    assert "interfaces" not in kind.plan_for(ONE, given).steps[0]


class Kernel:
    """Notes what is shaped, and where; `there` are the links and interfaces of each namespace."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, there: dict[tuple[int, int], list[str]]) -> None:
        self.done: list[tuple[tuple[int, int], str]] = []
        self._there, self._at = there, (0, 0)
        for name in ("beside", "inside"):
            monkeypatch.setattr(shape, name, self._entered)
        monkeypatch.setattr(shape, "open_netns", lambda *_: shape.os.dup(0))
        monkeypatch.setattr(shape, "_tc", self._tc)
        monkeypatch.setattr(shape, "link_is_up", lambda name, _: True if name in self._there[self._at] else None)
        monkeypatch.setattr(shape.socket, "if_nameindex", lambda: [*enumerate(self._there[self._at])])

    @contextmanager
    def _entered(self, inode: int, pid: int) -> Iterator[None]:
        self._at = (inode, pid)
        yield
        self._at = (0, 0)

    def _tc(self, *words: str) -> str:
        if words[1] == "show":
            return "qdisc tbf 57a1: root "
        self.done.append((self._at, f"{words[1]} {words[3]}"))
        return ""


def test_links_of_what_runs_inside_are_shaped_in_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their outer ends are in the nested host's own network, found by its first process; nothing of ours is elsewhere."""
    plan = CATALOGUE["throttled"].plan_for(INSIDE, params("throttled", rate="2 Mbit/s", direction="in"))
    kernel = Kernel(monkeypatch, {(0, 0): ["veth1"], (1, 41): ["veth1"]})
    shape.add(plan.steps[0])
    shape.remove(plan.undo[0])
    assert kernel.done == [((1, 41), "add veth1"), ((1, 41), "del veth1")]


def test_of_a_nested_host_only_its_own_links_are_shaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has gone since is left out; what its engine makes is left alone, before and after."""
    plan = CATALOGUE["throttled"].plan_for(NESTED, params("throttled", rate="2 Mbit/s", direction="out"))
    kernel = Kernel(monkeypatch, {(1, 1): ["lo", "eth0", "docker0", "veth7"]})
    shape.add(plan.steps[0])
    shape.remove(plan.undo[0])
    assert kernel.done == [((1, 1), "add eth0"), ((1, 1), "del eth0")]


def test_connections_that_end_inside_are_reset_there() -> None:
    """A nested host's own connections are not those of its containers: reset says which target would do."""
    kind = CATALOGUE["reset"]
    with pytest.raises(UnfitError, match="end in its instances") as caught:
        kind.plan_for(NESTED, params("reset"))
    assert "host-1/web" in caught.value.hint
    assert [step["do"] for step in kind.plan_for(INSIDE, params("reset")).steps] == ["reset"]
