"""Pairs of database sessions that take two rows in opposite orders, again and again, so that the server meets deadlocks.

Nothing is written: the rows are locked as by SELECT FOR UPDATE, and each round ends with a rollback. A round waits for
what the server says and for nothing else, so how long a deadlock lasts is the server's own doing.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from shaketable.agent.changes import clients
from shaketable.agent.children import READY_LIMIT, Ready
from shaketable.agent.kernel import KernelError

_FIRST: Final = READY_LIMIT - 1.0
"""Seconds until the server has to have found a deadlock."""
_MEET: Final = 0.25
"""Seconds in which two sessions that take a row each have usually got it."""
_FOUND: Final = ("deadlock detected", "Deadlock found")
_BEGIN: Final = {"postgresql": "BEGIN;\n", "mariadb": "START TRANSACTION;\n"}


class _Session:
    """One session; what it was asked is done when its marker has come."""

    def __init__(self, request: dict[str, Any], name: str, number: int) -> None:
        self._name, self._said = name, ""
        self._client: subprocess.Popen[str] = clients.session({**request, "goes_on": True}, name, number)
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        assert self._client.stderr is not None
        self._input, self._output, self._errors = self._client.stdin, self._client.stdout, self._client.stderr
        os.set_blocking(self._errors.fileno(), False)

    def ask(self, statements: str) -> None:
        """Say it, and do not wait."""
        try:
            self._input.write(statements + clients.marker(self._name))
            self._input.flush()
        except BrokenPipeError as error:
            raise KernelError(f"a session of ours has ended: {self.complaints()}") from error

    def done(self, limit: float | None = None) -> bool:
        """Wait until the oldest of what it was asked is done, for `limit` seconds at most. Raises KernelError."""
        deadline = None if limit is None else time.monotonic() + limit
        while clients.READY not in self._said:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._output], [], [], left)[0]:
                return False
            piece = os.read(self._output.fileno(), 4096).decode(errors="replace")
            if not piece:
                raise KernelError(f"a session of ours has ended: {self.complaints()}")
            self._said += piece
        self._said = self._said.partition(clients.READY)[2]
        return True

    def complaints(self) -> str:
        """What it has written about errors and nobody has read yet."""
        try:
            return os.read(self._errors.fileno(), 65536).decode(errors="replace").strip()
        except BlockingIOError:
            return ""


def deadlocks(request: dict[str, Any], ready: Ready) -> None:
    """Hold `count` sessions, in pairs that meet in deadlocks; ready when the server has found the first one.

    {"count": even number, "mark", "sql": {dialect: how a session begins}, "table", "rows": [condition, condition] or [],
    "keys": {dialect: statements that answer the two conditions}, "every": seconds, **member.step}. Raises KernelError.
    """
    name = clients.dialect(request)
    rows = request["rows"] or clients.patiently(request, request["keys"][name]).splitlines()
    if len(rows) < 2:
        what = f"the table {request['table']} of {request['member']}"
        raise KernelError(f"{what} has not two rows with a primary key; name two rows by `one` and `other`")
    sessions = [_Session(request, name, number) for number in range(request["count"])]
    storm = _Storm(request["table"], name, rows[:2], request["every"])
    for pair in zip(sessions[::2], sessions[1::2], strict=True):
        threading.Thread(target=storm.rounds, args=(pair,), daemon=True).start()
    deadline = time.monotonic() + _FIRST
    while not storm.found.wait(0.02):
        if storm.ended.is_set() or time.monotonic() > deadline:
            why = f"; it says: {storm.said[:200]}" if storm.said else ""
            raise KernelError(f"{request['member']} found no deadlock within {_FIRST:g} s{why}")
    ready(rows=list(storm.rows))
    storm.ended.wait()


class _Storm:
    """What all pairs share."""

    def __init__(self, table: str, name: str, rows: Sequence[str], every: float) -> None:
        self._table, self._begin, self.rows, self._every = table, _BEGIN[name], rows, every
        self.found, self.ended = threading.Event(), threading.Event()
        self.said = ""
        """The latest complaint."""

    def rounds(self, pair: Sequence[_Session]) -> None:
        """Again and again, until a session of the pair is no more."""
        try:
            while True:
                for complaint in self._round(pair):
                    self.said = complaint or self.said
                    if any(words in complaint for words in _FOUND):
                        self.found.set()
                time.sleep(self._every)
        except KernelError as error:
            self.said = str(error)
        finally:
            self.ended.set()

    def _round(self, pair: Sequence[_Session]) -> list[str]:
        """Each takes its row, then wants the other's; what the server complained of."""
        for session, row in zip(pair, self.rows, strict=True):
            session.ask(f"{self._begin}SELECT 1 FROM {self._table} WHERE {row} FOR UPDATE;\n")
        # Somebody else may hold a row, and in turn want the one that is held here. It is the server that must see that, so
        # one does not wait for the other for long before it goes on.
        began = time.monotonic()
        still = [session for session in pair if not session.done(max(0.0, began + _MEET - time.monotonic()))]
        for session, row in zip(pair, reversed(self.rows), strict=True):
            session.ask(f"SELECT 1 FROM {self._table} WHERE {row} FOR UPDATE;\nROLLBACK;\n")
        for session in (*still, *pair):
            session.done()
        return [session.complaints() for session in pair]
