"""No pass without proof: the comparison of what a fault claims with what was seen."""

from __future__ import annotations

import pytest

from shaketable.faults import HOST_FAULTS, Probe, Seen, witness

# What a peer and the kernel see of each fault, as measured: (connect, held, alive, frozen)
SIGHTS = {
    "stop": ("refused", "eof", False, False),
    "kill": ("refused", "reset", False, False),
    "freeze": ("answered", "open", True, True),
    "power-off": ("silent", "open", True, True),
    "cut": ("silent", "open", True, False),
    "nothing": ("answered", "open", True, False),
}


def sight(name: str, held_before: str = "open") -> Seen:
    """What was seen of a host with one instance and one address."""
    connect, held, alive, frozen = SIGHTS[name]
    return Seen(
        at=10.0,
        alive={"host-2": alive},
        frozen={"host-2": frozen},
        probes=[Probe(10.2, "172.18.0.2:8001", connect, held)],  # type: ignore[arg-type]
        held_before={"172.18.0.2:8001": held_before},  # type: ignore[dict-item]
    )


@pytest.mark.parametrize("kind", HOST_FAULTS)
@pytest.mark.parametrize("seen", SIGHTS)
def test_each_fault_is_witnessed_by_its_own_signature_only(kind: str, seen: str) -> None:
    """A fault counts when exactly its effect is seen; stop and kill look alike to a peer, all others differ."""
    alike = {"stop", "kill"}
    expected = kind == seen or {kind, seen} <= alike
    found = witness(HOST_FAULTS[kind].signature, sight(seen))
    assert (found.at is not None) == expected, found.seen


@pytest.mark.parametrize("kind", HOST_FAULTS)
def test_nothing_seen_is_no_proof(kind: str) -> None:
    """Without a peer's look, or without the kernel's word, there is no witness."""
    full = sight(kind)
    assert witness(HOST_FAULTS[kind].signature, Seen(10.0, full.alive, full.frozen, [], {})).at is None
    assert witness(HOST_FAULTS[kind].signature, Seen(10.0, {}, {}, full.probes, full.held_before)).at is None


def test_one_dissenting_address_is_enough_to_doubt() -> None:
    """All addresses must show the effect: one that still answers is named."""
    seen = sight("power-off")
    probes = [*seen.probes, Probe(10.2, "172.18.0.2:8002", "answered", "open")]
    found = witness(HOST_FAULTS["power-off"].signature, Seen(10.0, seen.alive, seen.frozen, probes, seen.held_before))
    assert found.at is None
    assert "172.18.0.2:8002 was answered" in found.seen


def test_a_connection_that_was_closed_before_tells_nothing() -> None:
    """A held connection that the app itself had closed before the fault is left out of the comparison."""
    seen = sight("power-off", held_before="eof")
    closed = Seen(10.0, seen.alive, seen.frozen, [Probe(10.2, "172.18.0.2:8001", "silent", "eof")], seen.held_before)
    assert witness(HOST_FAULTS["power-off"].signature, closed).at is not None


def test_the_moment_is_that_of_the_last_look() -> None:
    """The effect counts as witnessed when the picture was complete, not when its first piece was seen."""
    assert witness(HOST_FAULTS["cut"].signature, sight("cut")).at == 10.2
