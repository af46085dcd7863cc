"""Sessions of ours in a database (PostgreSQL, MariaDB), shared by its faults: opened, marked, counted, and ended by their mark.

The mark is the application name in PostgreSQL, a named lock in MariaDB.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Annotated

from pydantic import Field

from shaketable.faults.contract import Look, Params, Plan, Seen, Step, UnfitError
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


def _server(target: Target) -> Member:
    if len(target.members) > 1:
        names = ", ".join(m.name for m in target.members)
        raise UnfitError(f"{target.name} has several instances ({names}); name the one that is the database")
    return target.members[0]


def where_is(target: Target, params: Database) -> Step:
    """What a step or a look needs to reach the database. Raises UnfitError when the target has several instances."""
    return {
        "database": params.database,
        "user": params.user,
        "password": params.password,
        "socket": params.socket,
        **_server(target).step,
    }


def mark_of(kind: str, target: Target, params: Params) -> str:
    """By what our sessions of one fault on one target are told from all others, also by whoever undoes it later."""
    text = f"{target.name}/{kind}/{params.model_dump_json()}"
    return f"shaketable:{blake2b(text.encode(), digest_size=5).hexdigest()}"


FRESH = "DO SLEEP(0.15);\n"
"""InnoDB's own tables show a copy that is made anew only when nobody has read it for a tenth of a second."""

# What a server does by itself against sessions that do nothing stays as it is: a system may rely on it.
PATIENCE = {
    "postgresql": "SET lock_timeout = '3s';\n",
    "mariadb": "SET SESSION lock_wait_timeout = 3, innodb_lock_wait_timeout = 3;\n",
}


def held_sessions(
    mark: str,
    target: Target,
    params: Database,
    sql: Mapping[str, str],
    *,
    count: int | None = 1,
    work: Mapping[str, object] | None = None,
) -> Plan:
    """Sessions that do this and then nothing, or go on as the agent's program in `work` says, which has its own needs.

    Afterwards those that still live are ended by their mark. None opens as many as the server lets in.
    """
    where = where_is(target, params)
    own = {
        "postgresql": PATIENCE["postgresql"],
        "mariadb": f"{PATIENCE['mariadb']}SELECT GET_LOCK('{mark}/{{n}}', 0);\n",
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
    run = {"do": "run", "program": "sessions", "count": count, "mark": mark, **where, "netns": 0, **(work or {})}
    return Plan(
        ({**run, "sql": {name: own[name] + text for name, text in sql.items()}},),
        ({"do": "db-end", "late": True, "sql": end, **where},),
    )


def asked(target: Target, params: Database, **ask: Mapping[str, str]) -> Mapping[str, Look]:
    """The one look of these faults: statements by name and dialect, each in a session of its own."""
    return {"sql": {"see": "sql", "ask": ask, **where_is(target, params)}}


def count_of(mark: str, most: int = 1) -> Mapping[str, str]:
    """How many sessions of ours there are."""
    named = " + ".join(f"(IS_USED_LOCK('{mark}/{n}') IS NOT NULL)" for n in range(most))
    return {
        "postgresql": f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{mark}';\n",
        "mariadb": f"SELECT {named};\n",
    }


def answer(seen: Seen, what: str) -> str:
    """What the server answered."""
    return str(seen.now["sql"]["answers"].get(what, ""))


def refused(seen: Seen, what: str) -> str:
    """In which words it refused."""
    return str(seen.now["sql"]["refused"].get(what, ""))


def ours(seen: Seen) -> int:
    """How many sessions of ours it lists."""
    return int(answer(seen, "ours") or 0)


def none_left(seen: Seen) -> list[str]:
    """What of ours is still there after heal; a database that cannot be asked is no proof that nothing is."""
    left = [f"{ours(seen)} sessions of ours are still there"] if ours(seen) else []
    return left + [f"the database could not be asked: {words}" for words in seen.now["sql"]["refused"].values()]
