"""Database faults: what is locked, how our sessions are marked, and which answers of the server prove it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shaketable.faults import CATALOGUE, Seen, UnfitError, residue, witness
from shaketable.ports import Member, Target

MEMBER = Member("db", "c", 4, 5, "f/c", holds_namespace=True, netns=9)
DB = Target("db", (MEMBER,), (), (("10.0.0.2", 5432),))
KINDS = ("db-lock", "db-idle-transaction", "db-connections", "db-deadlocks", "db-kill")
STAY = KINDS[:4]
"""Kinds whose sessions stay until heal."""
TABLE = {"table": "t"}
NEEDED: dict[str, dict[str, Any]] = {"db-lock": TABLE, "db-deadlocks": TABLE}


def seen(kind: str, now: dict[str, str], refused: dict[str, str] | None = None, **given: Any) -> Seen:
    """Answers of the server; before, the lock could be had and session 7 blocked others."""
    params = CATALOGUE[kind].params(**(given or NEEDED.get(kind, {})))
    before = {"wanted": "t", "ours": "0", "blockers": "7\n8", "alive": "7\n8\n9", "counted": "4"}
    looks = [
        {"sql": {"at": 1.0, "dialect": "postgresql", "answers": before, "refused": {}}},
        {"sql": {"at": 2.0, "dialect": "postgresql", "answers": now, "refused": refused or {}}},
    ]
    return Seen(DB, params, *looks)


@pytest.mark.parametrize(
    ("kind", "now", "refused", "effective"),
    [
        ("db-lock", {"ours": "1"}, {"wanted": 'ERROR:  could not obtain lock on relation "t"'}, True),
        ("db-lock", {"ours": "1"}, {"wanted": "ERROR 1205 (HY000) at line 1: Lock wait timeout exceeded"}, True),
        ("db-lock", {"ours": "1", "wanted": "f"}, None, True),
        ("db-lock", {"ours": "1", "wanted": "t"}, None, False),
        ("db-lock", {"ours": "0"}, {"wanted": "ERROR:  could not obtain lock"}, False),
        ("db-lock", {"ours": "1"}, {"wanted": 'ERROR:  relation "t" does not exist'}, False),
        ("db-idle-transaction", {"idle": "1", "ours": "1"}, None, True),
        ("db-idle-transaction", {"idle": "0", "ours": "1"}, None, False),
        ("db-connections", {}, {"ours": "FATAL:  sorry, too many clients already"}, True),
        ("db-connections", {}, {"ours": "ERROR 1040 (HY000): Too many connections"}, True),
        ("db-connections", {"ours": "19"}, None, False),
        ("db-connections", {}, {"ours": "FATAL:  role does not exist"}, False),
        ("db-deadlocks", {"counted": "5", "ours": "2"}, None, True),
        ("db-deadlocks", {"counted": "4", "ours": "2"}, None, False),
        ("db-deadlocks", {"counted": "5", "ours": "1"}, None, False),
        ("db-deadlocks", {"ours": "2"}, {"counted": "ERROR: permission denied"}, False),
        ("db-kill", {"alive": "9\n10", "blockers": ""}, None, True),
        ("db-kill", {"alive": "7\n9", "blockers": "7"}, None, False),
        ("db-kill", {}, {"alive": "gone"}, False),
    ],
)
def test_the_servers_answers_are_the_proof(kind: str, now: dict[str, str], refused: Any, effective: bool) -> None:
    """Only the very answer that the fault causes counts, and never an error of another kind."""
    found = witness(CATALOGUE[kind], seen(kind, now, refused))
    assert (found.at is not None) == effective, found.seen


@pytest.mark.parametrize("kind", STAY)
def test_sessions_that_stay_are_residue(kind: str) -> None:
    """After heal none of ours is there; a database that cannot be asked is no proof of that."""
    assert residue(CATALOGUE[kind], seen(kind, {"ours": "0", "wanted": "t"})) == []
    assert residue(CATALOGUE[kind], seen(kind, {"ours": "2", "wanted": "t"})) == ["2 sessions of ours are still there"]
    assert residue(CATALOGUE[kind], seen(kind, {}, {"ours": "too many clients"}))


@given(st.sampled_from(STAY), st.sampled_from(["a", "b"]), st.sampled_from(["a", "b"]))
def test_a_mark_tells_our_sessions_apart(kind: str, one: str, other: str) -> None:
    """The same fault on the same target has one mark, found again in its undo; another database gives another."""
    extra = NEEDED.get(kind, {})
    plans = [CATALOGUE[kind].plan_for(DB, CATALOGUE[kind].params(database=d, **extra)) for d in (one, other)]
    marks = [plan.steps[0]["mark"] for plan in plans]
    assert (marks[0] == marks[1]) == (one == other)
    for plan, mark in zip(plans, marks, strict=True):
        assert all(mark in sql for sql in plan.undo[0]["sql"].values())
        assert plan.undo[0]["late"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "either a table or an advisory lock"),
        ({"table": "t", "advisory": "7"}, "either a table or an advisory lock"),
        ({"advisory": "7", "where": "id = 1"}, "rows need their table"),
        ({"table": "t; DROP TABLE t"}, "table"),
    ],
)
def test_a_lock_needs_one_thing_to_lock(given: dict[str, str], why: str) -> None:
    """A table, rows of it, or an advisory lock; a name that is none is refused."""
    with pytest.raises(ValidationError, match=why):
        CATALOGUE["db-lock"].params(**given)


@pytest.mark.parametrize("kind", KINDS)
def test_one_instance_is_the_database(kind: str) -> None:
    """Of a host with several instances nobody guesses which one is the database."""
    host = replace(DB, members=(MEMBER, replace(MEMBER, name="sidecar")))
    with pytest.raises(UnfitError, match="sidecar"):
        CATALOGUE[kind].plan_for(host, CATALOGUE[kind].params(**NEEDED.get(kind, {})))


@pytest.mark.parametrize(
    ("idle", "refused", "effective"),
    [
        ("1", {"wanted": 'ERROR:  could not obtain lock on relation "t"'}, True),
        ("1", {}, False),
        ("0", {"wanted": 'ERROR:  could not obtain lock on relation "t"'}, False),
    ],
)
def test_an_idle_transaction_holds_what_it_names(idle: str, refused: dict[str, str], effective: bool) -> None:
    """With a table it is not enough that our transaction is idle: nobody else may get the table."""
    kind = "db-idle-transaction"
    found = witness(CATALOGUE[kind], seen(kind, {"idle": idle, "wanted": "" if refused else "t"}, refused, table="t"))
    assert (found.at is not None) == effective, found.seen
    plan = CATALOGUE[kind].plan_for(DB, CATALOGUE[kind].params(table="t", where="id = 7"))
    assert all("FROM t WHERE id = 7 FOR UPDATE" in sql for sql in plan.steps[0]["sql"].values())


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        ("db-idle-transaction", {"where": "id = 1"}, "rows need their table"),
        ("db-deadlocks", {"table": "t", "one": "id = 1"}, "name both rows, or neither"),
        ("db-deadlocks", {"table": "t", "one": "id = 1", "other": "id = 1"}, "one row alone"),
        ("db-deadlocks", {"table": "t", "pairs": 0}, "pairs"),
    ],
)
def test_rows_are_named_whole(kind: str, given: dict[str, Any], why: str) -> None:
    """Rows without a table, one row of two, and the same row twice are refused before anything runs."""
    with pytest.raises(ValidationError, match=why):
        CATALOGUE[kind].params(**given)


def test_rows_that_nobody_named_are_picked_where_they_are() -> None:
    """Named rows go to the agent as they are; without them it is told how to ask for two, by the primary key."""
    kind = CATALOGUE["db-deadlocks"]
    named = kind.plan_for(DB, kind.params(table="t", one="id = 1", other="id = 2")).steps[0]
    picked = kind.plan_for(DB, kind.params(table="shop.t")).steps[0]
    assert (named["rows"], picked["rows"]) == (["id = 1", "id = 2"], [])
    assert "table_schema = 'shop' AND table_name = 't'" in picked["keys"]["mariadb"]
    assert "'shop.t'::regclass" in picked["keys"]["postgresql"]
    assert picked["count"] == 2
