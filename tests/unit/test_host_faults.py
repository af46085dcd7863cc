"""Plans of the host faults: steps and undo as data."""

from __future__ import annotations

import pytest

from shaketable.faults import HOST_FAULTS
from shaketable.model.scenario import FAULT_KINDS
from shaketable.ports import HostFacts, Link, Member

FACTS = HostFacts(
    "host-2",
    (
        Member("host-2-orders", "c2", 12, 120, "freezer/docker/c2", holds_namespace=False),
        Member("host-2", "c1", 11, 110, "freezer/docker/c1", holds_namespace=True, stop_signal=3),
    ),
    (Link("veth1", 7),),
    (("172.18.0.2", 8001),),
)


def test_every_kind_a_scenario_may_name_exists() -> None:
    """The kinds of the scenario schema and the catalogue are the same set."""
    assert set(HOST_FAULTS) == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_member_is_hit_and_every_change_has_its_undo(kind: str) -> None:
    """Each member and link that a plan touches is named again by its undo."""
    plan = HOST_FAULTS[kind].plan(FACTS, 2.0)
    touched = {m for step in plan.steps for m in step.get("members") or [step["member"]]}
    assert touched == {"host-2", "host-2-orders"}
    frozen = {step["cgroup"] for step in plan.steps if step["do"] == "freeze"}
    assert frozen <= {step["cgroup"] for step in plan.undo if step["do"] in ("thaw", "kill")}
    cut = {step["name"] for step in plan.steps if step["do"] == "link" and not step["up"]}
    assert cut == {step["name"] for step in plan.undo if step["do"] == "link" and step["up"]}


def test_power_off_never_lets_the_dying_speak() -> None:
    """The link goes before anything else and comes back after everything else, so no FIN of a killed process gets out."""
    plan = HOST_FAULTS["power-off"].plan(FACTS, 2.0)
    assert [step["do"] for step in plan.steps] == ["link", "freeze", "freeze"]
    assert [step["do"] for step in plan.undo] == ["kill", "kill", "link"]


def test_stop_uses_each_containers_own_signal_and_grace() -> None:
    """`stop` is the goodbye that the image asks for, with the scenario's grace."""
    plan = HOST_FAULTS["stop"].plan(FACTS, 1.5)
    assert {step["member"]: step["signal"] for step in plan.steps} == {"host-2-orders": 15, "host-2": 3}
    assert plan.grace == 1.5


def test_namespace_holders_start_first() -> None:
    """A container that joins another's network can only be started after it."""
    assert [m.name for m in FACTS.start_order] == ["host-2", "host-2-orders"]
