"""The observer: every holder is read on its own schedule over a connection that is kept, by one thread.

Driven by JSON lines on stdin; exits when stdin closes. It changes nothing at any holder. A look is on record when its
answer has arrived and been compared with the one before; a gap is the time between two such moments, and one that is
still open when a beat is due counts in that beat.
"""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

from shaketable.agent.loop import READ, WRITE, Loop, Resolver, be_punctual
from shaketable.agent.probe import Prober
from shaketable.agent.wire import ReaderGoneError, Splitter, Writer
from shaketable.observers import BadHolderError, Reader, ReadError, make_reader

ANSWER_LIMIT: Final = 0.25
"""Seconds after which a look without an answer counts as failed."""
_RETRY: Final = 0.02
_RECEIVE: Final = 16384
"""Bytes taken at once: more than most answers, and little enough that memory for it costs no system call."""
_BEAT: Final = 0.2
_CPU: Final = 1.0
_COMPLAIN: Final = 5.0
"""Seconds a holder is unreadable before a person is told; during a fault it may well be for a while."""


class Watch:
    """One holder: its connection, what it last said, and how closely it was watched since the last beat."""

    def __init__(
        self,
        name: str,
        at: str,
        reader: Reader,
        lists: tuple[str, ...],
        every: float,
        *,
        loop: Loop,
        resolver: Resolver,
        out: Writer,
        now: float,
    ) -> None:
        self.name = name
        self.due = now
        self._at = at
        self._reader = reader
        self._every = every
        self._loop = loop
        self._resolver = resolver
        self._out = out
        self._state: Literal["closed", "resolving", "connecting", "idle", "asked"] = "closed"
        self._socket: socket.socket | None = None
        self._received = b""
        self._answered = False
        """Whether this connection has answered before."""
        self._skip = 0
        """Answers to drop before the next look's own: that of the reader's opening."""
        self._body: bytes | None = None
        self._known: dict[str, tuple[str, ...] | None] | None = None
        self._list_names = lists
        self._next_look = self._began = now
        self._looks = 0
        self._last_look = now
        self._max_gap = 0.0
        self._complained: set[str] = set()
        self._unread_since: float | None = None

    def tick(self, now: float) -> None:
        """Send what is due, or give up on what did not come."""
        if self._state == "idle":
            self._ask(now)
        elif self._state == "closed":
            self._open(now)
        elif self._state == "resolving":
            self._unreadable(now, "its name is not resolved within 250 ms")
            self.due = math.inf  # the lookup will answer some day, and is not asked a second time meanwhile
        else:
            self._fail(now, "it gave no answer within 250 ms")

    def beat(self, now: float) -> None:
        """Report how closely the holder was watched since the last beat."""
        gap = max(self._max_gap, now - self._last_look)
        self._out.put({"beat": [round(now, 6), self.name, self._looks, round(gap, 6)]})
        self._looks = 0
        self._max_gap = 0.0

    def _open(self, now: float) -> None:
        self._state = "resolving"
        self.due = now + ANSWER_LIMIT
        host, _, port = self._at.rpartition(":")
        self._resolver.ask(host, int(port), self._resolved)

    def _resolved(self, answer: tuple[str, int] | str) -> None:
        now = time.monotonic()
        if isinstance(answer, str):
            self._fail(now, answer)
            return
        self._state = "connecting"
        self.due = now + ANSWER_LIMIT
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        code = connection.connect_ex(answer)
        if code not in (0, errno.EINPROGRESS):
            self._fail(now, f"connecting failed: {os.strerror(code)}")
            return
        self._loop.watch(connection.fileno(), WRITE, self._connected)

    def _connected(self, _: int) -> None:
        assert self._socket is not None
        now = time.monotonic()
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(now, f"connecting failed: {os.strerror(code)}")
            return
        self._loop.watch(self._socket.fileno(), READ, self._readable)
        self._received = b""
        self._answered = False
        self._skip = 1 if self._reader.opening else 0
        self._next_look = now - math.fmod(now - self._began, self._every)
        self._ask(now, self._reader.opening)

    def _ask(self, now: float, before: bytes = b"") -> None:
        assert self._socket is not None
        self._state = "asked"
        self.due = now + ANSWER_LIMIT
        question = before + self._reader.request
        try:
            sent = self._socket.send(question)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lost(now, f"the connection broke: {error.strerror}")
            return
        if sent < len(question):
            self._fail(now, "it takes no more requests")

    def _readable(self, _: int) -> None:
        assert self._socket is not None
        now = time.monotonic()
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(now, f"the connection broke: {error.strerror}")
            return
        try:
            self._hear(now, data)
        except ReadError as error:
            why = f"it {error}"
            self._counted(now)  # a holder that says it has no list was looked at; one that is silent was not
            self._complain(why)
            self._fail(now, why)
            return
        if not data and self._socket is not None:
            self._lost(now, "it closed the connection")

    def _hear(self, now: float, data: bytes) -> None:
        """Take what arrived (nothing: the holder closed the connection). Raises ReadError."""
        received = self._received + data if self._received else data
        while (found := self._reader.take(received, ended=not data)) is not None:
            if self._state != "asked":
                raise ReadError("spoke without being asked")
            body, size = found
            received = received[size:]
            if self._skip:
                self._skip -= 1
                continue
            self._looked(now, body)
        self._received = received

    def _looked(self, now: float, body: bytes) -> None:
        """Record a complete look, and what it changed. Raises ReadError."""
        if body != self._body:
            self._changed(now, self._reader.parse(body))
            self._body = body
        self._counted(now)
        self._unread_since = None
        self._answered = True
        self._state = "idle"
        self._next_look += self._every
        if self._next_look <= now:  # late: look at once, and stay on the grid that all holders share
            self._next_look = now - math.fmod(now - self._next_look, self._every)
        self.due = self._next_look

    def _counted(self, now: float) -> None:
        self._max_gap = max(self._max_gap, now - self._last_look)
        self._last_look = now
        self._looks += 1

    def _changed(self, now: float, lists: Mapping[str, tuple[str, ...] | None]) -> None:
        known = self._known or {}
        for name, entries in lists.items():
            if name not in known or known[name] != entries:
                self._out.put({"look": [round(now, 6), self.name, name, entries]})
        self._known = dict(lists)

    def _lost(self, now: float, why: str) -> None:
        """Go on without the connection.

        A holder may close a connection that it answered on, just as the next request leaves; then a new one is made,
        and if the holder is dead, that one fails at once. Closed in an answer, or without any, the look has failed.
        """
        if self._state == "idle" or (self._state == "asked" and self._answered and not self._received):
            self._close()
            self._state = "closed"
            self.due = now
        else:
            self._fail(now, why)

    def _fail(self, now: float, why: str) -> None:
        """Record a failed look, and begin again with a new connection a little later."""
        self._unreadable(now, why)
        self._close()
        self._state = "closed"
        self.due = now + _RETRY

    def _unreadable(self, now: float, why: str) -> None:
        """Record that the holder's lists are unknown, until a look succeeds."""
        self._changed(now, dict.fromkeys(self._list_names))
        self._body = None
        if self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > _COMPLAIN:
            self._complain(why)

    def _close(self) -> None:
        if self._socket is not None:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _complain(self, why: str) -> None:
        """Tell a person, once for each reason."""
        if why not in self._complained and len(self._complained) < 20:
            self._complained.add(why)
            self._out.put({"error": f"{self.name} at {self._at} could not be read: {why}"})


