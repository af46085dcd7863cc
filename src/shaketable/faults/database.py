"""Faults within a database (PostgreSQL, MariaDB): a lock held, a transaction left open, no connection left, blockers killed.

The sessions are ours and found again by a mark: the application name in PostgreSQL, a named lock in MariaDB.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated

from pydantic import Field, model_validator

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, Step, UnfitError
from shaketable.ports.targets import Member, Target

Table = Annotated[str, Field(pattern=r'^[A-Za-z_"][A-Za-z0-9_."$]{0,127}$')]


class Database(Params):
    """Which database, and as whom."""

    database: str = Field(default="", description="postgres, or none in MariaDB, when not named")
    user: str = Field(default="", description="postgres, or root in MariaDB, when not named")
    socket: str = Field(
        default="", description="its folder (PostgreSQL) or the socket itself (MariaDB), where it is not the usual one"
    )
    password: str = Field(default="", description="where the local socket asks for one")


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


class Connections(Database):
    """How many sessions."""

    count: int | None = Field(default=None, ge=1, le=500, description="as many as the server lets in when not named")


def _server(target: Target) -> Member:
    if len(target.members) > 1:
        names = ", ".join(m.name for m in target.members)
        raise UnfitError(f"{target.name} has several instances ({names}); name the one that is the database")
    return target.members[0]


def _where(target: Target, params: Database) -> Step:
    return {
        "database": params.database,
        "user": params.user,
        "password": params.password,
        "socket": params.socket,
        **_server(target).step,
    }


def _mark(kind: str, target: Target, params: Params) -> str:
    text = f"{target.name}/{kind}/{params.model_dump_json()}"
    return f"shaketable:{blake2b(text.encode(), digest_size=5).hexdigest()}"


_FRESH = "DO SLEEP(0.15);\n"
"""InnoDB's own tables show a copy that is made anew only when nobody has read it for a tenth of a second."""

# What a server does by itself against sessions that do nothing stays as it is: a system may rely on it.
_PATIENCE = {
    "postgresql": "SET lock_timeout = '3s';\n",
    "mariadb": "SET SESSION lock_wait_timeout = 3, innodb_lock_wait_timeout = 3;\n",
}


def _sessions(kind: str, target: Target, params: Database, count: int | None, **sql: str) -> Plan:
    """Sessions that do this and then nothing; afterwards those that still live are ended by their mark."""
    mark = _mark(kind, target, params)
    where = _where(target, params)
    own = {
        "postgresql": _PATIENCE["postgresql"],
        "mariadb": f"{_PATIENCE['mariadb']}SELECT GET_LOCK('{mark}/{{n}}', 0);\n",
    }
    most = 500 if count is None else count
    named = " UNION ALL ".join(f"SELECT IS_USED_LOCK('{mark}/{n}') AS id" for n in range(most))
    end = {
        "postgresql": f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{mark}';\n",
        # MariaDB kills by number only, so a procedure without a name goes through them.
        "mariadb": f"DELIMITER //\nBEGIN NOT ATOMIC FOR s IN (SELECT id FROM ({named}) AS t WHERE id IS NOT NULL) DO "
        "EXECUTE IMMEDIATE CONCAT('KILL ', s.id); END FOR; END //\n",
    }
    # The client enters the target's namespaces, not the child that runs it.
    run = {"do": "run", "program": "sessions", "count": count, "mark": mark, **where, "netns": 0}
    return Plan(
        ({**run, "sql": {name: own[name] + text for name, text in sql.items()}},),
        ({"do": "db-end", "late": True, "sql": end, **where},),
    )


def _asked(target: Target, params: Database, **ask: Mapping[str, str]) -> Mapping[str, Look]:
    return {"sql": {"see": "sql", "ask": ask, **_where(target, params)}}


def _count(mark: str, most: int = 1) -> Mapping[str, str]:
    """How many sessions of ours there are."""
    named = " + ".join(f"(IS_USED_LOCK('{mark}/{n}') IS NOT NULL)" for n in range(most))
    return {
        "postgresql": f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{mark}';\n",
        "mariadb": f"SELECT {named};\n",
    }


def _answer(seen: Seen, what: str) -> str:
    return str(seen.now["sql"]["answers"].get(what, ""))


def _refused(seen: Seen, what: str) -> str:
    return str(seen.now["sql"]["refused"].get(what, ""))


def _ours(seen: Seen) -> int:
    return int(_answer(seen, "ours") or 0)


def _none_left(seen: Seen) -> list[str]:
    left = [f"{_ours(seen)} sessions of ours are still there"] if _ours(seen) else []
    return left + [f"the database could not be asked: {words}" for words in seen.now["sql"]["refused"].values()]


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
    return _sessions("db-lock", target, params, 1, postgresql=postgresql, mariadb=mariadb)


def _lock_looks(target: Target, params: Lock) -> Mapping[str, Look]:
    """What somebody else gets who wants it too, without waiting."""
    if params.advisory is not None:
        number = params.advisory if re.fullmatch(r"\d{1,18}", params.advisory) else "0"
        postgresql = f"SELECT pg_try_advisory_lock({number});\n"
        mariadb = f"SELECT IF(IS_FREE_LOCK('{params.advisory}'), 't', 'f');\n"
    elif params.where is not None:
        rows = f"SELECT 't' FROM {params.table} WHERE {params.where} LIMIT 1 FOR UPDATE NOWAIT;\n"
        postgresql, mariadb = f"BEGIN;\n{rows}ROLLBACK;\n", f"START TRANSACTION;\n{rows}ROLLBACK;\n"
    else:
        postgresql = f"BEGIN;\nLOCK TABLE {params.table} IN ACCESS SHARE MODE NOWAIT;\nSELECT 't';\nROLLBACK;\n"
        mariadb = f"LOCK TABLES {params.table} READ NOWAIT;\nSELECT 't';\n"
    wanted = {"postgresql": postgresql, "mariadb": mariadb}
    return _asked(target, params, wanted=wanted, ours=_count(_mark("db-lock", target, params)))


