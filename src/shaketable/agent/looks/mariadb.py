"""What MariaDB (10.5 and later) is asked by an observer, and what it answers.

Who blocks whom is in InnoDB's own tables as far as rows go, and of named locks the server tells the owner. Of locks on
tables and metadata it tells, without a plugin, only who waits: the blocker of such an edge is "unknown". Nor does it keep
the last statement of a session that does nothing: what such a blocker `holds` is empty. Sources: MariaDB manual,
"Information Schema INNODB_LOCK_WAITS Table", "Thread States", "IS_USED_LOCK".
"""

from __future__ import annotations

import json
import re
import threading
import time
from typing import Any, Final

from shaketable.agent.looks.words import WAITS, Question, edges, number

OPENING: Final = (
    "SET SESSION tx_read_only = 1, max_statement_time = 0.15, lock_wait_timeout = 0, innodb_lock_wait_timeout = 0,"
    " time_zone = 'SYSTEM', group_concat_max_len = 67108864;\n"
    "SELECT CONCAT('id ', CONNECTION_ID());\n"
)

_IDLE: Final = 0.102
"""InnoDB's own tables show a copy that is made anew only when nobody has read it for a tenth of a second."""
_LAST: Final[dict[str, float]] = {}
_LOCK: Final = threading.Lock()

_STATES: Final = "(p.STATE LIKE 'Waiting for %lock' OR p.STATE IN ('User lock', 'Waiting for table flush'))"
_USER: Final = (
    "p.USER NOT IN ('system user', 'event_scheduler') AND p.COMMAND NOT LIKE 'Binlog Dump%' AND p.COMMAND <> 'Daemon'"
)
_WHO: Final = "CONCAT({p}.USER, '/', SUBSTRING_INDEX({p}.HOST, ':', 1))"

_VALUES: Final = {
    "sessions": f"COALESCE(SUM({_USER}), 0)",
    "used": f"COALESCE(SUM({_USER}), 0) / GREATEST(1, @@max_connections - {{ours}})",
    "blocked": f"COALESCE(SUM(COALESCE(t.trx_state = 'LOCK WAIT', 0) OR COALESCE({_STATES}, 0)), 0)",
    "idle-transactions": "COALESCE(SUM(t.trx_id IS NOT NULL AND p.COMMAND = 'Sleep'), 0)",
    "longest-transaction": "COALESCE(ROUND(UNIX_TIMESTAMP(NOW(6)) - UNIX_TIMESTAMP(MIN(t.trx_started)), 2), 0)",
    "replicas": "COALESCE(SUM(p.COMMAND LIKE 'Binlog Dump%'), 0)",
    "deadlocks": "(SELECT CAST(VARIABLE_VALUE AS UNSIGNED) FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'INNODB_DEADLOCKS')",
}
_OF_TRANSACTIONS: Final = frozenset({WAITS, "blocked", "idle-transactions", "longest-transaction"})
_OF_SESSIONS: Final = frozenset({"sessions", "used", "replicas"}) | _OF_TRANSACTIONS

_ROWS: Final = f"""SELECT JSON_OBJECT(
    'waiter', r.trx_mysql_thread_id, 'who', {_WHO.format(p="p")}, 'wants', COALESCE(LEFT(p.INFO, 1000), r.trx_query),
    'on', CONCAT('rows of ', REPLACE(l.lock_table, '`', '')),
    'for', b.trx_mysql_thread_id, 'by', {_WHO.format(p="h")}, 'holds', COALESCE(LEFT(h.INFO, 1000), b.trx_query),
    'state', CASE WHEN b.trx_state = 'LOCK WAIT' THEN 'Lock wait' WHEN h.COMMAND = 'Sleep' THEN 'idle in transaction'
      ELSE 'active' END) AS edge
  FROM information_schema.INNODB_LOCK_WAITS w
  JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id
  JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id
  JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id
  LEFT JOIN information_schema.PROCESSLIST p ON p.ID = r.trx_mysql_thread_id
  LEFT JOIN information_schema.PROCESSLIST h ON h.ID = b.trx_mysql_thread_id"""

