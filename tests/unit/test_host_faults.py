"""Plans of the host faults: steps and undo as data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shaketable.faults import CATALOGUE, Plan
from shaketable.ports import Link, Member, Target

TARGET = Target(
    "host-2",
    (
        Member("host-2-orders", "c2", 12, 120, "freezer/docker/c2", holds_namespace=False),
        Member("host-2", "c1", 11, 110, "freezer/docker/c1", holds_namespace=True, stop_signal=3),
    ),
    (Link("veth1", 7),),
    (("172.18.0.2", 8001),),
)


KINDS = ("stop", "kill", "freeze", "power-off", "cut")


def plan(kind: str, **values: object) -> Plan:
    """The plan of a kind for the target above."""
    return CATALOGUE[kind].plan_for(TARGET, CATALOGUE[kind].params(**values))


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_is_hit_and_every_change_has_its_undo(kind: str) -> None:
    """Each member and link that a plan touches is named again by its undo."""
    made = plan(kind)
    touched = {m for step in made.steps for m in step.get("members") or [step["member"]]}
    assert touched == {"host-2", "host-2-orders"}
    frozen = {step["cgroup"] for step in made.steps if step["do"] == "freeze"}
    assert frozen <= {step["cgroup"] for step in made.undo if step["do"] in ("thaw", "kill")}
    cut = {step["name"] for step in made.steps if step["do"] == "link" and not step["up"]}
    assert cut == {step["name"] for step in made.undo if step["do"] == "link" and step["up"]}


def test_power_off_never_lets_the_dying_speak() -> None:
    """The link goes before anything else and comes back after everything else, so no FIN of a killed process gets out."""
    made = plan("power-off")
    assert [step["do"] for step in made.steps] == ["link", "freeze", "freeze"]
    assert [step["do"] for step in made.undo] == ["kill", "kill", "link"]


def test_stop_uses_each_containers_own_signal_and_grace() -> None:
    """`stop` is the goodbye that the image asks for, with the scenario's grace."""
    made = plan("stop", grace=1.5)
    assert {step["member"]: step["signal"] for step in made.steps} == {"host-2-orders": 15, "host-2": 3}
    assert made.grace == 1.5


def test_namespace_holders_start_first() -> None:
    """A container that joins another's network can only be started after it."""
    assert [m.name for m in TARGET.start_order] == ["host-2", "host-2-orders"]


@pytest.mark.parametrize("kind", ["stop", "kill"])
def test_the_holder_of_the_namespace_ends_last(kind: str) -> None:
    """The engine takes the link of an ended holder away, and what the others still have to say would be lost."""
    assert [step["member"] for step in plan(kind).steps] == ["host-2-orders", "host-2"]


@pytest.mark.parametrize("kind", ["power-off", "reboot", "cut"])
def test_links_of_what_runs_in_a_nested_host_are_found_there(kind: str) -> None:
    """Their outer ends are in that host's network, so each step says which that is and who lives there; others say nothing."""
    inside = replace(TARGET, links=(Link("veth1", 7, netns=77, via=11), Link("veth2", 8)))
    made = CATALOGUE[kind].plan_for(inside, CATALOGUE[kind].params())
    for steps in (made.steps, made.undo):
        first, second = (step for step in steps if step["do"] == "link")
        assert (first["netns"], first["via"]) == (77, 11)
        assert not {"netns", "via"} & set(second)
