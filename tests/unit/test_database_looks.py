"""What databases are asked for and what becomes of their answers, and the harness's side of looks from beside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shaketable.agent.looks import mariadb, postgresql
from shaketable.agent.looks.words import Question, edges, is_query, number, statement
from shaketable.model.errors import AgentError
from shaketable.model.scenario import DATABASE_GAUGES, Holder
from shaketable.run.databases import Asking, look_of
from shaketable.run.rates import Rates
from shaketable.run.running import Places

DIALECTS = {"postgresql": postgresql, "mariadb": mariadb}
WHERE = Places({"host-1/pg": "docker/p"}, {"host-3": "docker/h"}, {"c" * 64: "host-3/db"}, {"pg": "docker/p"})


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("SELECT 1", True),
        ("  select a from b", True),
        ("-- why\nWITH x AS (SELECT 1) SELECT * FROM x", True),
        ("/* why */ VALUES (1)", True),
        ("waits", False),
        ("selected", False),
        ("DELETE FROM ledger", False),
        ("", False),
    ],
)
def test_a_query_is_told_from_a_word(text: str, query: bool) -> None:
    """By its first word, whatever is before it as comment."""
    assert is_query(text) == query


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        ("4.0", "4"),
        (0.1 + 0.2, "0.3"),
        ("0.12345", "0.123"),
        (0, "0"),
        ("few", None),
        (None, None),
        ("nan", None),
    ],
)
def test_a_number_is_told_alike_however_it_comes(value: object, text: str | None) -> None:
    """Whole without a point, others to the thousandth, and what is no number not at all."""
    assert number(value) == text


def test_a_statement_is_one_short_line() -> None:
    """At most 200 characters, so that a look stays small however long the statements are."""
    assert statement("UPDATE t\n  SET a = 1\t;") == "UPDATE t SET a = 1 ;"
    assert len(statement("x" * 900)) == 200


def test_an_edge_has_exactly_its_keys() -> None:
    """All text, sorted, each edge once, in an order that does not depend on the server's."""
    row = {
        "waiter": 7,
        "for": 5,
        "wants": "SELECT\n1",
        "holds": None,
        "by": "a/b",
        "who": "c",
        "on": "x",
        "state": "active",
    }
    found = edges([row, {**row, "waiter": 6, "extra": 1}, row])
    assert [json.loads(entry)["waiter"] for entry in found] == ["6", "7"]
    assert found[1] == (
        '{"by": "a/b", "for": "5", "holds": "", "on": "x", "state": "active", "waiter": "7", "wants": "SELECT 1", "who": "c"}'
    )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_only_what_is_asked_for_is_computed(dialect: str) -> None:
    """Who blocks whom is the dearest of all: nobody asks for it who only wants to know how many sessions there are."""
    cheap = DIALECTS[dialect].statements(Question(1, {}, {"n": "sessions"}), {})
    full = DIALECTS[dialect].statements(Question(1, {"w": "waits"}, {"n": "sessions"}), {})
    dear = {"postgresql": ("pg_blocking_pids", "pg_lock_status"), "mariadb": ("INNODB_LOCK_WAITS", "INNODB_TRX")}[
        dialect
    ]
    assert not any(name in cheap for name in dear)
    assert all(name in full for name in dear)
    counted = DIALECTS[dialect].statements(Question(1, {}, {"n": "deadlocks"}), {})
    assert "PROCESSLIST" not in counted
    assert "pg_stat_get_activity" not in counted


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_query_of_the_users_is_wrapped_as_it_is(dialect: str) -> None:
    """Without what ends a statement, and on lines of its own, for it may end in a comment."""
    said = DIALECTS[dialect].statements(Question(4, {"l": "SELECT a FROM b -- all ; "}, {"g": "SELECT 1 ;"}), {})
    assert "\nSELECT a FROM b -- all\n" in said
    assert "\nSELECT 1\n" in said


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_word_has_an_answer(dialect: str) -> None:
    """Or is left out where this kind of server cannot tell it; nothing is made up."""
    words = {word: word for word in DATABASE_GAUGES}
    said = DIALECTS[dialect].statements(Question(9, {"w": "waits"}, words), {})
    assert "{" not in said.replace("{}", "")
    assert "'9 - " in said


def test_ours_are_planned_once_in_a_session() -> None:
    """And again when they change, or in another session."""
    prepared: dict[str, str] = {}
    first = postgresql.statements(Question(1, {"w": "waits"}, {}), prepared)
    again = postgresql.statements(Question(2, {"w": "waits"}, {}), prepared)
    other = postgresql.statements(Question(3, {}, {"b": "blocked"}), prepared)
    assert first.startswith("PREPARE look_1(text) AS WITH")
    assert first.endswith("EXECUTE look_1('1 - ');\n\\echo 1\n")
    assert again == "EXECUTE look_1('2 - ');\n\\echo 2\n"
    assert other.startswith("PREPARE look_3(text)")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_answers_are_read_by_word(dialect: str) -> None:
    """What a server does not tell is unknown."""
    told = json.dumps({"sessions": 3, "used": "0.5", "replica-lag": None})
    found = DIALECTS[dialect].read(told, {})
    assert (found["sessions"], found["used"], found["replica-lag"]) == (["3"], ["0.5"], None)


