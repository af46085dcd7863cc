"""The loader's rules about what runs, gauges, cohorts and functions: every mistake once, at its place."""

from __future__ import annotations

import json
import re

import pytest
from inbox_histories import GOOD

from shaketable.model.claims import Alerted, Availability, CohortsAlike, FunctionsRecover, Quiet, RunsAgain
from shaketable.model.errors import ScenarioError
from shaketable.model.scenario import Scenario
from shaketable.run.loader import parse_scenario, scenario_schema


def changed(*replacements: tuple[str, str]) -> str:
    """The good scenario with some text replaced, each where it first occurs."""
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def problems(text: str) -> list[str]:
    """All problems of a scenario's text, without the name of the file."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, file="f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def test_the_good_scenario_loads() -> None:
    """Everything new is read, with its defaults."""
    scenario: Scenario = parse_scenario(GOOD, file="f")
    back, well, same, told, calm, paid = scenario.expectations
    assert isinstance(back, RunsAgain)
    assert isinstance(well, FunctionsRecover)
    assert (well.at_least, well.at_most, well.window, well.hold) == (0.95, None, 1.0, 2.0)
    assert dict(well.gauges) == {"backlog": 5.5}
    assert isinstance(same, CohortsAlike)
    assert isinstance(told, Alerted)
    assert isinstance(calm, Quiet)
    assert calm.contains == ""
    assert isinstance(paid, Availability)
    assert paid.cohort == {"plan": "paid"}
    assert scenario.observers.holders["kernel"].at is None
    assert scenario.observers.holders["queue"].lists == {}
    assert scenario.steady.gauges == {"backlog": 5.0}


ONE_MISTAKE = [
    (
        "address of what runs",
        "kernel: {kind: containers,",
        'kernel: {kind: containers, at: "a:1",',
        "13:32: observers.holders.kernel.at: a holder of the kind containers has none",
    ),
    ("path of what runs", "starts}, every", "starts}, path: /x, every", "observers.holders.kernel.path: a holder of"),
    (
        "list of what runs",
        "running: names",
        "running: nmes",
        "13:49: observers.holders.kernel.lists.running: 'nmes' is neither names nor starts nor ends nor limits; did you",
    ),
    ("nothing to read", ", lists: {notices: news}", "", "16:5: observers.holders.news: has neither lists nor gauges"),
    (
        "gauges of a registry",
        'lists: {servers: "/servers/{host}"}',
        'lists: {servers: "/servers/{host}"}, gauges: {a: b}',
        "observers.holders.registry.gauges: a holder of the kind etcd has none; http-json has",
    ),
    ("no address", 'at: "queue:8081", ', "", "14:5: observers.holders.queue: the key 'at' is missing"),
    ("empty address", 'at: "queue:8081"', "at: ", "queue.at: must be host:port, as in registry:2379, not nothing"),
    ("no lists", ', lists: {servers: "/servers/{host}"}', "", "17:5: observers.holders.registry: the key 'lists' is"),
    ("empty lists", 'lists: {servers: "/servers/{host}"}', "lists: {}", "registry.lists: must have at least one entry"),
    (
        "gauge with the name of a list",
        "gauges: {backlog: depth}",
        "gauges: {backlog: depth, alerts: n}",
        "queue.gauges.alerts: a list has this name",
    ),
    (
        "gauge of steady",
        "gauges: {backlog: 5}",
        "gauges: {baklog: 5}",
        "20:12: steady.gauges.baklog: no holder has this gauge; did you mean 'backlog'?",
    ),
    (
        "gauge of a claim",
        "gauges: {backlog: 5.5}",
        "gauges: {servers: 5}",
        "25:77: expectations[well].gauges.servers: no holder has this gauge; possible here: backlog",
    ),
    ("text as gauge", "gauges: {backlog: 5}", "gauges: {backlog: few}", "steady.gauges.backlog: must be a number, not"),
    ("no number", "gauges: {backlog: 5}", "gauges: {backlog: .nan}", "steady.gauges.backlog: must be a number"),
    ("list as gauge", "list: alerts, contains", "list: backlog, contains", "no holder has a list 'backlog'"),
    (
        "again on starts",
        "list: running",
        "list: started",
        "24:40: expectations[back].list: 'started' is not a list 'names' of a holder of the kind containers; possible",
    ),
    ("again on another list", "list: running", "list: servers", "'servers' is not a list 'names' of a holder"),
    ("again on no list", "list: running", "list: runing", "no holder has a list 'runing'; did you mean 'running'?"),
    ("again too late", "running, within: 30s", "running, within: 40s", "40 s is not less than the 40 s that the fault"),
    (
        "functions too late",
        "within: 30s, since",
        "within: 39s, since",
        "25:49: expectations[well].within: 39 s and the 2 s of hold are more than the 40 s that the fault lasts",
    ),
    (
        "parts of windows",
        "within: 30s, since: fault",
        "within: 30s, since: fault, window: 7s",
        "25:49: expectations[well].within: 30 s is no whole number of windows of 7 s",
    ),
    ("since what", "since: fault", "since: faul", "since: must be fault or heal, not 'faul'; did you mean 'fault'?"),
    ("no window", "since: fault,", "since: fault, window: 0s,", "expectations[well].window: must be more than 0"),
    ("no keys", "by: [app, profile]", "by: []", "expectations[same].by: must have at least one entry"),
    ("key twice", "by: [app, profile]", "by: [app, app]", "26:47: expectations[same].by: 'app' is here twice"),
    (
        "key of two",
        "by: [app, profile]",
        'by: ["app=2"]',
        "'app=2' is not a key or value of a cohort: text without '='",
    ),
    ("value of two", "plan: paid", 'plan: "a,b"', "'a,b' is not a key or value of a cohort"),
    ("cohort's key", "plan: paid", '"a=b": paid', "'a=b' is not a key or value of a cohort"),
    ("version as number", "plan: paid", "app: 2.0", "cohort.app: must be text, not 2.0; put it in quotes"),
    ("kind", "kind: functions-recover", "kind: function-recovers", "did you mean 'functions-recover'?"),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in ONE_MISTAKE], ids=[case[0] for case in ONE_MISTAKE]
)
def test_one_mistake_is_one_problem(old: str, new: str, expected: str) -> None:
    """A mistake is told once, with what is there, what must be there, and the nearest valid name."""
    found = problems(changed((old, new)))
    assert len(found) == 1, found
    assert expected in found[0]


def test_all_mistakes_come_at_once() -> None:
    """A holder's, steady state's and a claim's, in the order of the file."""
    found = problems(
        changed(
            ("kind: containers,", 'kind: containers, at: "a:1",'),
            ("gauges: {backlog: 5}", "gauges: {log: 5}"),
            ("list: running", "list: started"),
            ("by: [app, profile]", "by: [app, app]"),
        )
    )
    assert [int(message.split(":")[0]) for message in found] == [13, 20, 24, 26]


def test_functions_that_recover_after_heal_have_all_the_time() -> None:
    """Only what is judged while the fault lasts must be due before heal."""
    text = changed(("within: 30s, since: fault", "within: 300s, since: heal"))
    assert parse_scenario(text, file="f").expectations


def test_the_schema_tells_the_kinds_of_holders_apart() -> None:
    """An editor knows that what is looked at from beside has no address, and that all others need one."""
    kinds = scenario_schema()["$defs"]["Holder"]["allOf"]
    assert kinds[0]["if"] == {"properties": {"kind": {"const": "containers"}}}
    assert kinds[1]["if"] == {"properties": {"kind": {"const": "database"}}}
    assert kinds[1]["then"]["required"] == ["instance"]
    assert kinds[2]["then"] == {"required": ["at"]}
    words = re.compile(kinds[0]["then"]["properties"]["lists"]["additionalProperties"]["pattern"])
    assert all(map(words.search, ["names", "starts", "ends", "ends web", "limits h/web"]))
    assert not any(map(words.search, ["limits", "names web", "ends a b", "nmes"]))
    text = json.dumps(scenario_schema())
    assert all(f'"const": "{kind}"' in text for kind in re.findall(r"kind: ([a-z-]+), (?:list|within|by)", GOOD))
