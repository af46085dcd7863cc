"""Resource faults: what they ask of the target's own cgroups, and what the kernel's counters must say."""

from __future__ import annotations

from typing import Any

import pytest

from shaketable.faults import CATALOGUE, Params, Seen, residue, witness
from shaketable.model.units import FROM_TEXT
from shaketable.ports import Member, Target

TARGET = Target("web", (Member("web", "c", 4, 5, "freezer/c", holds_namespace=True),), (), ())
IDLE = {"cores": 0.01, "quota": None, "memory": 20 << 20, "memory_limit": 96 << 20, "pids": 2, "pids_limit": 96}


def params(kind: str, **values: Any) -> Params:
    """Parameters as they are read from a scenario."""
    return CATALOGUE[kind].params.model_validate(values, context=dict(FROM_TEXT))


def seen(given: Params, **now: Any) -> Seen:
    """An idle target before, and this now."""
    rows = {"before": {"web": IDLE}, "now": {"web": {**IDLE, **now}}}
    before, after = ({"usage": {"at": 1.0, "usage": rows[when]}} for when in ("before", "now"))
    return Seen(TARGET, given, before, after)


@pytest.mark.parametrize("kind", [k for k, f in CATALOGUE.items() if f.family == "resource"])
def test_what_is_used_up_is_the_targets_own(kind: str) -> None:
    """Every burden runs inside the target's cgroups, and an idle target is no proof of it."""
    given = params(kind, **CATALOGUE[kind].example)
    (step,) = CATALOGUE[kind].plan_for(TARGET, given).steps
    assert (step["do"], step["cgroups"], step["pid"]) == ("run", True, 4)
    assert witness(CATALOGUE[kind], seen(given)).at is None
    assert residue(CATALOGUE[kind], seen(given)) == []


@pytest.mark.parametrize(
    ("kind", "given", "now", "effective"),
    [
        ("spin", {"workers": 2}, {"cores": 0.9}, True),
        ("spin", {"workers": 2}, {"cores": 0.3}, False),
        ("spin", {"workers": 2}, {"cores": 0.2, "quota": 0.25}, True),
        ("hog", {"size": "32 MiB"}, {"memory": 53 << 20}, True),
        ("hog", {"size": "32 MiB"}, {"memory": 30 << 20}, False),
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
    """Less than what was asked for, within the target's own limits, is not the fault."""
    found = witness(CATALOGUE[kind], seen(params(kind, **given), **now))
    assert (found.at is not None) == effective, found.seen


def test_what_stays_used_is_residue() -> None:
    """Memory and processes that do not come back are named."""
    left = residue(CATALOGUE["hog"], seen(params("hog", size="32 MiB"), memory=60 << 20, pids=9))
    assert left == ["web has 9 processes, 2 before", "web uses 60 MiB, 20 MiB before"]
