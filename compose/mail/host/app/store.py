"""A tenant's mails in MariaDB, and the states that each goes through.

    queued -> rendering -> sending -> sent
    rendering -> aside      its run was ended by force; tried again by another release
    rendering -> queued     its run ended in another way: nothing was sent
    sending   -> queued     the destination did not take it, for now
    sending   -> refused    the destination will not have it
    sending   -> unsure     its run ended before the destination's answer was known

Each step names the run and the state it begins in, so of two runs that would take it one does. `sending` is entered only
when all that is missing is the mail's last line, and a mail in it is sent by nobody else, ever: who cannot know whether
it arrived does not send it twice. People look at those that are `unsure`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pymysql

FAILURES = (pymysql.MySQLError, OSError)
"""What goes wrong when the database does not answer, or not well."""
TENANT = os.environ["TENANT"]
_LOCK = f"sender of {TENANT}"
_SHOWN = 20
_CONNECT_LIMIT, _ANSWER_LIMIT = 2, 5


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was accepted."""

    number: int
    recipient: str
    template: str
    fields: Mapping[str, Any]


class Store:
    """One connection. Raises FAILURES."""

    def __init__(self) -> None:
        self._connection = pymysql.connect(
            host="mariadb",
            user=TENANT,
            database=TENANT.replace("-", "_"),
            autocommit=True,
            connect_timeout=_CONNECT_LIMIT,
            read_timeout=_ANSWER_LIMIT,
            write_timeout=_ANSWER_LIMIT,
        )

    def close(self) -> None:
        """End the connection; the lock goes with it."""
        self._connection.close()

    def renew(self) -> None:
        """Connect again if the connection is no longer there."""
        self._connection.ping(reconnect=True)

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())

    def _change(self, statement: str, *values: object) -> bool:
        with self._connection.cursor() as cursor:
            return bool(cursor.execute(statement, values))

    def accept(self, recipient: str, template: str, fields: Mapping[str, Any]) -> int:
        """Take a mail into the queue; its number."""
        with self._connection.cursor() as cursor:
            statement = "INSERT INTO mails (recipient, template, fields) VALUES (%s, %s, %s)"
            cursor.execute(statement, (recipient, template, json.dumps(fields)))
            return int(cursor.lastrowid)

    def latest(self) -> list[tuple[int, str, str, str]]:
        """The last mails: number, recipient, state, and when it was accepted."""
        statement = (
            "SELECT id, recipient, state, DATE_FORMAT(accepted, '%%H:%%i:%%s') FROM mails ORDER BY id DESC LIMIT %s"
        )
        return [(int(i), str(to), str(state), str(at)) for i, to, state, at in self._ask(statement, _SHOWN)]

    def counts(self) -> dict[str, int]:
        """How many mails are in each state."""
        return {
            str(state): int(count) for state, count in self._ask("SELECT state, COUNT(*) FROM mails GROUP BY state")
        }

    def lock(self) -> bool:
        """Become the tenant's only sender, unless there is one."""
        return self._ask("SELECT GET_LOCK(%s, 0)", _LOCK) == [(1,)]

    def claim(self, run: str, release: str) -> Mail | None:
        """Take the next mail for rendering, in the order in which they were accepted; None if there is none."""
        wanted = "state = 'queued' OR (state = 'aside' AND tried_by <> %s)"
        while rows := self._ask(
            f"SELECT id, recipient, template, fields, state FROM mails WHERE {wanted} ORDER BY id LIMIT 1", release
        ):
            number, recipient, template, fields, state = rows[0]
            if self._change(
                "UPDATE mails SET state = 'rendering', run = %s, tried_by = %s WHERE id = %s AND state = %s",
                run,
                release,
                number,
                state,
            ):
                return Mail(number, recipient, template, json.loads(fields))
        return None

    def move(self, mail: Mail, run: str, state: str, then: str) -> bool:
        """Take a mail of this run from one state to another; whether it was in that state."""
        return self._change(
            "UPDATE mails SET state = %s WHERE id = %s AND run = %s AND state = %s", then, mail.number, run, state
        )

    def sent(self, mail: Mail) -> None:
        """Note that the destination has a mail."""
        self._change("UPDATE mails SET state = 'sent', sent = NOW(3) WHERE id = %s", mail.number)

    def clear_up(self, lives: Callable[[str], bool], forced: Collection[str]) -> None:
        """Take over what runs that no longer live have left; `forced` are those that were ended by force."""
        statement = "SELECT DISTINCT run, state FROM mails WHERE state IN ('rendering', 'sending')"
        for run, state in self._ask(statement):
            if not lives(run):
                then = "unsure" if state == "sending" else "aside" if run in forced else "queued"
                self._change("UPDATE mails SET state = %s WHERE run = %s AND state = %s", then, run, state)
