"""Delay of packets where the kernel has no netem: they wait in an NFQUEUE, and here it is decided when each goes on.

A rule sends them to the queue with `--queue-bypass`: when this process is gone, packets pass as if the rule were not
there. Only their metadata comes to us; the kernel keeps the packets. Sources: kernel include/uapi/linux/netfilter/
nfnetlink_queue.h, netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import random
import select
import signal
import socket
import struct
import time
from typing import Any, Final

from shaketable.agent.children import Ready

_NETFILTER: Final = 12
_PACKET, _VERDICT, _CONFIG = 0x300, 0x301, 0x302
_HEADER: Final = struct.Struct("=IHHII")
_GEN: Final = struct.Struct(">BBH")
_ACCEPT: Final = 1
_SO_RCVBUFFORCE: Final = 33
_MAX_QUEUED: Final = 65535


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


class Queue:
    """One NFQUEUE of the network namespace this process is in."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
        self.socket.bind((0, 0))
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._configure(_attribute(1, struct.pack(">BBH", 1, 0, 0)))  # bind
        metadata = _attribute(2, struct.pack(">IB", 0, 1))
        self._configure(metadata + _attribute(3, struct.pack(">I", _MAX_QUEUED)))
        self.socket.setblocking(False)

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        whole = _GEN.pack(0, 0, self.number) + body
        return _HEADER.pack(_HEADER.size + len(whole), kind, flags, 0, 0) + whole

    def _configure(self, attributes: bytes) -> None:
        self.socket.send(self._message(_CONFIG, 5, attributes))  # a request, to be acknowledged
        answer = self.socket.recv(4096)
        code = struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code:
            raise OSError(-code, f"queue {self.number}: {errno.errorcode.get(-code, code)}")

    def waiting(self) -> list[int]:
        """Ids of the packets that have come in since the last time."""
        found: list[int] = []
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS: more came than fits; what was lost waits no longer
                continue
            place = 0
            while place + _HEADER.size <= len(data):
                length, kind, _, _, _ = _HEADER.unpack_from(data, place)
                if kind == _PACKET:
                    # The packet's header, with its id first, is always the first attribute.
                    found.append(struct.unpack_from(">I", data, place + _HEADER.size + _GEN.size + 4)[0])
                place += max(length + (-length % 4), _HEADER.size)

    def accept(self, packet: int) -> None:
        """Let one go on."""
        verdict = _attribute(2, struct.pack(">II", _ACCEPT, packet))
        with contextlib.suppress(OSError):
            self.socket.send(self._message(_VERDICT, 1, verdict))


def delay(request: dict[str, Any], ready: Ready) -> None:
    """{"queue": number, "delay": seconds or None, "jitter": seconds}: None holds all until SIGTERM, then lets them go."""
    queue = Queue(request["queue"])
    over = False

    def leave(*_: object) -> None:
        nonlocal over
        over = True

    signal.signal(signal.SIGTERM, leave)
    wakeup, woken = socket.socketpair()
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    seconds, jitter, draw = request.get("delay"), float(request.get("jitter") or 0.0), random.Random(0)
    held: list[tuple[float, int]] = []
    ready()
    while not over:
        left = None if not held or seconds is None else max(0.0, held[0][0] - time.monotonic())
        select.select([queue.socket, wakeup], [], [], left)
        now = time.monotonic()
        for packet in queue.waiting():
            due = now + (seconds or 0.0) + (draw.uniform(-jitter, jitter) if jitter else 0.0)
            heapq.heappush(held, (due, packet))
        while seconds is not None and held and held[0][0] <= time.monotonic():
            queue.accept(heapq.heappop(held)[1])
    for _, packet in sorted(held):
        queue.accept(packet)
