"""Generated fault specifications, valid and not: refused with a place and a reason, or planned; nothing else.

`FUZZ=5000` makes as many; `make fuzz` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests_data import GOOD_HEAD

from shaketable.faults import CATALOGUE, Plan, UnfitError
from shaketable.model.errors import ScenarioError
from shaketable.ports import Link, Member, Places, Target
from shaketable.run.loader import parse_scenario
from shaketable.run.schedule import plan_trial

EXAMPLES = int(os.environ.get("FUZZ", "300"))
HOSTS = {"host-1": ["host-1", "host-1-orders"], "host-2": ["host-2"], "host-3": ["host-3"]}
JUNK = st.sampled_from(
    [
        None,
        True,
        3,
        0.5,
        -1,
        "",
        "3",
        "-5ms",
        "1e9 s",
        "200",
        "two s",
        "9" * 40 + " s",
        [],
        {},
        ["1s"],
        "nan %",
        "101 %",
    ]
)
WRONG: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "parameter": ("with", [{"dely": "1 s"}, {"x": 1}, {"grce": "1 s"}]),
    "key": ("fault", [{"lats": "1 s"}, {"whith": {}}, {"selector": "all"}]),
    "kind": ("fault", [{"kind": "kil"}, {"kind": "poweroff"}, {"kind": ""}, {"kind": "$mode"}]),
    "target": ("fault", [{"target": t} for t in ({}, {"host": "a", "instance": "b"}, {"role": "x"}, "host-1", None)]),
    "when": (
        "fault",
        [{"when": w} for w in ({"healed": "nobody"}, {"effective": "f"}, {}, {"answered": 0}, {"changes": "x"})],
    ),
    "lasts": ("fault", [{"lasts": j} for j in (None, 3, "3", "0 s", "-1 s", [], "1 parsec")]),
    "escalate": ("fault", [{"escalate": {"grace": ["1 s"]}, "repeat": None}]),
}
"""Mistakes by name: where they are made, and values of which each must be refused."""


@st.composite
def specifications(draw: st.DrawFn) -> tuple[dict[str, Any], bool]:
    """A fault as one would write it, and whether a mistake was made that must be refused."""
    kind = draw(st.sampled_from(sorted(CATALOGUE)))
    given = dict(CATALOGUE[kind].example)
    fault: dict[str, Any] = {
        "id": "f",
        "kind": kind,
        "target": {"host": draw(st.sampled_from(["host-1", "one of", "all", "minority", "majority"]))},
        "lasts": f"{draw(st.integers(1, 9000))} ms",
    }
    if draw(st.booleans()):
        fault["after"] = f"{draw(st.integers(0, 900))}ms..{draw(st.integers(900, 2000))}ms"
    if draw(st.booleans()):
        fault["repeat"] = {"times": draw(st.integers(2, 5)), "every": "1 s"}
    mistake = draw(st.sampled_from(["none", "value", "missing", *WRONG]))
    wrong = mistake in WRONG or mistake == "missing"
    if mistake in WRONG:
        place, values = WRONG[mistake]
        (given if place == "with" else fault).update(draw(st.sampled_from(values)))
    elif mistake == "missing":
        del fault[draw(st.sampled_from(["id", "kind", "target", "lasts"]))]
    elif mistake == "value" and given:
        given[draw(st.sampled_from(sorted(given)))] = draw(JUNK)  # which may be a value: then it must be planned
    if given:
        fault["with"] = given
    return fault, wrong


def target(name: str) -> Target:
    """A host as it might be resolved."""
    number = int(name[-1])
    members = tuple(
        Member(m, f"c-{m}", 100 * number + n, 7, f"freezer/docker/{m}", holds_namespace=n == 0, netns=4000 + number)
        for n, m in enumerate(HOSTS[name])
    )
    return Target(name, members, (Link(f"veth{number}", number),), ((f"10.0.0.{number}", 80),), (f"10.0.0.{number}",))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(specifications(), st.integers(0, 50))
def test_a_specification_is_refused_or_planned(case: tuple[dict[str, Any], bool], seed: int) -> None:
    """A mistake is never accepted; what is accepted has a plan whose every change can be undone, or a reason why not."""
    fault, wrong = case
    text = f"{GOOD_HEAD}faults:\n  - {json.dumps(fault)}\nexpectations:\n  - {{id: back, kind: recovers, within: 5s}}\n"
    scenario = None
    try:
        scenario = parse_scenario(text, file="f")
    except ScenarioError as error:
        event("refused")
        told = error.problems
    else:
        told = []
    if told or wrong:
        event("refused")
        assert told, fault
        assert all(problem.line >= 1 for problem in told)
        assert not [p for p in told if re.search(r"Input should|pydantic|NoneType|Traceback|Value error", p.message)]
        return
    event("accepted")
    assert scenario is not None
    for planned in plan_trial(scenario, str(seed), {}, Places(HOSTS), CATALOGUE):
        for one in map(target, planned.targets):
            with contextlib.suppress(UnfitError):  # with a reason, which is its message
                check(planned.kind.plan_for(one, planned.params), one)


def check(plan: Plan, one: Target) -> None:
    """A plan is steps for this target's members, and nothing that JSON cannot say."""
    assert plan.steps
    json.dumps([plan.steps, plan.undo])
    names = {m for step in plan.steps for m in step.get("members") or [step["member"]]}
    assert names <= {m.name for m in one.members}
