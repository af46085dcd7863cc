"""No pass without proof: the comparison of what a fault claims with what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shaketable.faults import CATALOGUE, Params, Probe, Seen, residue, witness
from shaketable.ports import Target

# What a peer and the kernel see of each fault, as measured: (connect, held, alive, frozen)
SIGHTS = {
    "stop": ("refused", "eof", False, False),
    "kill": ("refused", "reset", False, False),
    "freeze": ("answered", "open", True, True),
    "power-off": ("silent", "open", True, True),
    "cut": ("silent", "open", True, False),
    "nothing": ("answered", "open", True, False),
}


TARGET = Target("host-2", (), (), (("172.18.0.2", 8001),))
KINDS = ("stop", "kill", "freeze", "power-off", "cut")


def sight(name: str, held_before: str = "open", **kernel: object) -> Seen:
    """What was seen of a host with one instance and one address."""
    connect, held, alive, frozen = SIGHTS[name]
    word = {"at": 10.0, "alive": {"host-2": alive}, "frozen": {"host-2": frozen}, **kernel}
    return Seen(
        TARGET,
        Params(),
        before={"peer": {"at": 9.0, "probes": [Probe(9.0, "172.18.0.2:8001", "answered", held_before)]}},  # type: ignore[arg-type]
        now={"kernel": word, "peer": {"at": 10.2, "probes": [Probe(10.2, "172.18.0.2:8001", connect, held)]}},  # type: ignore[arg-type]
    )


def but(seen: Seen, **readings: Mapping[str, Any]) -> Seen:
    """The same with other readings."""
    return replace(seen, now={**seen.now, **readings})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seen", SIGHTS)
def test_each_fault_is_witnessed_by_its_own_signature_only(kind: str, seen: str) -> None:
    """A fault counts when exactly its effect is seen; stop and kill look alike to a peer, all others differ."""
    alike = {"stop", "kill"}
    expected = kind == seen or {kind, seen} <= alike
    found = witness(CATALOGUE[kind], sight(seen))
    assert (found.at is not None) == expected, found.seen


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_seen_is_no_proof(kind: str) -> None:
    """Without a peer's look, without the kernel's word, or with a look that failed, there is no witness."""
    full = sight(kind)
    assert witness(CATALOGUE[kind], but(full, peer={"at": 0.0, "probes": []})).at is None
    assert witness(CATALOGUE[kind], but(full, kernel={"at": 10.0, "alive": {}, "frozen": {}})).at is None
    assert witness(CATALOGUE[kind], but(full, peer={"at": 0.0, "error": "the peer is gone"})).at is None
    assert witness(CATALOGUE[kind], replace(full, now={})).at is None


def test_one_dissenting_address_is_enough_to_doubt() -> None:
    """All addresses must show the effect: one that still answers is named."""
    seen = sight("power-off")
    probes = [*seen.now["peer"]["probes"], Probe(10.2, "172.18.0.2:8002", "answered", "open")]
    found = witness(CATALOGUE["power-off"], but(seen, peer={"at": 10.2, "probes": probes}))
    assert found.at is None
    assert "172.18.0.2:8002 was answered" in found.seen


def test_an_address_nobody_looked_at_is_enough_to_doubt() -> None:
    """A target with two addresses is not witnessed by one."""
    seen = sight("power-off")
    two = replace(TARGET, addresses=(*TARGET.addresses, ("172.18.0.2", 8002)))
    assert "8002" in witness(CATALOGUE["power-off"], replace(seen, target=two)).seen


def test_a_connection_that_was_closed_before_tells_nothing() -> None:
    """A held connection that the app itself had closed before the fault is left out of the comparison."""
    seen = sight("power-off", held_before="eof")
    closed = but(seen, peer={"at": 10.2, "probes": [Probe(10.2, "172.18.0.2:8001", "silent", "eof")]})
    assert witness(CATALOGUE["power-off"], closed).at is not None


def test_the_moment_is_that_of_the_last_look() -> None:
    """The effect counts as witnessed when the picture was complete, not when its first piece was seen."""
    assert witness(CATALOGUE["cut"], sight("cut")).at == 10.2


def test_what_heal_leaves_is_seen() -> None:
    """A link that stays down, or a process that should have ended, is residue; a look that fails is, too."""
    fine = sight("nothing", all_thawed=True, links_up=True)
    assert residue(CATALOGUE["cut"], fine) == []
    assert residue(CATALOGUE["cut"], sight("nothing", all_thawed=True, links_up=False)) == ["a link is still down"]
    assert residue(CATALOGUE["kill"], fine) == ["host-2 is still running"]
    assert residue(CATALOGUE["cut"], but(fine, kernel={"at": 1.0, "error": "gone"})) == [
        "kernel could not be seen: gone"
    ]