class Observer:
    """All holders, the prober, and the lines in and out."""

    def __init__(self, request: Mapping[str, Any], out: Writer) -> None:
        """Make a watch of each holder. Raises BadHolderError naming the holder."""
        self.due = time.monotonic()
        self.loop = Loop()
        self._out = out
        self._next_beat = self.due + _BEAT
        self._next_cpu = self.due + _CPU
        resolver = Resolver(self.loop)
        self._watches = []
        for name, holder in request["holders"].items():
            lists, gauges = holder["lists"], holder.get("gauges") or {}
            try:
                reader = make_reader(holder["kind"], holder["at"], lists, holder.get("path") or "/", gauges)
            except BadHolderError as error:
                raise BadHolderError(f"{name}: {error}") from None
            every = holder.get("every") or request["every"]
            self._watches.append(
                Watch(
                    name,
                    holder["at"],
                    reader,
                    (*lists, *gauges),
                    every,
                    loop=self.loop,
                    resolver=resolver,
                    out=out,
                    now=self.due,
                )
            )
        self._prober = Prober(self.loop, out)
        self.loop.parts += [*self._watches, self._prober, self]

    def tick(self, now: float) -> None:
        """Beats and CPU use, on the grid of their own periods."""
        if now >= self._next_beat:
            for watch in self._watches:
                watch.beat(now)
            self._next_beat = now + _BEAT - math.fmod(now - self._next_beat, _BEAT)
        if now >= self._next_cpu:
            self._out.put({"cpu": [round(now, 6), round(time.process_time(), 6)]})
            self._next_cpu = now + _CPU - math.fmod(now - self._next_cpu, _CPU)
        self.due = min(self._next_beat, self._next_cpu)

    def hear(self, line: bytes) -> None:
        """Carry out one request of the harness."""
        request = json.loads(line)
        if "probe" in request:
            for target, addresses in request["probe"].items():
                self._prober.begin(target, [(str(ip), int(port)) for ip, port in addresses])
        elif "unprobe" in request:
            self._prober.end(request["unprobe"])
        else:
            self._out.put({"error": f"the observer knows no request {', '.join(request)}"})


def run(descriptor: int, out: Writer) -> int:
    """Observe until the descriptor closes or nobody reads any more; answer the exit code."""
    splitter = Splitter()
    first: list[bytes] = []
    while not first:
        data = os.read(descriptor, 65536)
        if not data:
            return 0
        first = splitter.feed(data)
    try:
        observer = Observer(json.loads(first[0]), out)
    except BadHolderError as error:
        out.emit({"error": f"the observer cannot start: {error}"})
        return 2
    open_ = True

    def readable(_: int) -> None:
        nonlocal open_
        data = os.read(descriptor, 65536)
        open_ = bool(data)
        for line in splitter.feed(data):
            observer.hear(line)

    for line in first[1:]:
        observer.hear(line)
    observer.loop.watch(descriptor, READ, readable)
    be_punctual()
    try:
        while open_:
            observer.loop.run_once()
            out.flush()
    except ReaderGoneError:
        pass
    return 0


def main() -> None:
    """Observe as the lines on stdin say, and exit when it closes."""
    os.set_blocking(1, False)
    code = run(0, Writer(1))
    sys.stdout.flush()
    os._exit(code)  # a lookup that hangs in its thread must not hold the exit up


if __name__ == "__main__":
    main()
