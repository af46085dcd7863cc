"""The mailer of one tenant, as the container's first process: its web page, and the worker that starts its runs.

A worker that has left, as after many runs or for another release, is followed by the next. Nothing is left without its
web page: when that ends, all ends, and the engine starts the container again.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable

import runs
import web
import worker

_AGAIN = 0.5
"""Seconds until another process is tried, when there was no room for one or the last one failed."""


class _Mailer:
    def __init__(self) -> None:
        self._children: dict[int, str] = {}
        self._ending = False
        self._wakes, self._calls = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wakes.setblocking(False)
        self._calls.setblocking(False)

    def run(self) -> int:
        """Work until SIGTERM; the exit code."""
        runs.call_this("mailer")
        worker.STATE.unlink(missing_ok=True)  # an earlier life's
        signal.signal(signal.SIGTERM, self._end)
        self._start("web", lambda: web.serve(self._calls))
        self._start("worker", lambda: worker.work(self._wakes))
        code = 0
        while self._children:
            pid, status = os.wait()
            name = self._children.pop(pid, "")  # nothing: an orphan of a worker that is gone
            if name and (status or name == "web") and not self._ending:
                print(f"{web.NAME}: the {name} process ended: {os.waitstatus_to_exitcode(status)}", flush=True)
            if name == "web" and not self._ending:
                code = 1
                self._end()
            elif name == "worker":
                if status:  # it did not leave, it failed: not again and again as fast as it can
                    time.sleep(_AGAIN)
                self._start("worker", lambda: worker.work(self._wakes))
        return code

    def _end(self, *_: object) -> None:
        self._ending = True
        for pid in self._children:
            os.kill(pid, signal.SIGTERM)

    def _start(self, name: str, work: Callable[[], int]) -> None:
        while not self._ending:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            try:
                pid = os.fork()
                if pid == 0:
                    _be(work)
            except BlockingIOError:
                time.sleep(_AGAIN)
            else:
                self._children[pid] = name
                return
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def _be(work: Callable[[], int]) -> None:
    """What a new process does; never returns."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        code = work()
    except Exception as error:
        print(f"{web.NAME}: {type(error).__name__}: {error}", flush=True)
    finally:
        os._exit(code)


if __name__ == "__main__":
    sys.exit(_Mailer().run())
