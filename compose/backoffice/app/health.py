"""Asks the services of this host how they are: one kept connection to each, all asked at once."""

from __future__ import annotations

import json
import select
import socket
import time

PATIENCE = 0.2
"""Seconds an answer may take."""
_SILENT_ROUNDS = 3
"""A service that accepts connections but does not answer is down after this many rounds; one that is gone is, at once."""


class LocalService:
    """One service of this host. `up`: whether it is to be listed; `load`: what it says of itself, if it does."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.up = False
        self.load: int | None = None
        self._silent = 0
        self._connection: socket.socket | None = None

    def ask(self) -> int:
        """Send the question; the file descriptor on which to wait for the answer, or -1 when nobody is there."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
            self._connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return self._connection.fileno()
        except TimeoutError:
            self.silent()
        except OSError:
            self._gone()
        return -1

    def hear(self) -> None:
        """Take the answer that has arrived."""
        assert self._connection is not None
        try:
            head, _, body = self._connection.recv(4096).partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head)
            self.load = json.loads(body).get("load")
        except (OSError, ValueError):
            self._gone()
        else:
            self.up, self._silent = True, 0

    def silent(self) -> None:
        """Note that no answer came in time."""
        self._silent += 1
        self._drop()
        if self._silent >= _SILENT_ROUNDS:
            self.up = False

    def _gone(self) -> None:
        self.up = False
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def ask_all(services: list[LocalService]) -> None:
    """Bring `up` and `load` of all services up to date, within PATIENCE."""
    waiting = {number: service for service in services if (number := service.ask()) >= 0}
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLIN)
    deadline = time.monotonic() + PATIENCE
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            poll.unregister(number)
            waiting.pop(number).hear()
    for service in waiting.values():
        service.silent()
