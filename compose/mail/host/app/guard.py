"""The program's own limits on the rendering of a mail, all of them the kernel's to enforce.

While a run renders it has sent nothing of the mail, so it may be ended: by SIGALRM after `WALL` seconds, by SIGXCPU after
`CPU` seconds of work, by a MemoryError after `MEMORY` bytes, and by SIGTERM when another release is installed. At every
other time none of these ends it. A signal ends the process either before it has left `rendering` or not at all.
"""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WALL = 2.5
CPU = 2
MEMORY = 20 << 20
OUT_OF_MEMORY = 3
"""Exit code of a run that has used up its memory."""
FORCED = (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL)
"""Signals that end a run by force: the last one is the kernel's, when the container's or the server's memory is used up."""


class Guard:
    """One run's. `on` is whether the limits are set; SIGTERM ends a rendering in any case."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self.stopped = False
        """Whether the run was asked to end."""
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self.stopped = True

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """The block may be ended by force."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.stopped:  # between the last look at it and the line above
            os._exit(0)
        if self._on:
            signal.setitimer(signal.ITIMER_REAL, WALL)
            used = resource.getrusage(resource.RUSAGE_SELF)
            _limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + CPU)
            _limit(resource.RLIMIT_AS, _size() + MEMORY)
        try:
            yield
        finally:
            if self._on:
                signal.setitimer(signal.ITIMER_REAL, 0)
                _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)
                _limit(resource.RLIMIT_AS, resource.RLIM_INFINITY)
            signal.signal(signal.SIGTERM, self._stop)


def _limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _size() -> int:
    """Bytes of address space that this process has: proc(5), statm."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
