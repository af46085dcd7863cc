"""What a database says of its own sessions, asked by its own client in one session that is kept from look to look.

The client runs where the server runs (see agent.changes.clients) and only reads: its session is read-only, waits for no
lock and gives up a statement that takes too long. When the server or its container is gone the session is opened anew,
in whatever is the instance's first process then. Answers come as lines, each with the number of its question, so one
that is late is never taken for the answer to a later question.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.changes import clients
from shaketable.agent.kernel import KernelError, started
from shaketable.agent.looks import mariadb, postgresql
from shaketable.agent.looks.words import MARK, Question, number, texts

LIMIT: Final = 0.2
"""Seconds after which a look without an answer has failed; the answer is waited for in the looks that follow."""
_PATIENCE: Final = 5.0
"""Seconds of silence after which a session is given up for a new one."""
_ASK: Final = {"postgresql": postgresql, "mariadb": mariadb}
_GONE: Final = re.compile(
    r"server closed the connection|terminating connection|connection to server was lost|no connection to the server"
    r"|ERROR 20(02|06|13|55)|Server has gone away|Lost connection",
    re.IGNORECASE,
)
_BEHIND: Final = re.compile(r"\s*Seconds_Behind_Master: (\d+)")
_WRONG: Final = re.compile(r"^(?:psql:\S*\s*)?(?:ERROR|FATAL)[^:]*:\s*(.*)", re.MULTILINE)

Values = dict[str, list[str] | None]


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"holder", "member", "cgroup", "lists": {name: what}, "gauges": {name: what}, "user", ...}: what they are now.

    "cgroup" is the instance's; one in a nested host has that host's and its own "container" id. Answers {"values":
    {name: sorted entries, or of a gauge the text of its number; None while it cannot be read}, "why": {name: words}}.
    Raises KernelError while there is no server that could be asked, or it gives no answer.
    """
    with _LOCK:
        session = _SESSIONS.setdefault(look["holder"], Session(look["holder"]))
    values, why = session.look(look)
    return {"values": values, "why": why}


def close() -> None:
    """End all sessions."""
    with _LOCK:
        for session in _SESSIONS.values():
            session.close()


def first_process(cgroup: str, container: str = "") -> tuple[int, int, str]:
    """Id, start and cgroup of the first process of the life that a container has now. Raises KernelError."""
    for place in _places(cgroup, container):
        if life := kernel.first_process(place):
            return *life, place
    raise KernelError("nothing runs in it")


def _places(cgroup: str, container: str) -> Iterator[str]:
    if not container:
        yield cgroup
        return
    yield f"{cgroup}/docker/{container}"
    yield f"{cgroup}/system.slice/docker-{container}.scope"


@dataclass(slots=True)
class Asked:
    """A question under way: what has been answered of it so far, by name."""

    question: Question
    at: float
    answers: dict[str, str] = field(default_factory=dict)
    wrong: str = ""
    done: bool = False


