"""engine-stop, -kill, -restart, -upgrade: plans and who cannot have them, and what proves each, from hand-made readings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from shaketable.faults import CATALOGUE, Params, Plan, Seen, UnfitError, residue, witness
from shaketable.faults.engine import ENGINE_FAULTS
from shaketable.ports import Member, Target

MEMBER = Member("st-host-3-1", "c3", 41, 410, "freezer/c3", holds_namespace=True, netns=7, nested="20.10")
HOST = Target("host-3", (MEMBER,), (), (("10.0.0.3", 80),))
INSIDE = Target("host-3/web", (replace(MEMBER, name="st-host-3-1/web", nested=""),), (), (), inside="host-3")
KINDS = tuple(fault.kind for fault in ENGINE_FAULTS)


def params(kind: str) -> Params:
    """Parameters as in the catalogue."""
    return CATALOGUE[kind].params(**CATALOGUE[kind].example)


def plan(kind: str, target: Target = HOST) -> Plan:
    """The plan of a kind."""
    return CATALOGUE[kind].plan_for(target, params(kind))


def reading(version: str = "20.10.24+dfsg1", *engines: tuple[int, int], **lives: float | str) -> dict[str, Any]:
    """What the witness sees: the engine's version and processes, and containers: when they began, or their state."""
    containers = {
        name: {"id": name, "state": "running", "since": life}
        if isinstance(life, float)
        else {"id": name, "state": life, "since": 0.0}
        for name, life in lives.items()
    }
    found = {"at": 20.0, "version": version, "engines": [list(one) for one in engines], "containers": containers}
    return {"engine": found}


BEFORE = reading("20.10.24+dfsg1", (50, 500))


@pytest.mark.parametrize(
    ("kind", "do", "ask"),
    [
        ("engine-stop", "engine", "stop"),
        ("engine-kill", "engine-kill", None),
        ("engine-restart", "engine", "restart"),
        ("engine-upgrade", "engine", "upgrade 26.1"),
    ],
)
def test_whatever_was_done_the_engine_of_before_is_to_run_in_the_end(kind: str, do: str, ask: str | None) -> None:
    """The undo of all is to settle on the version it was started with, and it is given the time that packages take."""
    made = plan(kind)
    (step,), (undo,) = made.steps, made.undo
    assert (step["do"], step.get("ask")) == (do, ask)
    assert (undo["do"], undo["ask"]) == ("engine", "settle 20.10")
    assert MEMBER.step.items() <= step.items()
    assert MEMBER.step.items() <= undo.items(), "found by its first process, as it was resolved"
    assert made.settles >= 30
    assert made.revive == "no", "what becomes of its containers is for live-restore and restart policies to say"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [INSIDE, replace(HOST, members=(replace(MEMBER, nested=""),))])
def test_only_a_nested_host_has_an_engine_to_lose(kind: str, target: Target) -> None:
    """The engine that carries the topology is never a target, nor one that a container happens to run in."""
    with pytest.raises(
        UnfitError, match=f"{kind} acts on the engine of a nested host, and {target.name} has none"
    ) as e:
        plan(kind, target)
    assert "x-shaketable.nested" in e.value.hint


def test_an_upgrade_is_to_another_version() -> None:
    """To the one that it has is no change, and to one that there is not is refused when it is read."""
    newer = replace(HOST, members=(replace(MEMBER, nested="26.1"),))
    with pytest.raises(UnfitError, match=r"the engine of host-3 is 26\.1 already"):
        plan("engine-upgrade", newer)
    down = CATALOGUE["engine-upgrade"].plan_for(newer, CATALOGUE["engine-upgrade"].params(to="20.10"))
    assert [step["ask"] for step in (*down.steps, *down.undo)] == ["upgrade 20.10", "settle 26.1"]
    with pytest.raises(ValidationError):
        CATALOGUE["engine-upgrade"].params(to="27.0")


