"""What a target's network lets in and answers, tried from a peer's: a crowd of connections, and HTTP requests."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from typing import Any, Final

from shaketable.agent.namespaces import socket_in

_AT_ONCE: Final = 5


def see_crowd(look: dict[str, Any]) -> dict[str, Any]:
    """{"end": {...}, "ip", "port", "count", "wait"}: so many connections at once from one end, all held until the last.

    Answers {"answered", "refused", "silent"}: how many.
    """
    found = {"answered": 0, "refused": 0, "silent": 0}
    poll = select.poll()
    waiting: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(int(look["count"])):
            sock = stack.enter_context(socket_in(look["end"]["netns"], socket.SOCK_STREAM, look["end"].get("pid", 0)))
            sock.setblocking(False)
            code = sock.connect_ex((look["ip"], int(look["port"])))
            if code == errno.EINPROGRESS:
                waiting[sock.fileno()] = sock
                poll.register(sock, select.POLLOUT)
            else:
                found["answered" if code == 0 else "refused"] += 1
        deadline = time.monotonic() + float(look["wait"])
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                sock = waiting.pop(descriptor)
                poll.unregister(descriptor)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                found["answered" if code == 0 else "refused"] += 1
        found["silent"] = len(waiting)
    return dict(found)


def see_http(look: dict[str, Any]) -> dict[str, Any]:
    """{"end", "ip", "port", "path", "count", "wait"}: so many GETs from one end, each on a connection of its own.

    Answers {"outcomes": {status or "silent" or "refused": number}, "seconds": [of each that was answered]}.
    """
    outcomes: dict[str, int] = {}
    seconds: list[float] = []
    left = int(look["count"])
    while left > 0:
        for outcome, took in _volley(look, min(_AT_ONCE, left)):
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
            if outcome.isdigit():
                seconds.append(round(took, 6))
        left -= _AT_ONCE
    return {"outcomes": outcomes, "seconds": seconds}


def _volley(look: dict[str, Any], count: int) -> list[tuple[str, float]]:
    """A few requests at once: what became of each, and after how long."""
    ask = f"GET {look['path']} HTTP/1.1\r\nHost: {look['ip']}:{look['port']}\r\nConnection: close\r\n\r\n".encode()
    found: list[tuple[str, float]] = []
    poll, open_ = select.poll(), dict[int, tuple[socket.socket, float]]()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            sock = stack.enter_context(socket_in(look["end"]["netns"], socket.SOCK_STREAM, look["end"].get("pid", 0)))
            sock.setblocking(False)
            sock.connect_ex((look["ip"], int(look["port"])))
            open_[sock.fileno()] = (sock, time.monotonic())
            poll.register(sock, select.POLLOUT)
        deadline = time.monotonic() + float(look["wait"])
        while open_ and (left := deadline - time.monotonic()) > 0:
            for descriptor, events in poll.poll(left * 1000):
                sock, began = open_[descriptor]
                try:
                    if events & select.POLLOUT:
                        sock.sendall(ask)
                        poll.modify(sock, select.POLLIN)
                        continue
                    line = sock.recv(4096)
                except OSError:
                    line = b""
                poll.unregister(descriptor)
                del open_[descriptor]
                words = line[:64].split(b" ")
                status = (
                    words[1].decode("ascii", "replace") if line.startswith(b"HTTP/") and len(words) > 1 else "refused"
                )
                found.append((status, time.monotonic() - began))
    return found + [("silent", 0.0)] * len(open_)
