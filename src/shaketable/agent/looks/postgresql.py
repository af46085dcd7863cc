"""What PostgreSQL (10 and later) is asked by an observer, and what it answers.

The views join users and databases to every session; the functions below them do not, and only waiting sessions are asked
who blocks them, for that takes the lock manager's locks. Sources: PostgreSQL manual, "The Cumulative Statistics System",
"System Information Functions" (pg_blocking_pids), "pg_locks".
"""

from __future__ import annotations

import json
from typing import Final

from shaketable.agent.looks.words import WAITS, WITNESSES, Question, edges, number

_OURS: Final = ", ".join(f"'{name}'" for name in WITNESSES)

OPENING: Final = (
    "SET default_transaction_read_only = on; SET statement_timeout = '150ms'; SET lock_timeout = '50ms';\n"
    "SET jit = off; SET max_parallel_workers_per_gather = 0; SET client_min_messages = error;\n"
    "SET plan_cache_mode = force_generic_plan;\n"
    "SELECT 'id ' || pg_backend_pid();\n"
)

_SESSIONS: Final = f"""
s AS MATERIALIZED (
  SELECT pid, usesysid, application_name AS app, state, query, wait_event_type AS waits, xact_start, backend_type AS kind
  FROM pg_stat_get_activity(NULL) WHERE pid <> pg_backend_pid() AND application_name NOT IN ({_OURS})
)"""

_WAITING: Final = """
w AS MATERIALIZED (
  SELECT s.*, pg_blocking_pids(pid) AS behind FROM s WHERE waits = 'Lock' AND kind = 'client backend'
),
l AS MATERIALIZED (
  SELECT l.*, CASE
    WHEN relation IS NULL THEN NULL
    WHEN database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) THEN relation::regclass::text
    ELSE relation || ' of ' || (SELECT datname FROM pg_database d WHERE d.oid = database) END AS name
  FROM pg_lock_status() l
  WHERE EXISTS (SELECT FROM w) AND (NOT granted OR locktype = 'tuple') AND pid IN (SELECT pid FROM w)
)"""

_ON: Final = """coalesce((SELECT CASE locktype
    WHEN 'relation' THEN 'relation ' || name
    WHEN 'tuple' THEN 'rows of ' || name
    WHEN 'transactionid' THEN coalesce(
      'rows of ' || (SELECT min(t.name) FROM l t WHERE t.pid = w.pid AND t.locktype = 'tuple' AND t.granted), locktype)
    WHEN 'advisory' THEN 'advisory ' || CASE objsubid
      WHEN 1 THEN ((classid::bigint << 32) | objid::bigint)::text ELSE classid || '/' || objid END
    ELSE locktype END
  FROM l WHERE l.pid = w.pid AND NOT granted LIMIT 1), 'lock')"""

_WAITS: Final = f"""(SELECT coalesce(jsonb_agg(jsonb_build_object(
  'waiter', w.pid::text, 'who', pg_get_userbyid(w.usesysid) || coalesce('/' || nullif(w.app, ''), ''), 'wants', w.query,
  'on', {_ON},
  'for', b.pid::text, 'state', coalesce(h.state, ''), 'holds', coalesce(h.query, ''),
  'by', CASE WHEN b.pid = 0 THEN 'a prepared transaction'
    WHEN h.usesysid IS NULL THEN h.kind
    ELSE pg_get_userbyid(h.usesysid) || coalesce('/' || nullif(h.app, ''), '') END)), '[]')
  FROM w CROSS JOIN LATERAL (SELECT DISTINCT unnest(w.behind)) AS b(pid) LEFT JOIN s h ON h.pid = b.pid
  WHERE b.pid = 0 OR h.pid IS NOT NULL)"""

_CLIENTS: Final = "(SELECT count(*) FROM s WHERE kind = 'client backend')"
_ALLOWED: Final = (
    "(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - {ours})"
)
_BEHIND: Final = """CASE WHEN pg_is_in_recovery() THEN
    CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_get_wal_receiver() r
        WHERE r.pid IS NOT NULL AND r.status = 'streaming') THEN 0
    ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END
  ELSE (SELECT extract(epoch FROM max(greatest(coalesce(replay_lag, '0'), CASE WHEN replay_lsn < pg_current_wal_lsn()
      THEN clock_timestamp() - reply_time ELSE '0' END))) FROM pg_stat_get_wal_senders() WHERE state = 'streaming') END"""

_VALUES: Final = {
    WAITS: _WAITS,
    "sessions": _CLIENTS,
    "used": f"{_CLIENTS}::numeric / greatest(1, {_ALLOWED})",
    "blocked": "(SELECT count(*) FROM s WHERE waits = 'Lock' AND kind = 'client backend')",
    "idle-transactions": "(SELECT count(*) FROM s WHERE state LIKE 'idle in transaction%')",
    "longest-transaction": "(SELECT coalesce(round(extract(epoch FROM clock_timestamp() - min(xact_start))::numeric, 2), 0)"
    " FROM s WHERE kind = 'client backend')",
    "deadlocks": "(SELECT coalesce(sum(pg_stat_get_db_deadlocks(oid)), 0) FROM pg_database)",
    "replicas": "(SELECT count(*) FROM pg_stat_get_wal_senders() WHERE state = 'streaming')",
    "replica-lag": f"round(({_BEHIND})::numeric, 3)",
}
_OF_SESSIONS: Final = frozenset(_VALUES) - {"deadlocks", "replicas", "replica-lag"}


def rest(_cgroup: str, _deadline: float) -> None:
    """A look may follow another at once."""


def answered(_cgroup: str) -> None:
    """There is nothing to remember."""


def statements(question: Question, prepared: dict[str, str]) -> str:
    """All of them: one for our words, one for each query of the user's, and what says that all are done.

    Planning ours takes longer than carrying them out, so a session prepares them once: `prepared` are those that it has.
    """
    told = []
    if words := sorted(question.words):
        ours = str(1 + len(question.others))
        pairs = ", ".join(f"'{word}', {_VALUES[word].replace('{ours}', ours)}" for word in words)
        tables = [_SESSIONS] if question.words & _OF_SESSIONS else []
        tables += [_WAITING] if WAITS in question.words else []
        sql = f"{'WITH' + ','.join(tables) if tables else ''}\nSELECT $1 || jsonb_build_object({pairs})::text"
        if sql not in prepared:
            prepared[sql] = f"look_{question.number}"
            told.append(f"PREPARE {prepared[sql]}(text) AS {sql};\n")
        told.append(f"EXECUTE {prepared[sql]}('{question.number} - ');\n")
    for position, query in enumerate(question.own.values()):
        told.append(
            f"SELECT '{question.number} {position} ' || coalesce(jsonb_agg(r.c), '[]')::text FROM (\n{query}\n) AS r(c);\n"
        )
    return "".join(told) + f"\\echo {question.number}\n"


def plain(told: str) -> str:
    """An answer's text as the server made it."""
    return told


def read(told: str, _: object) -> dict[str, list[str] | None]:
    """Values by word: entries, or of a gauge the text of its number."""
    found: dict[str, list[str] | None] = {}
    for word, value in json.loads(told).items():
        if word == WAITS:
            found[word] = edges(value)
        else:
            text = None if value is None else number(value)
            found[word] = None if text is None else [text]
    return found