_HELD = re.compile(r"could not obtain lock|NOWAIT|Lock wait timeout")


def _is_held(seen: Seen) -> bool:
    return _answer(seen, "wanted") == "f" or bool(_HELD.search(_refused(seen, "wanted")))


def _lock_wrong(seen: Seen) -> list[str]:
    before = seen.before["sql"]["answers"].get("wanted", "")
    wrong = [] if before.startswith("t") else ["it could not be had before, either, or is not there"]
    if not _is_held(seen):
        wrong.append(f"somebody else gets it: {_answer(seen, 'wanted') or _refused(seen, 'wanted') or 'no rows'}")
    if _ours(seen) != 1:
        wrong.append(f"{_ours(seen)} sessions of ours are there, not 1")
    return wrong


def _lock_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: {_refused(seen, 'wanted') or 'somebody else does not get it'}"


def _lock_left(seen: Seen) -> list[str]:
    return (["somebody else still does not get it"] if _is_held(seen) else []) + _none_left(seen)


# A transaction left open


def _idle(target: Target, params: Database) -> Plan:
    return _sessions(
        "db-idle-transaction",
        target,
        params,
        1,
        postgresql="BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT txid_current();\n",
        mariadb="START TRANSACTION WITH CONSISTENT SNAPSHOT;\nSELECT count(*) FROM mysql.innodb_table_stats;\n",
    )


def _idle_looks(target: Target, params: Database) -> Mapping[str, Look]:
    mark = _mark("db-idle-transaction", target, params)
    idle = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
        f"AND backend_xid IS NOT NULL AND application_name = '{mark}';\n",
        "mariadb": f"{_FRESH}SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p "
        f"ON p.id = t.trx_mysql_thread_id WHERE p.command = 'Sleep' AND p.id = IS_USED_LOCK('{mark}/0');\n",
    }
    return _asked(target, params, idle=idle, ours=_count(mark))


def _idle_wrong(seen: Seen) -> list[str]:
    if _answer(seen, "idle") == "1":
        return []
    return [f"no transaction of ours is open and idle: {_refused(seen, 'idle') or _answer(seen, 'idle')}"]


def _idle_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: one transaction of ours is open and idle"


# No connection left


def _connections(target: Target, params: Connections) -> Plan:
    return _sessions("db-connections", target, params, params.count, postgresql="SELECT 1;\n", mariadb="SELECT 1;\n")


def _connections_looks(target: Target, params: Connections) -> Mapping[str, Look]:
    mark = _mark("db-connections", target, params)
    return _asked(target, params, ours=_count(mark, params.count or 500))


_FULL = re.compile(r"too many clients|remaining connection slots|Too many connections")


def _connections_wrong(seen: Seen) -> list[str]:
    full = bool(_FULL.search(_refused(seen, "ours")))
    if seen.params.count is None:
        return [] if full else [f"one more is let in; {_ours(seen)} sessions of ours are there"]
    if full or _ours(seen) == seen.params.count:
        return []
    return [f"{_ours(seen)} sessions of ours are there, not {seen.params.count}: {_refused(seen, 'ours')}"]


def _connections_says(seen: Seen) -> str:
    return f"{seen.now['sql']['dialect']}: {_refused(seen, 'ours') or f'{_ours(seen)} sessions of ours'}"


# Who blocks others is killed

_BLOCKERS = {
    "postgresql": "SELECT DISTINCT unnest(pg_blocking_pids(pid)) FROM pg_stat_activity;\n",
    "mariadb": f"{_FRESH}SELECT DISTINCT t.trx_mysql_thread_id FROM information_schema.innodb_lock_waits w "
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
        "mariadb": f"{_FRESH}DELIMITER //\nBEGIN NOT ATOMIC FOR s IN (SELECT DISTINCT t.trx_mysql_thread_id AS id "
        "FROM information_schema.innodb_lock_waits w JOIN information_schema.innodb_trx t ON t.trx_id = w.blocking_trx_id) "
        "DO SELECT s.id; EXECUTE IMMEDIATE CONCAT('KILL ', s.id); END FOR; END //\n",
    }
    nothing = "nobody blocks anybody, so there is nobody to kill"
    return Plan(({"do": "db-do", "sql": kill, "nothing": nothing, **_where(target, params)},))


def _kill_looks(target: Target, params: Database) -> Mapping[str, Look]:
    return _asked(target, params, blockers=_BLOCKERS, alive=_ALIVE)


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
        "db-idle-transaction",
        "database",
        "nothing; what is dead is not cleaned up, and schema changes wait",
        _idle,
        Proof(
            "the server lists an idle transaction of ours",
            _idle_looks,
            _idle_wrong,
            _idle_says,
            _none_left,
            lasts=False,
        ),
        params=Database,
        example=_CANARY,
        roles=_BOTH,
    ),
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
            _none_left,
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