def test_mariadb_escapes_are_undone() -> None:
    """Its client writes the ends of lines and columns as a backslash and a letter, and a backslash twice."""
    made = json.dumps(["a\\b\n", "\\n"])
    shown = made.replace("\\", "\\\\")
    assert json.loads(mariadb.plain(shown)) == ["a\\b\n", "\\n"]


class FakeWitness:
    """Gives readings one after the other."""

    def __init__(self, *readings: Mapping[str, Any]) -> None:
        self._readings = list(readings)

    def look(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The next one."""
        return {"x": self._readings.pop(0)}


def test_a_database_is_asked_where_it_runs() -> None:
    """By the cgroup that its container keeps when it is restarted; in a nested host by that host's and its own id."""
    holder = Holder(
        kind="database", instance="pg", lists={"w": "waits"}, gauges={"b": "blocked"}, user="u", database="d"
    )
    look = look_of("db", holder, WHERE)
    assert look["cgroup"] == "docker/p"
    assert "container" not in look
    assert (look["lists"], look["gauges"], look["user"], look["database"]) == (
        {"w": "waits"},
        {"b": "blocked"},
        "u",
        "d",
    )
    inner = look_of("db", holder.model_copy(update={"instance": "host-3/db"}), WHERE)
    assert (inner["cgroup"], inner["container"]) == ("docker/h", "c" * 64)
    with pytest.raises(
        AgentError, match="nowhere cannot be looked at: it does not run; what does: host-3, host-3/db, pg"
    ):
        look_of("db", holder.model_copy(update={"instance": "nowhere"}), WHERE)


def test_what_cannot_be_read_for_long_is_told_once() -> None:
    """A fault may well make a database unreadable for a while; what never can be read is a mistake that a person must know."""
    told: list[str] = []
    holder = Holder(kind="database", instance="pg", lists={"l": "SELECT x"}, gauges={"b": "blocked"})
    asking = Asking("db", look_of("db", holder, WHERE), told.append)
    good = {"values": {"l": None, "b": ["1"]}, "why": {"l": "no such column"}}
    gone = {"error": "nothing runs in it"}
    readings: list[dict[str, Any]] = [good, gone, gone, good, good, good]
    witness = FakeWitness(*({"at": 2.0 * n, **reading} for n, reading in enumerate(readings)))
    seen = [asking.take(witness) for _ in readings]  # type: ignore[arg-type]
    assert [at for at, _ in seen] == [0, 2, 4, 6, 8, 10]
    assert [values[("db", "b")] for _, values in seen] == [("1",), None, None, ("1",), ("1",), ("1",)]
    assert all(values[("db", "l")] is None for _, values in seen)
    assert told == ["l of db (pg) could not be read: no such column"]


def row(life: float = 1.0, cpu: float = 0.0, throttled: float = 0.0, **others: Any) -> dict[str, Any]:
    """What the kernel counted of an instance."""
    most = {"cpu": 0.5, "memory": 400, "processes": 10}
    counted = {"life": life, "cpu": cpu, "throttled": throttled, "holder": "h", "most": most, "bytes": 100, "tasks": 5}
    return {**counted, "kills": {}, "refused": {}, **others}


def test_rates_are_over_the_last_second() -> None:
    """Use as a share of the limit, since a second ago or the first look after that; unknown at the first one."""
    rates = Rates()
    assert rates.gauges(10.0, {"pg": row()}) == {
        "cpu pg": None,
        "throttled pg": None,
        "memory pg": ("0.25",),
        "processes pg": ("0.5",),
        "files pg": None,
        "disk pg": None,
        "oom-kills pg": ("0",),
        "failed-forks pg": ("0",),
    }
    assert rates.gauges(10.5, {"pg": row(cpu=0.25, throttled=0.1)})["cpu pg"] == ("1",)
    assert rates.gauges(11.0, {"pg": row(cpu=0.25, throttled=0.1)})["throttled pg"] == ("0.1",)
    assert rates.gauges(11.5, {"pg": row(cpu=0.5, throttled=5.0)})["cpu pg"] == ("0.5",)
    assert rates.gauges(12.0, {"pg": row(cpu=0.5, throttled=9.0)})["throttled pg"] == ("1",)


def test_another_life_is_counted_anew() -> None:
    """Counters begin at nothing again, and while nothing runs nothing is known."""
    rates = Rates()
    rates.gauges(10.0, {"pg": row(cpu=9.0)})
    seen = rates.gauges(10.1, {"pg": None})
    assert {what for what, entries in seen.items() if entries} == {"oom-kills pg", "failed-forks pg"}
    assert rates.gauges(10.2, {"pg": row(life=2.0)})["cpu pg"] is None
    assert rates.gauges(10.4, {"pg": row(life=3.0, cpu=0.1)})["cpu pg"] is None
    assert rates.gauges(10.6, {"pg": row(life=3.0, cpu=0.15)})["cpu pg"] == ("0.5",)


def test_a_gauge_that_was_not_counted_is_unknown() -> None:
    """A look that failed says nothing of anybody."""
    assert Rates().gauges(0.0, {}) == {}


def test_what_is_looked_at_from_beside_has_a_pace_of_its_own() -> None:
    """Ten times a second unless told; the others as often as all are looked at."""
    assert Holder(kind="database", instance="pg").pace == 0.1
    assert Holder(kind="containers", every=0.5).pace == 0.5
    assert Holder(kind="etcd", at="a:1").pace is None