_NAMED: Final = r"REGEXP_REPLACE(p.INFO, '(?is)^.*?\\bGET_LOCK\\s*\\(\\s*[\'\"]([^\'\"]*)[\'\"].*$', '\\1')"
"""The name in a statement that waits for a named lock."""
_OTHERS: Final = f"""SELECT JSON_OBJECT(
    'waiter', p.ID, 'who', {_WHO.format(p="p")}, 'wants', LEFT(p.INFO, 1000),
    'on', IF(p.name IS NULL, REPLACE(REPLACE(p.STATE, 'Waiting for ', ''), ' lock', ''), CONCAT('advisory ', p.name)),
    'for', COALESCE(h.ID, 'unknown'), 'by', COALESCE({_WHO.format(p="h")}, 'unknown'), 'holds', COALESCE(LEFT(h.INFO, 1000), ''),
    'state', CASE WHEN h.ID IS NULL THEN 'unknown' WHEN h.COMMAND = 'Sleep' THEN 'idle' ELSE 'active' END) AS edge
  FROM (SELECT p.*, IF(p.STATE = 'User lock', {_NAMED}, NULL) AS name
    FROM information_schema.PROCESSLIST p WHERE {_STATES}) p
  LEFT JOIN information_schema.PROCESSLIST h ON h.ID = IS_USED_LOCK(p.name)"""


def rest(cgroup: str, deadline: float) -> None:
    """Wait until InnoDB makes a new copy of what it shows."""
    with _LOCK:
        due = _LAST.get(cgroup, 0.0) + _IDLE
    time.sleep(max(0.0, min(due, deadline) - time.monotonic()))


def answered(cgroup: str) -> None:
    """The server's copy has been read just now, or a little before."""
    with _LOCK:
        _LAST[cgroup] = time.monotonic()


def statements(question: Question, _: dict[str, str]) -> str:
    """All of them: for our words, for each query of the user's, and what says that all are done."""
    told = []
    if words := question.words & frozenset(_VALUES):
        ours = str(1 + len(question.others))
        pairs = ", ".join(f"'{word}', {_VALUES[word].replace('{ours}', ours)}" for word in sorted(words))
        source = ""
        if words & _OF_SESSIONS:
            ids = ", ".join(["CONNECTION_ID()", *question.others])
            join = _JOIN if words & _OF_TRANSACTIONS else ""
            source = f"FROM information_schema.PROCESSLIST p {join} WHERE p.ID NOT IN ({ids})"
        told.append(f"SELECT CONCAT('{question.number} - ', JSON_OBJECT({pairs})) {source};\n")
    elif question.words:
        told.append(f"SELECT '{question.number} - {{}}';\n")
    if WAITS in question.words:
        for name, rows in (("rows", _ROWS), ("others", _OTHERS)):
            told.append(
                f"SELECT CONCAT('{question.number} {name} ', COALESCE(JSON_ARRAYAGG(edge), '[]')) FROM ({rows}) e;\n"
            )
    if "replica-lag" in question.words:
        told.append("SHOW ALL SLAVES STATUS\\G\n")
    for position, query in enumerate(question.own.values()):
        rows = f"CONCAT('{question.number} {position} ', COALESCE(JSON_ARRAYAGG(c), '[]'))"
        told.append(f"WITH r(c) AS (\n{query}\n) SELECT {rows} FROM r;\n")
    return "".join(told) + f"SELECT '{question.number}';\n"


_JOIN: Final = "LEFT JOIN information_schema.INNODB_TRX t ON t.trx_mysql_thread_id = p.ID"
_ESCAPES: Final = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}


def plain(told: str) -> str:
    """An answer's text as the server made it: the client writes what would end a line or column as a backslash and a letter."""
    return re.sub(r"\\([nt0\\])", lambda found: _ESCAPES[found[1]], told)


def read(told: str, answers: dict[str, str]) -> dict[str, list[str] | None]:
    """Values by word: entries, or of a gauge the text of its number."""
    found: dict[str, list[str] | None] = {}
    for word, value in json.loads(plain(told)).items():
        text = None if value is None else number(value)
        found[word] = None if text is None else [text]
    if "rows" in answers and "others" in answers:
        found[WAITS] = edges([*_objects(answers["rows"]), *_objects(answers["others"])])
    if lag := answers.get("lag"):
        found["replica-lag"] = [lag]
    return found


def _objects(told: str) -> list[dict[str, Any]]:
    """Edges; the server gives an object within a list as text or as it is."""
    return [json.loads(row) if isinstance(row, str) else row for row in json.loads(plain(told))]
