"""A loop for one thread: descriptors that became ready, then parts whose time has come. Nothing in it blocks."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

READ: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITE: Final = select.EPOLLOUT
_GATHER: Final = 0.0007
"""Seconds to wait after several parts have asked something, so that their answers are taken in one round, not in many:
it saves a tenth of the CPU time."""


class Part(Protocol):
    """Something with a schedule: `tick` is called soon after `due`, and moves it on."""

    due: float

    def tick(self, now: float) -> None:
        """Do what is due at `now` (monotonic seconds)."""


class Loop:
    """Holds the descriptors and parts; `run_once` does one round."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, mask: int, call: Callable[[int], None]) -> None:
        """Call `call(events)` whenever the descriptor is ready; a descriptor watched already is watched anew."""
        if descriptor in self._calls:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
        self._calls[descriptor] = call

    def forget(self, descriptor: int) -> None:
        """Stop watching; to be called before the descriptor is closed. Harmless if it is not watched."""
        if self._calls.pop(descriptor, None) is not None:
            with contextlib.suppress(OSError):
                self._epoll.unregister(descriptor)

    def run_once(self) -> None:
        """Wait until something is ready or due, and do it.

        Answers that have arrived come before ticks: a program that was itself held up must not take what waits in
        its own sockets for silence.
        """
        wait = min((part.due for part in self.parts), default=1e9) - time.monotonic()
        for descriptor, events in self._epoll.poll(min(max(wait, 0.0), 1.0)):
            call = self._calls.get(descriptor)
            if call is not None:  # an earlier call of this round may have closed it
                call(events)
        now = time.monotonic()
        due = [part for part in self.parts if part.due <= now]
        for part in due:
            part.tick(now)
        if len(due) > 1:
            time.sleep(_GATHER)


class Resolver:
    """Looks names up in threads of their own, for a lookup may hang for many seconds; answers inside the loop."""

    def __init__(self, loop: Loop) -> None:
        self._done: deque[tuple[Callable[[tuple[str, int] | str], None], tuple[str, int] | str]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        loop.watch(self._wake, select.EPOLLIN, self._answer)

    def ask(self, host: str, port: int, call: Callable[[tuple[str, int] | str], None]) -> None:
        """Look `host` up; `call` gets an IPv4 address and port, or the reason why there is none."""
        threading.Thread(target=self._look_up, args=(host, port, call), daemon=True).start()

    def _look_up(self, host: str, port: int, call: Callable[[tuple[str, int] | str], None]) -> None:
        try:
            answer: tuple[str, int] | str = (socket.gethostbyname(host), port)
        except (OSError, UnicodeError) as error:
            answer = f"its name cannot be resolved ({error.strerror if isinstance(error, OSError) else error})"
        self._done.append((call, answer))
        os.eventfd_write(self._wake, 1)

    def _answer(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._done:
            call, answer = self._done.popleft()
            call(answer)


def be_punctual() -> None:
    """Ask for as little scheduling delay as this process may have, and keep the garbage collector out of the way.

    Whatever is not permitted or not known here is left as it is. The short time slice needs no permission: since
    Linux 6.12 the scheduler lets a process with a shorter slice in first when both want to run.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    number = {"x86_64": 314, "aarch64": 274}.get(platform.machine())
    if number is None:
        return
    with contextlib.suppress(OSError):
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        slice_ns = 100_000
        # struct sched_attr: size, policy (normal), flags, nice, priority, runtime (the slice), deadline, period
        attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, nice, 0, slice_ns, 0, 0)
        ctypes.CDLL(None, use_errno=True).syscall(number, 0, attributes, 0)
