"""Deadlocks, again and again: pairs of sessions that take two rows in opposite orders (PostgreSQL, MariaDB).

The server finds each deadlock by itself and ends one of the two; it counts them, and its counter is the witness.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator

from shaketable.faults.contract import FaultKind, Look, Plan, Proof, Seen
from shaketable.faults.sessions import (
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
)
from shaketable.model.units import Duration
from shaketable.ports.targets import Target

_KIND = "db-deadlocks"
Condition = Annotated[str, Field(min_length=1, max_length=500)]


class Deadlocks(Database):
    """Which rows, by how many pairs of sessions, how often."""

    table: Table
    one: Condition | None = Field(default=None, description="the one row, as 'id = 7'; by an index, or more is locked")
    other: Condition | None = Field(
        default=None, description="the other; the two with the lowest keys unless both are told"
    )
    pairs: int = Field(default=1, ge=1, le=20, description="pairs of sessions")
    every: Duration = Field(default=0.5, gt=0, description="pause between a deadlock and the next, of each pair")

    @model_validator(mode="after")
    def _two(self) -> Deadlocks:
        if (self.one is None) != (self.other is None):
            raise ValueError("name both rows, or neither")
        if self.one is not None and self.one == self.other:
            raise ValueError("one row alone makes no deadlock; name two")
        return self


# A session waits a little longer than the server takes to look for deadlocks; it may be set to anything.
_PATIENCE = {
    "postgresql": "SELECT set_config('lock_timeout', (setting::int + 3000)::text, false) FROM pg_settings "
    "WHERE name = 'deadlock_timeout';\n",
    "mariadb": "",
}


def _keys(table: str) -> Mapping[str, str]:
    """Statements whose answer is a condition a line: the two rows with the lowest primary keys."""
    schema, _, name = table.replace('"', "").rpartition(".")
    quoted = f"'{schema}'" if schema else "DATABASE()"
    where = f"table_schema = {quoted} AND table_name = '{name}'"
    return {
        "postgresql": f"""
            SELECT format('SELECT %L || concat_ws('', '', %s) || '')'' FROM {table} ORDER BY %s LIMIT 2',
                format('(%s) = (', names), texts, names)
            FROM (SELECT string_agg(format('%I', attname), ', ' ORDER BY place) AS names,
                    string_agg(format('quote_literal(%I::text)', attname), ', ' ORDER BY place) AS texts
                FROM pg_index, unnest(indkey) WITH ORDINALITY AS key(number, place), pg_attribute
                WHERE indrelid = '{table}'::regclass AND indisprimary AND attrelid = indrelid AND attnum = key.number) AS k
            WHERE names IS NOT NULL \\gexec
            """,
        "mariadb": f"""DELIMITER //
            BEGIN NOT ATOMIC
                SELECT GROUP_CONCAT(CONCAT('`', column_name, '`') ORDER BY seq_in_index SEPARATOR ', '),
                    GROUP_CONCAT(CONCAT('QUOTE(`', column_name, '`)') ORDER BY seq_in_index SEPARATOR ', '', '', ')
                    INTO @names, @texts FROM information_schema.statistics WHERE {where} AND index_name = 'PRIMARY';
                IF @names IS NOT NULL THEN
                    EXECUTE IMMEDIATE CONCAT('SELECT CONCAT(''(', @names, ') = ('', ', @texts, ', '')'') FROM {table}',
                        ' ORDER BY ', @names, ' LIMIT 2');
                END IF;
            END //
            """,
    }


def _deadlocks(target: Target, params: Deadlocks) -> Plan:
    work = {
        "program": "deadlocks",
        "table": params.table,
        "rows": [params.one, params.other] if params.one and params.other else [],
        "keys": _keys(params.table),
        "every": params.every,
    }
    mark = mark_of(_KIND, target, params)
    return held_sessions(mark, target, params, _PATIENCE, count=2 * params.pairs, work=work)


def _looks(target: Target, params: Deadlocks) -> Mapping[str, Look]:
    counted = {
        "postgresql": "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database();\n",
        "mariadb": "SELECT variable_value FROM information_schema.global_status "
        "WHERE variable_name = 'INNODB_DEADLOCKS';\n",
    }
    return asked(target, params, counted=counted, ours=count_of(mark_of(_KIND, target, params), 2 * params.pairs))


def _more(seen: Seen) -> int:
    """By how much the server's own counter rose."""
    before = seen.before["sql"]["answers"].get("counted", "")
    return int(answer(seen, "counted") or 0) - int(before or 0)


def _wrong(seen: Seen) -> list[str]:
    wrong = []
    if _more(seen) < 1:
        wrong.append(f"the server counted no deadlock: {refused(seen, 'counted') or answer(seen, 'counted')}")
    if ours(seen) != 2 * seen.params.pairs:
        wrong.append(f"{ours(seen)} sessions of ours are there, not {2 * seen.params.pairs}")
    return wrong


def _says(seen: Seen) -> str:
    return (
        f"{seen.now['sql']['dialect']}: its counter of deadlocks rose by {_more(seen)}; {ours(seen)} sessions of ours"
    )


DEADLOCKS = FaultKind(
    _KIND,
    "database",
    "whoever wants one of two rows waits until the server finds the next deadlock, or is the one it ends",
    _deadlocks,
    Proof(
        "the server's own counter of deadlocks rises, and our sessions are there",
        _looks,
        _wrong,
        _says,
        none_left,
        lasts=False,
    ),
    params=Deadlocks,
    example={"table": "demo", "database": "canary"},
    roles=("postgresql", "mariadb"),
)
