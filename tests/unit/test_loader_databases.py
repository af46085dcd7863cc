"""Holders that are looked at from beside the targets: what a database and the kernel can be asked for, and what not."""

from __future__ import annotations

import pytest

from shaketable.model.errors import ScenarioError
from shaketable.model.scenario import DATABASE_GAUGES
from shaketable.run.loader import parse_scenario
from shaketable.run.scenario_holders import check_instances
from shaketable.run.yaml_source import read_yaml

GOOD = """\
shaketable: 1
name: locks
topology: {compose: c}
variants: {only: {}}
load: {locustfile: l.py, target: "http://a:1", rate: 1 /s}
observers:
  holders:
    store:
      kind: database
      instance: pg
      lists: {locks: waits, ledger: "SELECT entry FROM ledger;"}
      gauges: {stuck: blocked, orphans: "with x as (select 1) select count(*) from x"}
      every: 100ms
    kernel: {kind: containers, lists: {running: names}, gauges: {store-cpu: cpu pg}}
    use: {kind: containers, gauges: {front-memory: memory host-3/web}}
    front: {kind: http-json, at: "web:80", lists: {seen: seen}}
steady: {lists: {seen: 1}, gauges: {stuck: 5}}
faults:
  - {id: f, kind: kill, target: {host: web}, lasts: 9s}
expectations:
  - {id: free, kind: not-blocked, list: locks, longest: 1s}
"""


def problems(text: str) -> list[str]:
    """Every problem as line:col: message; none for a flawless scenario."""
    try:
        parse_scenario(text, file="f")
    except ScenarioError as error:
        return [f"{p.line}:{p.col}: {p.message}" for p in error.problems]
    return []


def test_all_that_can_be_asked_is_read() -> None:
    """Words and queries as they are written."""
    holders = parse_scenario(GOOD, file="f").observers.holders
    assert holders["store"].instance == "pg"
    assert dict(holders["store"].lists) == {"locks": "waits", "ledger": "SELECT entry FROM ledger;"}
    assert holders["use"].gauges == {"front-memory": "memory host-3/web"}
    for word in DATABASE_GAUGES:
        assert not problems(GOOD.replace("stuck: blocked", f"stuck: {word}"))


ONE_MISTAKE = [
    ("no instance", "      instance: pg\n", "", "8:5: observers.holders.store: the key 'instance' is missing"),
    ("empty instance", "instance: pg", 'instance: ""', "10:17: observers.holders.store: the key 'instance' is missing"),
    (
        "address of a database",
        "instance: pg",
        'instance: pg\n      at: "pg:5432"',
        "11:7: observers.holders.store.at: a holder of the kind database has none; it is asked by its own client",
    ),
    (
        "list of a database",
        "locks: waits",
        "locks: wait",
        "11:22: observers.holders.store.lists.locks: 'wait' is neither a SELECT nor 'waits'",
    ),
    (
        "something that changes",
        '"SELECT entry FROM ledger;"',
        "DELETE FROM ledger",
        "'DELETE FROM ledger' is neither a SELECT",
    ),
    (
        "two statements",
        "SELECT entry FROM ledger;",
        "SELECT 1; DELETE FROM ledger;",
        "lists.ledger: must be one statement; leave out what follows the ';'",
    ),
    (
        "gauge of a database",
        "stuck: blocked",
        "stuck: bloked",
        "12:23: observers.holders.store.gauges.stuck: 'bloked' is neither a SELECT nor a word that a database is asked for; did",
    ),
    (
        "gauge of an instance",
        "cpu pg",
        "cpus pg",
        "14:77: observers.holders.kernel.gauges.store-cpu: 'cpus' is no gauge of an instance; did you mean 'cpu'?",
    ),
    ("gauge of nobody", "cpu pg", "cpu", "gauges.store-cpu: of which instance? as in 'cpu store'"),
    ("gauge of two", "cpu pg", "cpu pg web", "gauges.store-cpu: must be a word and one instance"),
    (
        "list of what runs",
        "running: names",
        "running: ens pg",
        "14:49: observers.holders.kernel.lists.running: 'ens' is neither names nor starts nor ends nor limits; did you mean",
    ),
    ("limits of nobody", "running: names", "running: limits", "of which instance or nested host? as in 'limits store'"),
    (
        "ends of two",
        "running: names",
        "running: ends pg web",
        "must be a word and one instance, as in ends or 'ends store'",
    ),
    ("names of one", "running: names", "running: names pg", "'names' is of all that runs, so no instance follows it"),
    (
        "instance of what has none",
        'at: "web:80"',
        'at: "web:80", instance: web',
        "observers.holders.front.instance: a holder of the kind http-json has none; database has",
    ),
    (
        "user of what runs",
        "gauges: {store-cpu",
        "user: me, gauges: {store-cpu",
        "kernel.user: a holder of the kind containers",
    ),
    ("nothing to read", ", gauges: {front-memory: memory host-3/web}", "", "use: has neither lists nor gauges"),
    (
        "not blocked on another list",
        "list: locks",
        "list: seen",
        "21:41: expectations[free].list: 'seen' is not a list 'waits' of a holder of the kind database; possible",
    ),
    ("not blocked on a query", "list: locks", "list: ledger", "'ledger' is not a list 'waits' of a holder"),
    ("too rarely", "every: 100ms", "every: 1s", "store.every: a look every 1 s is not less than max_gap"),
    ("kind", "kind: database", "kind: databse", "must be etcd or haproxy or http-json or containers or database"),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in ONE_MISTAKE], ids=[case[0] for case in ONE_MISTAKE]
)
def test_one_mistake_is_one_problem(old: str, new: str, expected: str) -> None:
    """A mistake is told once, with what is there, what must be there, and the nearest valid name."""
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize("word", ["starts", "ends", "ends pg", "ends host-3", "limits pg", "limits host-3/web"])
def test_the_kernel_tells_of_all_or_of_one(word: str) -> None:
    """An instance or a nested host follows where a list is of one; that it is one of the topology's is found too."""
    text = GOOD.replace("running: names", f"running: {word}")
    assert problems(text) == []
    root, _ = read_yaml(text, "f")
    assert root is not None
    assert list(check_instances(root, ["pg", "host-3", "host-3/web"])) == []
    told = [message for _, message in check_instances(root, ["other"]) if "lists" in message]
    instance = word.partition(" ")[2]
    expected = [f"observers.holders.kernel.lists.running: no instance {instance!r}; possible here: other"]
    assert told == (expected if instance else [])


def test_instances_are_those_of_the_topology() -> None:
    """A database and a gauge of an instance that no compose file has are found before anything is started."""
    root, _ = read_yaml(GOOD, "f")
    assert root is not None
    assert list(check_instances(root, ["pg", "host-3/web", "web"])) == []
    found = [(place[0], message) for place, message in check_instances(root, ["pgs", "web"])]
    assert found == [
        (10, "observers.holders.store.instance: no instance 'pg'; did you mean 'pgs'?"),
        (14, "observers.holders.kernel.gauges.store-cpu: no instance 'pg'; did you mean 'pgs'?"),
        (15, "observers.holders.use.gauges.front-memory: no instance 'host-3/web'; possible here: pgs, web"),
    ]
