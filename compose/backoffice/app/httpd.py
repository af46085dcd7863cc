"""A small HTTP/1.1 server on epoll for services that must start in milliseconds. One thread, keep-alive, GET only."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable

Handler = Callable[[str], "str | None"]
"""From path to body (JSON), or None where there is nothing at that path."""

_LONGEST_REQUEST = 16_384


class Server:
    """Serves `handler` on a TCP port of every address until SIGTERM, or for ever where signals are not ours."""

    def __init__(self, port: int, handler: Handler) -> None:
        self._handler = handler
        self._listener = socket.create_server(("", port), backlog=128)
        self._listener.setblocking(False)
        self._connections: dict[int, socket.socket] = {}
        self._unread: dict[int, bytes] = {}

    def run_until_sigterm(self) -> None:
        """Serve as the first process of a container: the default of SIGTERM there is to do nothing."""
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self.run(until_readable=wake)

    def run(self, until_readable: int = -1) -> None:
        """Serve until something can be read from this file descriptor."""
        poll = select.epoll()
        poll.register(self._listener, select.EPOLLIN)
        if until_readable >= 0:
            poll.register(until_readable, select.EPOLLIN)
        while True:
            for number, _ in poll.poll():
                if number == until_readable:
                    return
                if number == self._listener.fileno():
                    self._accept(poll)
                elif not self._serve(number):
                    self._connections.pop(number).close()
                    self._unread.pop(number, None)

    def _accept(self, poll: select.epoll) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connection.fileno()] = connection
            poll.register(connection, select.EPOLLIN)

    def _serve(self, number: int) -> bool:
        """Answer what has arrived on a connection; False when it is finished."""
        connection = self._connections[number]
        try:
            data = connection.recv(_LONGEST_REQUEST)
            if not data:
                return False
            *requests, rest = (self._unread.pop(number, b"") + data).split(b"\r\n\r\n")
            if rest:
                self._unread[number] = rest
            keep = len(rest) < _LONGEST_REQUEST
            for request in requests:
                line = request.split(b"\r\n", 1)[0].decode("latin-1")
                keep = keep and line.endswith("HTTP/1.1")
                connection.sendall(self._answer(line, keep=keep))
        except OSError:
            return False
        return keep

    def _answer(self, line: str, *, keep: bool) -> bytes:
        method, _, path = line.rpartition(" ")[0].partition(" ")
        body = self._handler(path) if method == "GET" else None
        status = "200 OK" if body is not None else "404 Not Found"
        text = body if body is not None else '{"error": "there is nothing here"}'
        close = "" if keep else "Connection: close\r\n"
        return (
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text.encode())}\r\n{close}\r\n{text}"
        ).encode()
