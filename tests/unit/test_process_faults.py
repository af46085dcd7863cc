"""oom, crash-loop, kill-worker: plans, who cannot have them, and what the engine and the kernel must say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from shaketable.faults import CATALOGUE, Params, Seen, UnfitError, residue, witness
from shaketable.ports import Member, Target

HOLDER = Member("host", "c1", 11, 110, "freezer/c1", holds_namespace=True, restart_policy="always")
JOINED = Member("orders", "c2", 12, 120, "freezer/c2", holds_namespace=False, restart_policy="always")
HOST = Target("host", (HOLDER, JOINED), (), (("10.0.0.2", 80),))
ONE = Target("orders", (JOINED,), (), (), shared_with=("host",))


def params(kind: str, **values: Any) -> Params:
    """Parameters in Python's own form."""
    return CATALOGUE[kind].params(**values)


def test_the_holder_of_a_namespace_goes_last() -> None:
    """The engine takes the link away with its holder, and the others' goodbyes with it."""
    assert [s["member"] for s in CATALOGUE["oom"].plan_for(HOST, params("oom")).steps] == ["orders", "host"]


def test_who_is_ended_alone_must_not_take_the_network_of_others() -> None:
    """An instance that brings the namespace of others can only be ended with its host; another one can be ended alone."""
    holder = replace(HOST, members=(HOLDER,), shared_with=("orders",))
    for kind in ("kill", "stop", "oom"):
        with pytest.raises(UnfitError, match="orders also live in"):
            CATALOGUE[kind].plan_for(holder, params(kind))
        assert CATALOGUE[kind].plan_for(ONE, params(kind)).revive == "start"


def test_a_crash_loop_needs_somebody_who_starts_it_again() -> None:
    """Without a restart policy nothing would come back, and nothing would crash again."""
    never = replace(ONE, members=(replace(JOINED, restart_policy="no"),))
    with pytest.raises(UnfitError, match="restart: no"):
        CATALOGUE["crash-loop"].plan_for(never, params("crash-loop"))
    with pytest.raises(UnfitError, match="network namespace"):
        CATALOGUE["crash-loop"].plan_for(HOST, params("crash-loop"))
    (step,) = CATALOGUE["crash-loop"].plan_for(ONE, params("crash-loop", up=1.5)).steps
    assert (step["outlives"], step["up"]) == (True, 1.5)


def states(restarts: int, *, running: bool = True) -> dict[str, Any]:
    """What the engine says of an instance."""
    state = {"running": running, "exit_code": 137, "oom_killed": False, "restarts": restarts}
    return {"engine": {"at": 3.0, "members": {"orders": state}}}


@pytest.mark.parametrize(("times", "effective"), [(0, False), (1, False), (2, True), (7, True)])
def test_once_is_no_loop(times: int, effective: bool) -> None:
    """The engine must have started it again twice since before the fault."""
    seen = Seen(ONE, params("crash-loop"), states(3), states(3 + times))
    assert (witness(CATALOGUE["crash-loop"], seen).at is not None) == effective
    assert residue(CATALOGUE["crash-loop"], Seen(ONE, params("crash-loop"), states(3), states(9, running=False)))


def processes(*rows: tuple[int, int, str]) -> dict[str, Any]:
    """What the kernel lists."""
    return {"processes": {"at": 3.0, "processes": {"orders": [list(row) for row in rows]}}}


def test_a_worker_that_is_gone_is_the_proof() -> None:
    """One that matched before is gone; neither the first process nor one that does not match counts, nor a new pid."""
    first, other, worker = (12, 120, "worker: master"), (13, 121, "logger"), (14, 122, "worker: 1")
    kind, given = CATALOGUE["kill-worker"], params("kill-worker", match="^worker")
    before = processes(first, other, worker)
    for now, effective in (
        (processes(first, other), True),
        (processes(first, other, (14, 500, "worker: 1")), True),
        (processes(first, worker), False),
        (processes(other, worker), False),
        (before, False),
    ):
        assert (witness(kind, Seen(ONE, given, before, now)).at is not None) == effective


def test_a_bad_expression_is_refused() -> None:
    """What is no regular expression is told as such."""
    with pytest.raises(ValidationError, match="not a regular expression"):
        params("kill-worker", match="(")


def test_an_oom_is_told_from_a_kill() -> None:
    """The engine must call it that, and the kernel's counter must have risen for each instance."""
    kind = CATALOGUE["oom"]
    target = replace(ONE, addresses=())
    kernel = {"at": 2.0, "alive": {"orders": False}, "frozen": {"orders": False}, "all_thawed": True, "links_up": True}

    def seen(kills: int, *, oom: bool) -> Seen:
        state = {"running": False, "exit_code": 137, "oom_killed": oom, "restarts": 0}
        looks = {
            "kernel": kernel,
            "peer": {"at": 2.0, "probes": []},
            "engine": {"at": 2.0, "members": {"orders": state}},
        }
        return Seen(target, params("oom"), {"kills": {"kills": 4}}, {**looks, "kills": {"at": 2.0, "kills": kills}})

    assert "not for want of memory" in witness(kind, seen(5, oom=False)).seen
    assert "has not counted" in witness(kind, seen(4, oom=True)).seen
    assert "memory" not in witness(kind, seen(5, oom=True)).seen
