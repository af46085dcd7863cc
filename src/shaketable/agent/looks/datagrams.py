"""What passes between targets, from their own viewpoint: datagrams one way, and connections.

A datagram goes from a socket in one target's network namespace to a socket in another's, so each direction is seen by
itself, with its delay (both ends read the same monotonic clock) and its loss. Nothing of the targets takes part.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

from shaketable.agent.kernel import KernelError
from shaketable.agent.namespaces import socket_in

_BODY: Final = struct.Struct("!16sHHd")
_MAX_DATAGRAMS: Final = 20_000


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"ends": {name: {"netns", "pid", "ip"}}, "pairs": [[from, to]], "count", "every", "wait", "size"}.

    Each pair gets `count` datagrams of `size` bytes, one every `every` seconds; `wait` seconds after the last one counts
    the rest as lost. Answers {"pairs": {"a>b": {"sent", "received", "refused", "delays": [seconds], "first", "last"}}},
    the last two when the first and last one came.
    """
    count, every, wait = int(look.get("count", 5)), float(look.get("every", 0.005)), float(look.get("wait", 0.1))
    padding = b"\0" * max(0, int(look.get("size", 64)) - _BODY.size)
    pairs = [(a, b) for a, b in look["pairs"]]
    if count * len(pairs) > _MAX_DATAGRAMS:
        raise KernelError(f"{count} datagrams for {len(pairs)} pairs are more than {_MAX_DATAGRAMS}")
    with contextlib.ExitStack() as stack:
        sockets = {}
        for name in sorted({name for pair in pairs for name in pair}):
            end = look["ends"][name]
            sockets[name] = stack.enter_context(socket_in(end["netns"], socket.SOCK_DGRAM, end.get("pid", 0)))
            sockets[name].setblocking(False)
            sockets[name].bind((end["ip"], 0))
        exchange = _Exchange(pairs, sockets, {name: look["ends"][name]["ip"] for name in sockets})
        begin = time.monotonic()
        for turn in range(count):
            exchange.send(turn, padding)
            exchange.receive(begin + (turn + 1) * every)
        exchange.receive(time.monotonic() + wait)
    return {"pairs": {f"{a}>{b}": row for (a, b), row in exchange.found.items()}}


class _Exchange:
    """Datagrams under way; `found` has what became of those of each pair."""

    def __init__(
        self, pairs: list[tuple[str, str]], sockets: Mapping[str, socket.socket], ips: Mapping[str, str]
    ) -> None:
        self.found: dict[tuple[str, str], dict[str, Any]] = {
            pair: {"sent": 0, "received": 0, "refused": 0, "delays": []} for pair in pairs
        }
        self._pairs, self._sockets, self._ips = pairs, sockets, ips
        self._by_descriptor = {sock.fileno(): (name, sock) for name, sock in sockets.items()}
        self._ports = {name: sock.getsockname()[1] for name, sock in sockets.items()}
        self._nonce = secrets.token_bytes(16)

    def send(self, turn: int, padding: bytes) -> None:
        """One datagram for each pair."""
        for number, (a, b) in enumerate(self._pairs):
            row = self.found[a, b]
            row["sent"] += 1
            try:
                body = _BODY.pack(self._nonce, number, turn, time.monotonic()) + padding
                self._sockets[a].sendto(body, (self._ips[b], self._ports[b]))
            except OSError as error:
                row["refused"] += error.errno in (errno.EPERM, errno.ECONNREFUSED)

    def receive(self, until: float) -> None:
        """Take what arrives until a moment."""
        while (left := until - time.monotonic()) > 0:
            if all(row["received"] == row["sent"] for row in self.found.values()):
                time.sleep(left)
                return
            for descriptor in select.select(list(self._by_descriptor), [], [], left)[0]:
                self._take(*self._by_descriptor[descriptor])

    def _take(self, name: str, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data = sock.recv(65535)
            now = time.monotonic()
            mark, number, _, sent = _BODY.unpack_from(data)
            if mark == self._nonce and self._pairs[number][1] == name:
                row = self.found[self._pairs[number]]
                row["received"] += 1
                row["delays"].append(round(now - sent, 6))
                row["last"] = now
                row.setdefault("first", now)


def see_connects(look: dict[str, Any]) -> dict[str, Any]:
    """{"ends": {...}, "tries": [[from, to, port]], "wait"}: a TCP connection for each try, all at once.

    Answers {"tries": {"a>b:port": {"outcome": "answered" | "refused" | "silent" | "unreachable", "seconds"}}}.
    """
    wait = float(look.get("wait", 0.3))
    found: dict[str, dict[str, Any]] = {}
    open_: dict[int, tuple[str, socket.socket, float]] = {}
    poll = select.poll()
    with contextlib.ExitStack() as stack:
        for a, b, port in look["tries"]:
            end = look["ends"][a]
            sock = stack.enter_context(socket_in(end["netns"], socket.SOCK_STREAM, end.get("pid", 0)))
            sock.setblocking(False)
            name, began = f"{a}>{b}:{port}", time.monotonic()
            error = sock.connect_ex((look["ends"][b]["ip"], int(port)))
            if error == errno.EINPROGRESS:
                open_[sock.fileno()] = (name, sock, began)
                poll.register(sock, select.POLLOUT)
            else:
                found[name] = {"outcome": _outcome(error), "seconds": 0.0}
        deadline = time.monotonic() + wait
        while open_ and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                name, sock, began = open_.pop(descriptor)
                poll.unregister(descriptor)
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                found[name] = {"outcome": _outcome(error), "seconds": round(time.monotonic() - began, 6)}
        for name, _, began in open_.values():
            found[name] = {"outcome": "silent", "seconds": round(time.monotonic() - began, 6)}
    return {"tries": found}


def _outcome(error: int) -> str:
    if error == 0:
        return "answered"
    if error in (errno.ECONNREFUSED, errno.ECONNRESET):
        return "refused"
    return "silent" if error in (errno.ETIMEDOUT, errno.EPERM) else "unreachable"
