"""Faults within a database (PostgreSQL, MariaDB): a lock held, a transaction left open, no connection left, blockers killed."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field, model_validator

from shaketable.faults.contract import FaultKind, Look, Plan, Proof, Seen
from shaketable.faults.deadlocks import DEADLOCKS
from shaketable.faults.sessions import (
    FRESH,
    PATIENCE,
    Database,
    Table,
    answer,
    asked,
    count_of,
    held_sessions,
    mark_of,
    none_left,
    ours,
    refused,
    where_is,
)
from shaketable.ports.targets import Target


class Lock(Database):
    """What is locked: a table, rows of it, or an advisory lock."""

    table: Table | None = None
    where: str | None = Field(default=None, min_length=1, description="rows of the table, as 'id = 7'")
    advisory: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.:-]{1,64}$", description="a number in PostgreSQL, a name in MariaDB"
    )

    @model_validator(mode="after")
    def _one(self) -> Lock:
        if (self.table is None) == (self.advisory is None):
            raise ValueError("name either a table or an advisory lock")
        if self.where is not None and self.table is None:
            raise ValueError("rows need their table")
        return self


class Idle(Database):
    """What the transaction holds while it is idle: nothing but its snapshot, a table, or rows of it."""

    table: Table | None = Field(default=None, description="the transaction holds this table, for itself alone")
    where: str | None = Field(default=None, min_length=1, description="only these rows of it, as 'id = 7'")

    @model_validator(mode="after")
    def _rows_of(self) -> Idle:
        if self.where is not None and self.table is None:
            raise ValueError("rows need their table")
        return self


_IDLE = "db-idle-transaction"


class Connections(Database):
    """How many sessions."""

    count: int | None = Field(default=None, ge=1, le=500, description="as many as the server lets in when not named")


# A lock


def _lock(target: Target, params: Lock) -> Plan:
    if params.advisory is not None:
        number = params.advisory if re.fullmatch(r"\d{1,18}", params.advisory) else "0"
        postgresql, mariadb = f"SELECT pg_advisory_lock({number});\n", f"SELECT GET_LOCK('{params.advisory}', 3);\n"
    elif params.where is not None:
        rows = f"SELECT 1 FROM {params.table} WHERE {params.where} FOR UPDATE;\n"
        postgresql, mariadb = f"BEGIN;\n{rows}", f"START TRANSACTION;\n{rows}"
    else:
        postgresql = f"BEGIN;\nLOCK TABLE {params.table} IN ACCESS EXCLUSIVE MODE;\n"
        mariadb = f"LOCK TABLES {params.table} WRITE;\n"
    return held_sessions(
        mark_of("db-lock", target, params), target, params, {"postgresql": postgresql, "mariadb": mariadb}
    )


def _lock_looks(target: Target, params: Lock) -> Mapping[str, Look]:
    wanted = _wanted(params.table, params.where, params.advisory)
    return asked(target, params, wanted=wanted, ours=count_of(mark_of("db-lock", target, params)))


def _wanted(table: str | None, where: str | None, advisory: str | None = None) -> Mapping[str, str]:
    """What somebody else gets who wants it too, without waiting."""
    if advisory is not None:
        number = advisory if re.fullmatch(r"\d{1,18}", advisory) else "0"
        postgresql = f"SELECT pg_try_advisory_lock({number});\n"
        mariadb = f"SELECT IF(IS_FREE_LOCK('{advisory}'), 't', 'f');\n"
    elif where is not None:
        rows = f"SELECT 't' FROM {table} WHERE {where} LIMIT 1 FOR UPDATE NOWAIT;\n"
        postgresql, mariadb = f"BEGIN;\n{rows}ROLLBACK;\n", f"START TRANSACTION;\n{rows}ROLLBACK;\n"
    else:
        postgresql = f"BEGIN;\nLOCK TABLE {table} IN ACCESS SHARE MODE NOWAIT;\nSELECT 't';\nROLLBACK;\n"
        mariadb = f"LOCK TABLES {table} READ NOWAIT;\nSELECT 't';\n"
    return {"postgresql": postgresql, "mariadb": mariadb}


_HELD = re.compile(r"could not obtain lock|NOWAIT|Lock wait timeout")


def _is_held(seen: Seen) -> bool:
    return answer(seen, "wanted") == "f" or bool(_HELD.search(refused(seen, "wanted")))


def _gets_it(seen: Seen) -> list[str]:
    before = seen.before["sql"]["answers"].get("wanted", "")
    wrong = [] if before.startswith("t") else ["it could not be had before, either, or is not there"]
    if not _is_held(seen):
        wrong.append(f"somebody else gets it: {answer(seen, 'wanted') or refused(seen, 'wanted') or 'no rows'}")
    return wrong


def _lock_wrong(seen: Seen) -> list[str]:
    wrong = _gets_it(seen)
    if ours(seen) != 1:
        wrong.append(f"{ours(seen)} sessions of ours are there, not 1")
    return wrong


def _lock_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: {refused(seen, 'wanted') or 'somebody else does not get it'}"


def _lock_left(seen: Seen) -> list[str]:
    return (["somebody else still does not get it"] if _is_held(seen) else []) + none_left(seen)


# A transaction left open


def _idle(target: Target, params: Idle) -> Plan:
    if params.table is None:
        postgresql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT txid_current();\n"
        mariadb = "START TRANSACTION WITH CONSISTENT SNAPSHOT;\nSELECT count(*) FROM mysql.innodb_table_stats;\n"
    elif params.where is not None:
        rows = f"SELECT 1 FROM {params.table} WHERE {params.where} FOR UPDATE;\n"
        postgresql, mariadb = f"BEGIN;\nSELECT txid_current();\n{rows}", f"START TRANSACTION;\n{rows}"
    else:
        postgresql = f"BEGIN;\nSELECT txid_current();\nLOCK TABLE {params.table} IN ACCESS EXCLUSIVE MODE;\n"
        # START TRANSACTION would give the table back; without autocommit the lock is a part of the transaction.
        mariadb = f"SET autocommit = 0;\nLOCK TABLES {params.table} WRITE;\nSELECT 1 FROM {params.table} LIMIT 1;\n"
    return held_sessions(mark_of(_IDLE, target, params), target, params, {"postgresql": postgresql, "mariadb": mariadb})


def _idle_looks(target: Target, params: Idle) -> Mapping[str, Look]:
    mark = mark_of(_IDLE, target, params)
    idle = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
        f"AND backend_xid IS NOT NULL AND application_name = '{mark}';\n",
        "mariadb": f"{FRESH}SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
        f"ON p.id = t.trx_mysql_thread_id WHERE p.command = 'Sleep' AND p.id = IS_USED_LOCK('{mark}/0');\n",
    }
    held = {} if params.table is None else {"wanted": _wanted(params.table, params.where)}
    return asked(target, params, idle=idle, ours=count_of(mark), **held)


def _idle_wrong(seen: Seen) -> list[str]:
    wrong = [] if seen.params.table is None else _gets_it(seen)
    if answer(seen, "idle") != "1":
        wrong.append(f"no transaction of ours is open and idle: {refused(seen, 'idle') or answer(seen, 'idle')}")
    return wrong


def _idle_says(seen: Seen) -> str:
    held = f"; {refused(seen, 'wanted')}" if refused(seen, "wanted") else ""
    return f"{seen.now['sql']['dialect']}: one transaction of ours is open and idle{held}"


# No connection left


def _connections(target: Target, params: Connections) -> Plan:
    return held_sessions(
        mark_of("db-connections", target, params),
        target,
        params,
        dict.fromkeys(PATIENCE, "SELECT 1;\n"),
        count=params.count,
    )


def _connections_looks(target: Target, params: Connections) -> Mapping[str, Look]:
    mark = mark_of("db-connections", target, params)
    return asked(target, params, ours=count_of(mark, params.count or 500))


_FULL = re.compile(r"too many clients|remaining connection slots|Too many connections")


def _connections_wrong(seen: Seen) -> list[str]:
    full = bool(_FULL.search(refused(seen, "ours")))
    if seen.params.count is None:
        return [] if full else [f"one more is let in; {ours(seen)} sessions of ours are there"]
    if full or ours(seen) == seen.params.count:
        return []
    return [f"{ours(seen)} sessions of ours are there, not {seen.params.count}: {refused(seen, 'ours')}"]


def _connections_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: {refused(seen, 'ours') or f'{ours(seen)} sessions of ours'}"


# Who blocks others is killed

_BLOCKERS = {
    "postgresql": "SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity;\n",
    "mariadb": f"{FRESH}SELECT DISTINCT t.trx_mysql_thread_id FROM information_schema.innodb_lock_waits w "
    "JOIN information_schema.innodb_trx t ON t.trx_id = w.blocking_trx_id;\n",
}
_ALIVE = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend';\n",
    "mariadb": "SELECT id FROM information_schema.processlist;\n",
}


def _kill(target: Target, params: Database) -> Plan:
    kill = {
        "postgresql": "SELECT pid, pg_terminate_backend(pid) FROM (SELECT DISTINCT unnest(pg_blocking_pids(pid)) AS pid "
        "FROM pg_stat_activity) AS blockers;\n",
        "mariadb": f"{FRESH}DELIMITER //\nBEGIN NOT ATOMIC FOR s IN (SELECT DISTINCT t.trx_mysql_thread_id AS id "
        "FROM information_schema.innodb_lock_waits w JOIN information_schema.innodb_trx t ON t.trx_id = w.blocking_trx_id) "
        "DO SELECT s.id; EXECUTE IMMEDIATE CONCAT('KILL ', s.id); END FOR; END //\n",
    }
    nothing = "nobody blocks anybody, so there is nobody to kill"
    return Plan(({"do": "db-do", "sql": kill, "nothing": nothing, **where_is(target, params)},))


def _kill_looks(target: Target, params: Database) -> Mapping[str, Look]:
    return asked(target, params, blockers=_BLOCKERS, alive=_ALIVE)


def _killed(seen: Seen) -> list[str]:
    before, now = seen.before["sql"]["answers"], seen.now["sql"]["answers"]
    return sorted(set(before.get("blockers", "").split()) - set(now.get("alive", "").split()))


def _kill_wrong(seen: Seen) -> list[str]:
    if seen.now["sql"]["refused"]:
        return [f"the database could not be asked: {words}" for words in seen.now["sql"]["refused"].values()]
    before = seen.before["sql"]["answers"].get("blockers", "").split()
    if not before:
        return ["nobody blocked anybody before"]
    left = sorted(set(before) - set(_killed(seen)))
    return [f"the session {session} that blocked others lives on" for session in left]


def _kill_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: sessions {', '.join(_killed(seen))} are gone"


_BOTH = ("postgresql", "mariadb")
_CANARY = {"database": "canary"}

DATABASE_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "db-lock",
        "database",
        "statements that need the table, the rows or the lock wait",
        _lock,
        Proof(
            "somebody else does not get it, and our session is there",
            _lock_looks,
            _lock_wrong,
            _lock_says,
            _lock_left,
            lasts=False,
        ),
        params=Lock,
        example={"table": "demo", **_CANARY},
        roles=_BOTH,
    ),
    FaultKind(
        _IDLE,
        "database",
        "what it holds is waited for; without a table nothing, but what is dead is not cleaned up, and schema changes wait",
        _idle,
        Proof(
            "the server lists an idle transaction of ours, and nobody else gets what it holds",
            _idle_looks,
            _idle_wrong,
            _idle_says,
            none_left,
            lasts=False,
        ),
        params=Idle,
        example=_CANARY,
        roles=_BOTH,
    ),
    DEADLOCKS,
    FaultKind(
        "db-connections",
        "database",
        "new sessions are refused by the server",
        _connections,
        Proof(
            "the server refuses another session, or lists as many as asked for",
            _connections_looks,
            _connections_wrong,
            _connections_says,
            none_left,
            lasts=False,
        ),
        params=Connections,
        example=_CANARY,
        roles=_BOTH,
    ),
    FaultKind(
        "db-kill",
        "database",
        "sessions that blocked others end with an error; those that waited go on",
        _kill,
        Proof("the sessions that blocked others are gone from the server's list", _kill_looks, _kill_wrong, _kill_says),
        params=Database,
        example=_CANARY,
        roles=_BOTH,
    ),
)
