"""Starts the runs: one for each call, and by its own schedule. It lives long, so it keeps what runs leave for later ones.

After `RECYCLE` runs it leaves, once none is under way, and another worker takes its place. On SIGTERM it ends its runs,
those that render at once and those that send after their mail, and leaves. After a run that was ended by force it starts
none for `PAUSE` seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import runs
import sender
from guard import FORCED, OUT_OF_MEMORY

RELEASE = Path("/var/lib/mailer/release")
"""The installed release: a link to its folder."""
STATE = Path("/tmp/worker")
"""Process id and release of the worker that works."""
PAUSE = 3.0
_LONGEST = 1 << 20
GUARDED = os.environ["GUARD"] == "on"
SCHEDULE, RECYCLE = float(os.environ["SCHEDULE"]), int(os.environ["RECYCLE"])


def work(wakes: socket.socket) -> int:
    """Work until replaced; the exit code."""
    runs.call_this("mailer-worker")
    folder = RELEASE.resolve()
    sys.path.insert(0, str(folder))
    worker = _Worker(wakes, importlib.import_module("renderer"), folder.name)
    STATE.with_suffix(".new").write_text(f"{os.getpid()} {folder.name}", encoding="ascii")
    STATE.with_suffix(".new").replace(STATE)
    return worker.work()


class _Worker:
    def __init__(self, wakes: socket.socket, renderer: Any, release: str) -> None:
        self._wakes, self._renderer, self._release = wakes, renderer, release
        self._kept: dict[str, str] = {}
        self._forced: set[str] = set()
        self._runs: dict[int, tuple[str, socket.socket]] = {}
        """Of each process: the run's name, and where it says what it leaves."""
        self._owing = False
        """Whether the next run has yet to learn that one was ended by force."""
        self._started = 0
        self._calm_from = self._due = time.monotonic()
        self._stopping = False
        self._selector = selectors.DefaultSelector()

    def work(self) -> int:
        signals, inward = socket.socketpair()
        inward.setblocking(False)
        signal.set_wakeup_fd(inward.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        self._selector.register(signals, selectors.EVENT_READ, lambda: signals.recv(100))
        self._selector.register(self._wakes, selectors.EVENT_READ, self._woken)
        self._end_helpers()  # of a worker that is gone
        while self._runs or not (self._stopping or self._used_up()):
            for key, _ in self._selector.select(self._patience()):
                key.data()
            self._reap()
            if SCHEDULE and not self._stopping and time.monotonic() >= self._due:
                self._due = max(self._due + SCHEDULE, time.monotonic())
                self._start()
        self._end_helpers()
        return 0

    def _patience(self) -> float | None:
        return max(0.0, self._due - time.monotonic()) if SCHEDULE and not self._stopping else None

    def _used_up(self) -> bool:
        return bool(RECYCLE) and self._started >= RECYCLE and not self._owing

    def _stop(self, *_: object) -> None:
        self._stopping = True
        with suppress(KeyError):
            self._selector.unregister(self._wakes)  # the next worker's
        for pid in self._runs:
            os.kill(pid, signal.SIGTERM)

    def _woken(self) -> None:
        with suppress(BlockingIOError):  # another worker had it
            self._wakes.recv(1)
            self._start()

    def _start(self) -> None:
        """Start a run. As corrected none beside another, none in a pause, and none while this worker waits to be replaced."""
        if self._stopping or (GUARDED and (self._runs or self._used_up() or time.monotonic() < self._calm_from)):
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            pid = os.fork()
            if pid == 0:
                self._be_run(theirs)
        except BlockingIOError:
            print(f"{sender.NAME}: no room for another process", flush=True)
            ours.close()
            return
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self._started += 1
        ours.setblocking(False)
        self._runs[pid] = runs.named(pid), ours
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._take(ours))
        if self._stopping:  # since the look at it above
            os.kill(pid, signal.SIGTERM)

    def _be_run(self, worker: socket.socket) -> None:
        """What the new process does; never returns."""
        code = 0
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            os.setsid()
            runs.call_this("sender")
            first = self._started == 0
            code = sender.run(
                sender.Orders(self._renderer, self._release, self._kept, self._forced, GUARDED, first), worker
            )
        except Exception as error:
            print(f"{sender.NAME}: sender: {type(error).__name__}: {error}", flush=True)
        finally:
            os._exit(code)

    def _take(self, channel: socket.socket) -> bool:
        """Take one thing that a run leaves; whether there was one."""
        with suppress(BlockingIOError, KeyError):
            if text := channel.recv(_LONGEST):
                key, value = json.loads(text)
                self._renderer.keep(self._kept, {key: value})
                return True
            self._selector.unregister(channel)  # it says no more
        return False

    def _reap(self) -> None:
        """See which runs have ended, and how."""
        for pid in list(self._runs):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                name, channel = self._runs.pop(pid)
                while self._take(channel):
                    pass
                with suppress(KeyError):
                    self._selector.unregister(channel)
                channel.close()
                self._judge(pid, name, os.waitstatus_to_exitcode(status))

    def _judge(self, pid: int, name: str, code: int) -> None:
        if code == OUT_OF_MEMORY or -code in FORCED:
            why = "out of memory" if code == OUT_OF_MEMORY else signal.Signals(-code).name
            print(f"{sender.NAME}: run {pid} was ended by force: {why}", flush=True)
            self._forced.add(name)
            self._owing = GUARDED
            if GUARDED:
                self._calm_from = time.monotonic() + PAUSE
        else:
            self._owing = False
        if GUARDED:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _end_helpers(self) -> None:
        """End helpers whose run is gone, as nobody will ever ask them."""
        for pid, session in runs.helpers():
            if not runs.is_there(session):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
