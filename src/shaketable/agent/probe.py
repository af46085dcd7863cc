"""The witness's view as a peer: one connection held idle to each address, and a new one tried every 50 ms."""

from __future__ import annotations

import errno
import math
import os
import socket
import time
from collections.abc import Sequence
from typing import Final, Literal

from shaketable.agent.loop import READ, WRITE, Loop
from shaketable.agent.wire import Writer

Connect = Literal["answered", "refused", "silent", "unreachable"]
Held = Literal["open", "eof", "reset", "none"]

EVERY: Final = 0.05
"""Seconds between the beginnings of two tries."""
LIMIT: Final = 0.15
"""Seconds after which a try without an answer is silent."""
_REPORT: Final = 0.1 - EVERY / 2
"""Seconds between two reports of the same; reports are made when tries begin, so this is every second time."""

_MEANING: Final[dict[int, Connect]] = {
    0: "answered",
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "refused",
    errno.ETIMEDOUT: "silent",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
}


class Address:
    """One address of a target: its held connection, the tries under way, and what they last showed."""

    def __init__(self, target: str, ip: str, port: int, loop: Loop, out: Writer) -> None:
        self._target = target
        self._peer = (ip, port)
        self._loop = loop
        self._out = out
        self._connect: Connect | None = None
        self._known_from = 0.0
        """When the try began that `_connect` is about: a try that began earlier has nothing to add."""
        self._tries: dict[socket.socket, float] = {}
        self._held: Held = "none"
        self._held_socket: socket.socket | None = None
        self._next_report = 0.0
        self._hold()

    def _new_socket(self) -> tuple[socket.socket, int]:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        return connection, connection.connect_ex(self._peer)

    def _hold(self) -> None:
        """Open the connection that is then left idle; what ends it is its last state."""
        connection, code = self._new_socket()
        if code not in (0, errno.EINPROGRESS):
            connection.close()
            return
        self._held_socket = connection

        def connected(_: int) -> None:
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._drop_held()
                return
            self._loop.watch(connection.fileno(), READ, readable)
            self._set_held("open")

        def readable(_: int) -> None:
            try:
                ended = not connection.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                self._drop_held()
                self._set_held("reset")
                return
            if ended:
                self._drop_held()
                self._set_held("eof")

        self._loop.watch(connection.fileno(), WRITE, connected)

    def _drop_held(self) -> None:
        if self._held_socket is not None:
            self._loop.forget(self._held_socket.fileno())
            self._held_socket.close()
            self._held_socket = None

    def _set_held(self, held: Held) -> None:
        if held != self._held:
            self._held = held
            self._report(time.monotonic())

    def knock(self, now: float) -> None:
        """Begin a new try."""
        connection, code = self._new_socket()
        self._tries[connection] = now
        if code == errno.EINPROGRESS:
            self._loop.watch(connection.fileno(), WRITE, lambda _: self._answered(connection))
        else:
            self._end(connection, now, code)

    def _answered(self, connection: socket.socket) -> None:
        self._end(connection, time.monotonic(), connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def give_up(self, now: float) -> None:
        """End tries that have had no answer for too long."""
        for connection in [c for c, began in self._tries.items() if now - began >= LIMIT]:
            self._end(connection, now, errno.ETIMEDOUT)

    def _end(self, connection: socket.socket, now: float, code: int) -> None:
        began = self._tries.pop(connection)
        self._loop.forget(connection.fileno())
        connection.close()
        if began < self._known_from:
            return
        self._known_from = began
        meaning = _MEANING.get(code)
        if meaning is None:
            ip, port = self._peer
            self._out.put(
                {"error": f"no connection to {ip}:{port} of {self._target} could be tried: {os.strerror(code)}"}
            )
            return
        if meaning != self._connect:
            self._connect = meaning
            self._report(now)

    def report_if_due(self, now: float) -> None:
        """Say again what is known, now and then."""
        if now >= self._next_report:
            self._report(now)

    def _report(self, now: float) -> None:
        if self._connect is None:
            return  # nothing is known before the first try has ended
        self._next_report = now + _REPORT
        ip, port = self._peer
        self._out.put({"probe": [round(now, 6), self._target, f"{ip}:{port}", self._connect, self._held]})

    def close(self) -> None:
        """Close every connection."""
        self._drop_held()
        for connection in self._tries:
            self._loop.forget(connection.fileno())
            connection.close()
        self._tries.clear()


class Prober:
    """All addresses being witnessed; has nothing to do, and costs nothing, while there are none."""

    def __init__(self, loop: Loop, out: Writer) -> None:
        self.due = math.inf
        self._loop = loop
        self._out = out
        self._addresses: dict[str, list[Address]] = {}
        self._next_knock = 0.0

    def begin(self, target: str, addresses: list[tuple[str, int]]) -> None:
        """Witness a target from now on; what is held to it already is given up first."""
        for address in self._addresses.pop(target, []):
            address.close()
        self._addresses[target] = [Address(target, ip, port, self._loop, self._out) for ip, port in addresses]
        self._next_knock = self.due = time.monotonic()

    def end(self, targets: Sequence[str]) -> None:
        """Witness these targets no more."""
        for target in targets:
            for address in self._addresses.pop(target, []):
                address.close()
        if not self._addresses:
            self.due = math.inf

    def tick(self, now: float) -> None:
        """Begin new tries, end old ones, and report; tries end within one period of their limit's multiple."""
        knock = now >= self._next_knock
        if knock:
            self._next_knock = now + EVERY - math.fmod(now - self._next_knock, EVERY)
        for addresses in self._addresses.values():
            for address in addresses:
                address.give_up(now)
                if knock:
                    address.knock(now)
                address.report_if_due(now)
        self.due = self._next_knock
