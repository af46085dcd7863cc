"""Disks of their own: which one a path is on, what power-off does to it, and what a write must come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shaketable.faults import CATALOGUE, Seen, UnfitError, residue, witness
from shaketable.ports import Link, Member, Target

MEMBER = Member("db", "c", 4, 5, "freezer/c", holds_namespace=True, disks=(("/data", "loop3"), ("/data/wal", "loop4")))
TARGET = Target("db", (MEMBER,), (Link("veth1", 7),), (("10.0.0.2", 5432),))


def seen(kind: str, now: str, *, room: int = 0, before: str = "written", **given: Any) -> Seen:
    """A write came to this, before and now."""
    looks = [{"writes": {"at": 1.0, "writes": {"db:/data": w}, "room": {"db:/data": room}}} for w in (before, now)]
    return Seen(TARGET, CATALOGUE[kind].params(path="/data/x", **given), *looks)


def test_power_goes_after_the_link_and_comes_back_before_it() -> None:
    """Every disk goes off once, when nothing can be heard any more; each is free again before anybody is reached."""
    plan = CATALOGUE["power-off"].plan_for(TARGET, CATALOGUE["power-off"].params())
    assert [s["do"] for s in plan.steps] == ["link", "freeze", "disk-off", "disk-off"]
    assert [s["do"] for s in plan.undo] == ["kill", "disk-free", "disk-free", "link"]
    assert {s["device"] for s in plan.steps if "device" in s} == {"loop3", "loop4"}
    assert CATALOGUE["reboot"].plan_for(TARGET, CATALOGUE["reboot"].params(off=2.0)).returns == 2.0


def test_a_path_belongs_to_the_disk_it_is_on() -> None:
    """The disk is found by the path; with several none is guessed; without any the message says what to do."""
    (step,) = CATALOGUE["disk-stall"].plan_for(TARGET, CATALOGUE["disk-stall"].params(path="/data/pg/base")).undo
    assert step["device"] == "loop3"
    for path, why in (("", "several disks"), ("/var", "on no disk of its own"), ("/database", "on no disk of its own")):
        with pytest.raises(UnfitError, match=why):
            CATALOGUE["disk-full"].plan_for(TARGET, CATALOGUE["disk-full"].params(path=path))
    plain = replace(TARGET, members=(replace(MEMBER, disks=()),))
    with pytest.raises(UnfitError, match=r"x-shaketable\.volumes"):
        CATALOGUE["disk-full"].plan_for(plain, CATALOGUE["disk-full"].params())


@pytest.mark.parametrize(
    ("kind", "now", "effective"),
    [
        ("disk-full", "ENOSPC", True),
        ("disk-full", "written", False),
        ("disk-full", "EIO", False),
        ("disk-full", "gone", False),
        ("disk-stall", "hangs", True),
        ("disk-stall", "written", False),
        ("disk-stall", "gone", False),
    ],
)
def test_a_write_is_the_proof(kind: str, now: str, effective: bool) -> None:
    """Only a write that comes to what the fault says is its proof."""
    assert (witness(CATALOGUE[kind], seen(kind, now)).at is not None) == effective


def test_room_that_is_left_counts() -> None:
    """What was to stay free stays free, and no more."""
    kind = CATALOGUE["disk-full"]
    assert witness(kind, seen("disk-full", "written", room=1 << 20, leave=1 << 20)).at == 1.0
    assert witness(kind, seen("disk-full", "written", room=9 << 20, leave=1 << 20)).at is None


def test_a_disk_that_stays_bad_is_residue() -> None:
    """After heal a write succeeds, where one did before; a target that has ended tells nothing."""
    kind = CATALOGUE["disk-stall"]
    assert residue(kind, seen("disk-stall", "hangs")) == ["a write at db:/data comes to hangs"]
    assert residue(kind, seen("disk-stall", "gone")) == residue(kind, seen("disk-stall", "written")) == []
