"""The kernel's process connector: who forked, ran another program, took another name, and ended with which status, as it happens.

Ids are those of the machine's first pid namespace; moments are CLOCK_MONOTONIC seconds. Sources: kernel
Documentation/driver-api/connector.rst, include/uapi/linux/{connector,cn_proc}.h, netlink(7).
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from shaketable.agent.kernel import KernelError

_NETLINK_CONNECTOR: Final = 11
_CN_PROC: Final = 1
"""Both the index and the value of the connector's id, and its multicast group."""
_LISTEN: Final = 1
_DONE: Final = 3
_RCVBUFFORCE: Final = 33
"""SO_RCVBUFFORCE of socket(7), for which Python has no name."""
_NETLINK: Final = struct.Struct("=IHHII")
_CONNECTOR: Final = struct.Struct("=IIIIHH")
_HEAD: Final = struct.Struct("=IIQ")
"""What happened, on which CPU, when in nanoseconds; behind the netlink's and the connector's own headers."""
_AT: Final = _NETLINK.size + _CONNECTOR.size
_DATA: Final = _AT + _HEAD.size
_SIX: Final = struct.Struct("=IIIIII")

NONE, FORK, EXEC, COMM, EXIT = 0, 1, 2, 0x200, 0x80000000
_ANSWER: Final = 2.0
"""Seconds the kernel has to say that it will tell."""
_ROOM: Final = 8 << 20
"""Bytes of messages that may wait: some ten thousand processes' lives."""


class Fork(NamedTuple):
    """A process (`pid` is `tgid`) or another thread of one began."""

    at: float
    parent: int
    """Thread group of the parent."""
    pid: int
    tgid: int


class Exec(NamedTuple):
    """A process runs another program from now on."""

    at: float
    tgid: int


class Comm(NamedTuple):
    """A process calls itself something else from now on."""

    at: float
    tgid: int
    command: str


class Exit(NamedTuple):
    """A thread ended, with a status as of wait(2)."""

    at: float
    pid: int
    tgid: int
    status: int


class Answer(NamedTuple):
    """The kernel tells from now on; or why not, an errno."""

    error: int


Event = Fork | Exec | Comm | Exit | Answer


def parse(message: bytes) -> Event | None:
    """One message; None for what is not wanted, or is no whole message of the process connector."""
    if len(message) < _DATA + _SIX.size or _CONNECTOR.unpack_from(message, _NETLINK.size)[:2] != (_CN_PROC, _CN_PROC):
        return None
    what, _, ns = _HEAD.unpack_from(message, _AT)
    one, two, three, four, *_ = _SIX.unpack_from(message, _DATA)
    if what == EXIT:
        return Exit(ns / 1e9, one, two, three)
    if what == FORK:
        return Fork(ns / 1e9, two, three, four)
    if what == EXEC:
        return Exec(ns / 1e9, two)
    if what == COMM and one == two:  # of its first thread: the others' names are their own
        return Comm(ns / 1e9, two, message[_DATA + 8 : _DATA + 24].partition(b"\0")[0].decode(errors="replace"))
    return Answer(one) if what == NONE else None


def request(*events: int) -> bytes:
    """Ask to be told of these events alone (kernels from 6.6 on), or of all."""
    mask = 0
    for event in events:
        mask |= event
    data = struct.pack("=II", _LISTEN, mask) if events else struct.pack("=I", _LISTEN)
    body = _CONNECTOR.pack(_CN_PROC, _CN_PROC, 0, 0, len(data), 0) + data
    return _NETLINK.pack(_NETLINK.size + len(body), _DONE, 0, 0, os.getpid()) + body


class Exits:
    """Forks, programs, names and ends of all processes of the machine, from now on. Raises KernelError when it is not told."""

    def __init__(self) -> None:
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, _NETLINK_CONNECTOR)
            with contextlib.suppress(OSError):  # without CAP_NET_ADMIN the machine's usual room has to do
                self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _ROOM)
            self._socket.bind((0, _CN_PROC))
            self._socket.setblocking(False)
            self._socket.send(request())
        except OSError as error:
            raise KernelError(f"the kernel does not tell of ended processes: {error.strerror}") from error
        self._await_answer()
        # A kernel that cannot choose passes over this, and tells of all.
        self._socket.send(request(FORK, EXEC, COMM, EXIT))

    def _await_answer(self) -> None:
        deadline = time.monotonic() + _ANSWER
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._socket], [], [], left)
            for event in self.events():
                if isinstance(event, Answer):
                    if event.error:
                        raise KernelError(f"the kernel does not tell of ended processes: {os.strerror(event.error)}")
                    return
        raise KernelError(
            "the kernel does not tell of ended processes: it has no process connector (CONFIG_PROC_EVENTS), or the engine "
            "does not run in the machine's first process namespace"
        )

    def fileno(self) -> int:
        """To wait for."""
        return self._socket.fileno()

    def events(self) -> Iterator[Event]:
        """Whatever there is by now. Raises KernelError when some were lost."""
        while True:
            try:
                message = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    raise KernelError("ends of processes were lost: more began and ended than could be read") from error
                raise
            if (event := parse(message)) is not None:
                yield event

    def close(self) -> None:
        """Hear no more."""
        self._socket.close()