class Session:
    """One holder's session with its server."""

    def __init__(self, holder: str) -> None:
        self._holder = holder
        self._client: subprocess.Popen[str] | None = None
        self._life = (0, 0)
        self._dialect = ""
        self._number = 0
        self._asked: Asked | None = None
        self._received = b""
        self._refused = b""
        self._prepared: dict[str, str] = {}
        self.identity = ""
        """The server's id of this session, once it has said it."""

    def look(self, look: dict[str, Any]) -> tuple[Values, dict[str, str]]:
        """Values by name, and why those are None that are. Raises KernelError."""
        deadline = time.monotonic() + LIMIT
        if self._client is not None and started(self._life[0]) != self._life[1]:
            self.close()
        if self._client is None:
            self._open(look)
        if self._asked is None:
            self._ask(look, deadline)
        try:
            asked = self._hear(look["member"], deadline)
        except KernelError:
            self.close()
            raise
        if not asked.done:
            if time.monotonic() - asked.at > _PATIENCE:
                self.close()
            raise KernelError(f"the database of {look['member']} did not answer within {LIMIT:g} s")
        self._asked = None
        _ASK[self._dialect].answered(look["cgroup"])
        return self._values(look, asked)

    def _open(self, look: dict[str, Any]) -> None:
        pid, start, cgroup = first_process(look["cgroup"], look.get("container", ""))
        step = {**look, "pid": pid, "start": start, "cgroup": cgroup}
        self._dialect = clients.dialect(step)
        client = clients.open_client(step, MARK, goes_on=True)
        self._client, self._life = client, (pid, start)
        self._asked, self._received, self._refused, self.identity = None, b"", b"", ""
        self._prepared = {}
        for pipe in (client.stdout, client.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        self._write(_ASK[self._dialect].OPENING)

    def close(self) -> None:
        """End the client, and with it the session."""
        client, self._client, self._asked = self._client, None, None
        if client is not None:
            client.kill()
            client.wait()
            for pipe in (client.stdin, client.stdout, client.stderr):
                assert pipe is not None
                with contextlib.suppress(OSError):  # what was not written never will be
                    pipe.close()

    def _ask(self, look: dict[str, Any], deadline: float) -> None:
        dialect = _ASK[self._dialect]
        dialect.rest(look["cgroup"], deadline)
        self._number += 1
        question = Question(self._number, look["lists"], look["gauges"], tuple(self._others(look)))
        self._asked = Asked(question, time.monotonic())
        self._write(dialect.statements(question, self._prepared))

    def _others(self, look: dict[str, Any]) -> Iterator[str]:
        """Ids of our other sessions with the same server: they are nobody's but ours."""
        with _LOCK:
            everybody = list(_SESSIONS.values())
        for session in everybody:
            if session is not self and session.identity and session._life == self._life:
                yield session.identity

    def _write(self, statements: str) -> None:
        assert self._client is not None
        assert self._client.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its words say why
            self._client.stdin.write(statements)
            self._client.stdin.flush()

    def _hear(self, member: str, deadline: float) -> Asked:
        """Take what the client says, until its answer is complete or the time is over. Raises KernelError when it ends."""
        asked, client = self._asked, self._client
        assert asked is not None
        assert client is not None
        assert client.stdout is not None
        assert client.stderr is not None
        poll = select.poll()
        poll.register(client.stdout, select.POLLIN)
        poll.register(client.stderr, select.POLLIN)
        while not asked.done and (left := deadline - time.monotonic()) > 0:
            ended = False
            for descriptor, _ in poll.poll(left * 1000):
                piece = _read(descriptor)
                if descriptor == client.stderr.fileno():
                    self._refused += piece or b""
                elif piece == b"":
                    ended = True
                else:
                    self._received += piece or b""
            self._take(asked)
            words = self._refused.decode(errors="replace")
            if ended or (not asked.done and _GONE.search(words)):
                raise KernelError(_last(words) or f"the client of {member} ended")
        asked.wrong += self._refused.decode(errors="replace")
        self._refused = b""
        return asked

    def _take(self, asked: Asked) -> None:
        """Sort whole lines: `NUMBER NAME VALUE`, and at last `NUMBER`."""
        *whole, self._received = self._received.split(b"\n")
        for line in whole:
            text = line.decode(errors="replace")
            said, _, rest = text.partition(" ")
            if said == "id":
                self.identity = rest.strip()
            elif said == str(asked.question.number):
                name, _, value = rest.partition(" ")
                if name:
                    asked.answers[name] = value
                else:
                    asked.done = True
            elif behind := _BEHIND.match(text):
                asked.answers["lag"] = behind[1]

    def _values(self, look: dict[str, Any], asked: Asked) -> tuple[Values, dict[str, str]]:
        dialect = _ASK[self._dialect]
        words = iter(_WRONG.findall(asked.wrong))
        values: Values = {}
        why: dict[str, str] = {}
        if asked.question.fixed:
            told = asked.answers.get("-")
            found = None if told is None else dialect.read(told, asked.answers)
            if found is None:
                self._prepared = {}  # perhaps it could not even be prepared
            refused = next(words, "it was refused") if found is None else ""
            for name, what in asked.question.fixed.items():
                values[name] = None if found is None else found.get(what)
                if values[name] is None:
                    why[name] = refused or f"this server does not tell {what}"
        for position, name in enumerate(asked.question.own):
            told = asked.answers.get(str(position))
            values[name] = None if told is None else _own(dialect.plain(told), gauge=name in look["gauges"])
            if values[name] is None:
                why[name] = next(words, "it was refused") if told is None else "it gives no number"
        return values, why


def _own(told: str, *, gauge: bool) -> list[str] | None:
    """What a query of the user's came to: sorted entries, or the text of one number."""
    rows = json.loads(told)
    if not gauge:
        return sorted(texts(rows))
    if len(rows) != 1:
        return None
    text = number(rows[0])
    return None if text is None else [text]


def _read(descriptor: int) -> bytes | None:
    """What is there; nothing at its end, None when there is only nothing yet."""
    try:
        return os.read(descriptor, 1 << 16)
    except BlockingIOError:
        return None


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return next((line for line in lines if "FATAL" in line or "ERROR" in line), lines[0] if lines else "")[:300]


_SESSIONS: Final[dict[str, Session]] = {}
_LOCK: Final = threading.Lock()
