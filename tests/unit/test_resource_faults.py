"""Resource faults: what they ask of the target's own cgroups, and what the kernel's counters must say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from shaketable.faults import CATALOGUE, Params, Seen, UnfitError, residue, witness
from shaketable.model.units import FROM_TEXT
from shaketable.ports import Member, Target

LIMITS = {"cpus": None, "memory": 96 << 20, "pids": 96}
MEMBER = Member("web", "c", 4, 5, "freezer/c", holds_namespace=True, limits=LIMITS, open_files=((4, 5, 1024),))
TARGET = Target("web", (MEMBER,), (), ())
IDLE = {
    "cores": 0.01,
    "quota": None,
    "memory": 20 << 20,
    "memory_limit": 96 << 20,
    "pids": 2,
    "pids_limit": 96,
    "ours": 0,
}


def params(kind: str, **values: Any) -> Params:
    """Parameters as they are read from a scenario."""
    return CATALOGUE[kind].params.model_validate(values, context=dict(FROM_TEXT))


def seen(given: Params, **now: Any) -> Seen:
    """An idle target before, and this now."""
    rows = {"before": {"web": IDLE}, "now": {"web": {**IDLE, **now}}}
    before, after = ({"usage": {"at": 1.0, "usage": rows[when], "cpus": 2}} for when in ("before", "now"))
    return Seen(TARGET, given, before, after)


@pytest.mark.parametrize("kind", ["spin", "hog", "leak", "fork"])
def test_what_is_used_up_is_the_targets_own(kind: str) -> None:
    """Every burden runs inside the target's cgroups, and an idle target is no proof of it."""
    given = params(kind, **CATALOGUE[kind].example)
    (step,) = CATALOGUE[kind].plan_for(TARGET, given).steps
    assert (step["do"], step["cgroups"], step["pid"]) == ("run", True, 4)
    assert witness(CATALOGUE[kind], seen(given)).at is None
    assert residue(CATALOGUE[kind], seen(given)) == []


@pytest.mark.parametrize("kind", ["spin", "hog", "leak", "fork"])
def test_only_what_is_the_faults_own_is_left_behind(kind: str) -> None:
    """One process of the fault is residue; those that the target's own work began meanwhile are not."""
    given = params(kind, **CATALOGUE[kind].example)
    assert residue(CATALOGUE[kind], seen(given, pids=40)) == []
    assert residue(CATALOGUE[kind], seen(given, ours=1)) == ["web still has 1 of the fault's processes"]


@pytest.mark.parametrize(
    ("kind", "given", "now", "effective"),
    [
        ("spin", {"workers": 2}, {"cores": 1.1}, True),
        ("spin", {"workers": 2}, {"cores": 0.9}, False),
        ("spin", {"workers": 9}, {"cores": 1.1}, True),
        ("spin", {"workers": 2}, {"cores": 0.2, "quota": 0.25}, True),
        ("hog", {"size": "32 MiB"}, {"memory": 53 << 20}, True),
        ("hog", {"size": "32 MiB"}, {"memory": 30 << 20}, False),
        ("hog", {"share": "90 %"}, {"memory": 85 << 20}, True),
        ("hog", {"share": "90 %"}, {"memory": 80 << 20}, False),
        ("leak", {"size": "64 MiB", "rate": "16 MiB"}, {"memory": 25 << 20}, True),
        ("leak", {"size": "64 MiB", "rate": "16 MiB"}, {"memory": 21 << 20}, False),
        ("fork", {}, {"pids": 96}, True),
        ("fork", {}, {"pids": 95}, False),
        ("fork", {"processes": 10}, {"pids": 12}, True),
        ("fork", {"processes": 10}, {"pids": 11}, False),
    ],
)
def test_the_kernels_counters_are_the_proof(
    kind: str, given: dict[str, Any], now: dict[str, Any], effective: bool
) -> None:
    """Less than what was asked for, within the target's own limits, is not the fault; nor is what others use there."""
    asked = params(kind, **given)
    found = witness(CATALOGUE[kind], seen(asked, ours=1, **now))
    assert (found.at is not None) == effective, found.seen
    assert witness(CATALOGUE[kind], seen(asked, ours=0, **now)).at is None


