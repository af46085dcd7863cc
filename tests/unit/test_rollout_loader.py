"""The loader's rules about roll-outs: every mistake once, at its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_histories import GOOD, changed, scenario

from shaketable.model.errors import ScenarioError
from shaketable.ports import Places
from shaketable.run.loader import LoadedScenario, check_targets, parse_scenario, scenario_schema
from shaketable.run.scenario_rollout import lives
from shaketable.run.yaml_source import read_yaml


def problems(text: str) -> list[str]:
    """All problems of a scenario's text, without the name of the file."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, file="f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def test_a_rollout_needs_no_faults_beside_it() -> None:
    """Its stages are the faults of the trial, in their order; a variant's soak goes before the roll-out's own."""
    good = scenario()
    assert good.rollout is not None
    assert good.faults == ()
    assert good.rollout.names == ("storage-canary", "storage-pod-17", "storage-pod-18")
    assert (good.soak("incident"), good.soak("fixed")) == (2.0, 12.0)
    assert good.rollout.gate.arrivals == 10


ROLLOUT = GOOD[GOOD.index("rollout:") : GOOD.index("expectations:")]
CLAIMS = GOOD[GOOD.index("expectations:") :]
FAULT = "  - {id: crash, kind: kill, target: {host: a}, lasts: 4s}\n"


ONE_MISTAKE = [
    ("nothing to inject", ROLLOUT, "", "1:1: the scenario: the key 'faults' is missing, and there is no 'rollout'"),
    ("no faults", ROLLOUT, "faults: []\n", "12:9: faults: must have at least one entry"),
    ("no kind", "kind: deploy", "kind: deplo", "no fault kind 'deplo'; did you mean 'deploy'?"),
    (
        "parameter",
        "with: {",
        "with: {show: x, ",
        "15:10: rollout.with.show: no parameter of deploy; did you mean 'shows'?",
    ),
    ("needed", 'shows: "{stage} new"', "", "rollout.with: deploy needs the parameter 'shows'"),
    ("twice", "{id: pod-18", "{id: pod-17", "rollout.stages: the id 'pod-17' is taken by the one in line 18"),
    ("no soak", "soak: 2s", "soak: 0s", "rollout.soak: must be more than 0"),
    ("place", 'start, "{stage}"', 'start, "{stages}"', "'{stages}' stands for nothing; did you mean '{stage}'?"),
    ("objective", "objective: 99 %", "objective: 100 %", "rollout.gate.objective: must be less than 1"),
    (
        "too few arrivals",
        "window: 2s",
        "window: 2s, arrivals: 121",
        "rollout.gate: it takes 121 arrivals, but of the 60 /s of load 120 fall into 2 s, so it could never trip",
    ),
    (
        "burn",
        "burn: 10",
        "burn: 100",
        "even if all fail the burn is 100 with an objective of 99 %, never more than 100, so it could never trip",
    ),
    ("window", "soak: 2s", "soak: 1s", "rollout.soak: 1 s is less than the gate's window of 2 s"),
    ("variant", "soak: 12s", "soak: 1s", "6:17: variants.fixed.soak: 1 s is less than the gate's window of 2 s"),
    ("axis", "instance: migration}}\n", "instance: $x}}\n", "rollout.stages[canary].target.instance: there is no"),
    (
        "waits for itself",
        "after: 1s",
        "when: {effective: storage-canary}",
        "rollout.when.effective: it would wait for itself",
    ),
    (
        "waits for its last stage",
        "after: 1s",
        "when: {effective: storage-pod-18}",
        "rollout.when: storage-canary waits for storage-pod-18 waits for storage-pod-17",
    ),
    (
        "collision",
        "rollout:\n",
        f"faults:\n{FAULT.replace('crash', 'storage-canary')}rollout:\n",
        "faults: 'storage-canary' is the name of a stage of the roll-out, too",
    ),
    (
        "fault",
        "kind: soak-catches",
        "kind: recovers, within: 2s, fault: storage-pod-19",
        "there is no fault 'storage-pod-19'; did you mean 'storage-pod-1",
    ),
    (
        "not before heal",
        "kind: soak-catches",
        "kind: leaves, list: pods, within: 14s, fault: storage-canary",
        "within: 14 s is not less than the 14 s that the fault lasts",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in ONE_MISTAKE], ids=[case[0] for case in ONE_MISTAKE]
)
def test_one_mistake_is_one_problem(old: str, new: str, expected: str) -> None:
    """A mistake is told once, with what is there, what must be there, and the nearest valid name."""
    text = changed((old, new))
    if "rollout:" not in text:  # what needs one is a mistake of its own
        text = text.replace("{soak: 12s}", "{}").replace(
            CLAIMS, "expectations:\n  - {id: x, kind: recovers, within: 2s}\n"
        )
    found = problems(text)
    assert len(found) == 1, found
    assert expected in found[0]


def test_what_needs_a_rollout_says_so() -> None:
    """A soak and the claims about a roll-out mean nothing without one."""
    found = problems(changed((ROLLOUT, f"faults:\n{FAULT}")))
    assert found == [
        "6:11: variants.fixed.soak: there is no rollout whose stages would soak",
        "15:25: expectations[stopped].kind: there is no rollout, so rollout-stops could not be judged",
        "16:24: expectations[soaked].kind: there is no rollout, so soak-catches could not be judged",
    ]


def test_stages_that_nothing_tells_apart_are_found() -> None:
    """The same change at the same place a second time would change nothing, so no witness could see it."""
    found = problems(GOOD.replace("{stage}", "all"))
    assert [message.partition(": ")[0] for message in found] == ["18:28", "19:28"]
    assert "rollout.stages[pod-17].target: has the target of canary" in found[0]
    parse_scenario(
        GOOD.replace("{stage}", "all")
        .replace("pod-17, target: {instance: migration", "pod-17, target: {instance: b")
        .replace("pod-18, target: {instance: migration", "pod-18, target: {instance: c"),
        file="f",
    )


def test_stages_are_faults_to_everything_else() -> None:
    """A claim may be about one, a fault may wait for one, and its target must be there."""
    text = changed(
        ("kind: soak-catches", "kind: leaves, list: pods, within: 9s, fault: storage-pod-18"),
        ("rollout:\n", f"faults:\n{FAULT.replace('lasts', 'when: {effective: storage-canary}, lasts')}rollout:\n"),
        ("pod-18, target: {instance: migration", "pod-18, target: {instance: migratoin"),
    )
    loaded = LoadedScenario(parse_scenario(text, file="f"), Path("f"), text, Path())
    found = check_targets(loaded, Places({"a": ["a"], "migration": ["migration"]}))
    assert [(p.line, p.message) for p in found] == [
        (21, "rollout.stages[pod-18].target.instance: no instance 'migratoin'; did you mean 'migration'?")
    ]


def test_how_long_a_stage_lives_where_no_gate_trips() -> None:
    """Each from its effect through all soaks that follow, the shortest of any variant, and what they last then."""
    root, _ = read_yaml(GOOD, "f")
    assert root is not None
    assert lives(root) == {"storage-canary": 14.0, "storage-pod-17": 12.0, "storage-pod-18": 10.0}


def test_the_schema_knows_rollouts() -> None:
    """For an editor: the kinds, and that there are faults or a roll-out."""
    schema = scenario_schema()
    assert "deploy" in schema["$defs"]["Rollout"]["properties"]["kind"]["anyOf"][0]["enum"]
    assert schema["$defs"]["Gate"]["properties"]["window"]["default"] == "2 s"
    assert schema["else"]["anyOf"][1] == {"required": ["rollout"]}
    assert "faults" not in schema["else"]["required"]