SIGHTS = {
    "nothing": (BEFORE, set()),
    "silent, its process there": (reading("", (50, 500)), set()),
    "gone": (reading(""), {"engine-stop", "engine-kill"}),
    "coming up": (reading("", (60, 600)), {"engine-kill"}),
    "another process": (reading("20.10.24+dfsg1", (60, 600)), {"engine-kill", "engine-restart"}),
    "another process of the same id": (reading("20.10.24+dfsg1", (50, 600)), {"engine-kill", "engine-restart"}),
    "a second process": (reading("20.10.24+dfsg1", (50, 500), (60, 600)), set()),
    "answering, no process": (reading("20.10.24+dfsg1"), {"engine-kill"}),
    "upgraded": (reading("26.1.5", (60, 600)), {"engine-kill", "engine-restart", "engine-upgrade"}),
    "upgraded to another": (reading("26.10.5", (60, 600)), {"engine-kill", "engine-restart"}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sight", SIGHTS)
def test_each_is_witnessed_by_its_own_effect_only(kind: str, sight: str) -> None:
    """A silent engine is not a stopped one, and one that answers again is another process, or was never restarted."""
    now, effective = SIGHTS[sight]
    found = witness(CATALOGUE[kind], Seen(HOST, params(kind), BEFORE, now))
    assert (found.at is not None) == (kind in effective), found.seen


def test_an_engine_that_was_silent_before_was_not_stopped_by_us() -> None:
    """What did not answer before either proves nothing."""
    found = witness(CATALOGUE["engine-stop"], Seen(HOST, Params(), reading(""), reading("")))
    assert (found.at, found.seen) == (None, "its engine gave no answer before, either")
    for kind in ("engine-kill", "engine-restart"):
        found = witness(CATALOGUE[kind], Seen(HOST, Params(), reading(), SIGHTS["another process"][0]))
        assert (found.at, found.seen) == (None, "no process of its engine was seen before")


@pytest.mark.parametrize("kind", KINDS)
def test_a_look_that_failed_is_no_proof_and_no_clean_bill(kind: str) -> None:
    """A host that has ended cannot be asked, and nobody knows what is left there."""
    gone = {"engine": {"at": 20.0, "error": "st-host-3-1 has ended"}}
    seen = Seen(HOST, params(kind), BEFORE, gone)
    assert witness(CATALOGUE[kind], seen).seen == "engine could not be seen: st-host-3-1 has ended"
    assert residue(CATALOGUE[kind], seen) == ["engine could not be seen: st-host-3-1 has ended"]


@pytest.mark.parametrize("kind", KINDS)
def test_healed_is_answering_with_the_version_of_before(kind: str) -> None:
    """Another process will do; silence or another version is what the fault has left."""
    for now, left in (
        (reading("20.10.24+dfsg1", (60, 600)), []),
        (reading("", (60, 600)), ["its engine does not answer, and was 20.10.24+dfsg1"]),
        (reading("26.1.5", (60, 600)), ["its engine is 26.1.5, and was 20.10.24+dfsg1"]),
    ):
        assert residue(CATALOGUE[kind], Seen(HOST, params(kind), BEFORE, now)) == left


def test_it_is_said_what_became_of_each_container() -> None:
    """By the beginning of its first process: the same life, another one, ended, or no longer known to the engine."""
    before = reading("20.10.24+dfsg1", (50, 500), on=10.0, again=10.0, ended=10.0, gone=10.0, job="exited")
    now = reading("26.1.5", (60, 600), on=10.0, again=18.5, ended="exited", job="exited", new=19.0)
    found = witness(CATALOGUE["engine-upgrade"], Seen(HOST, params("engine-upgrade"), before, now))
    assert found.seen.split("; ") == [
        "26.1.5 answers, before it was 20.10.24+dfsg1",
        "again was started again 1.5 s ago",
        "ended is exited",
        "gone is gone",
        "job is exited",
        "on has run on",
    ]
    silent = witness(CATALOGUE["engine-stop"], Seen(HOST, Params(), before, reading("")))
    assert silent.seen == "no answer, before it was 20.10.24+dfsg1", "nobody tells of containers"