@pytest.mark.parametrize(("cores", "effective"), [(0.6, True), (0.5, False)])
def test_a_busy_target_has_only_the_rest_of_its_quota_to_lose(cores: float, effective: bool) -> None:
    """Of 0.7 CPUs of which 0.4 were in use the loops can take 0.3, and half of that must be seen."""
    found = seen(params("spin", workers=2))
    uses = [
        {"usage": {"at": at, "usage": {"web": {**IDLE, "cores": c, "quota": 0.7, "ours": 2}}, "cpus": 2}}
        for at, c in ((1.0, 0.4), (2.0, cores))
    ]
    assert (witness(CATALOGUE["spin"], Seen(TARGET, found.params, *uses)).at is not None) == effective


@pytest.mark.parametrize(
    ("kind", "given", "before"),
    [
        ("spin", {"workers": 2}, {"cores": 0.25, "quota": 0.25}),
        ("fork", {}, {"pids": 96}),
        ("spin", {}, {"cores": 0.9}),
    ],
)
def test_who_was_busy_before_is_no_proof(kind: str, given: dict[str, Any], before: dict[str, Any]) -> None:
    """A target that already used what the fault takes cannot show that the fault took it."""
    found = seen(params(kind, **given))
    busy = {"usage": {"at": 1.0, "usage": {"web": {**IDLE, **before, "ours": 1}}, "cpus": 2}}
    assert witness(CATALOGUE[kind], Seen(TARGET, found.params, busy, busy)).at is None


def test_without_a_limit_there_is_nothing_to_fill() -> None:
    """As many processes as the limit lets be, or a share of memory, need that limit; the message names the instance."""
    free = replace(TARGET, members=(replace(MEMBER, limits={"cpus": None, "memory": None, "pids": None}),))
    for kind, given in (("fork", {}), ("hog", {"share": "50 %"})):
        with pytest.raises(UnfitError, match="web"):
            CATALOGUE[kind].plan_for(free, params(kind, **given))


def test_limits_come_back_as_they_were() -> None:
    """Only the limits named change, and the undo knows what each was, so that it needs nothing else."""
    plan = CATALOGUE["limits"].plan_for(TARGET, params("limits", memory="64 MiB", cpus=0.5))
    assert [(s["do"], s["limits"]) for s in plan.steps] == [("limits", {"cpus": 0.5, "memory": 64 << 20})]
    assert [(s["do"], s["limits"]) for s in plan.undo] == [("limits-back", {"cpus": None, "memory": 96 << 20})]
    given = params("limits", memory="64 MiB")
    assert witness(CATALOGUE["limits"], seen(given)).at is None
    assert witness(CATALOGUE["limits"], seen(given, memory_limit=64 << 20)).at == 1.0
    assert residue(CATALOGUE["limits"], seen(given, memory_limit=64 << 20)) != []


def test_limits_need_a_limit() -> None:
    """No limit at all is refused."""
    with pytest.raises(ValidationError, match="at least one"):
        params("limits")


@pytest.mark.parametrize(
    ("soft", "open_", "effective"), [(12, 12, True), (1024, 12, False), (500, 12, False), (20, 12, True)]
)
def test_open_files_are_at_their_limit(soft: int, open_: int, effective: bool) -> None:
    """The first process may open hardly more than it has open, and less than before."""
    kind, given = CATALOGUE["fds"], params("fds")
    rows = {"before": [[4, 5, 1024, 12]], "now": [[4, 5, soft, open_]]}
    before, now = ({"files": {"at": 1.0, "descriptors": {"web": rows[when]}}} for when in ("before", "now"))
    assert (witness(kind, Seen(TARGET, given, before, now)).at is not None) == effective
    assert bool(residue(kind, Seen(TARGET, given, before, now))) == (soft != 1024)
    assert kind.plan_for(TARGET, given).undo[0]["was"] == [[4, 5, 1024]]


def test_what_stays_used_is_residue() -> None:
    """Processes of the fault and memory that do not come back are named."""
    left = residue(CATALOGUE["hog"], seen(params("hog", size="32 MiB"), memory=60 << 20, ours=9))
    assert left == ["web still has 9 of the fault's processes", "web uses 60 MiB, 20 MiB before"]
