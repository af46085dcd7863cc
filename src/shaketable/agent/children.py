"""Child processes of the agent that hold a fault for as long as they live: a busy loop, a queue of packets, a session.

A child dies with the agent (PR_SET_PDEATHSIG) and with its target (the agent watches the target's first process), so
nothing it holds can outlive either. It runs a function of one of our modules in a fork of the agent, after it has been
put where the step says. Sources: prctl(2), pidfd_open(2), cgroups(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.namespaces import inside

Ready = Callable[..., None]
"""What a child calls once, with what it has to say, when the fault is in effect."""
Program = Callable[[dict[str, Any], Ready], None]

READY_LIMIT: Final = 8.0
"""Seconds a child has until it says that it is ready."""
_PR_SET_PDEATHSIG: Final = 1
_LEAVE: Final = 0.4
"""Seconds a child has to leave after SIGTERM."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child; `start` is its start time in clock ticks."""

    pid: int
    start: int
    target: int
    """Pid of the target's first process, 0 for none; the child ends with it."""
    said: dict[str, Any]


def join_cgroups(target: int) -> None:
    """Move this process into every cgroup of another. Raises KernelError."""
    try:
        lines = Path(f"/proc/{target}/cgroup").read_text().splitlines()
    except OSError as error:
        raise kernel.KernelError(f"process {target} is gone") from error
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # v1 mounts some controllers together, under either order of their names; v2 has one tree and no name.
        folder = next(
            (
                kernel.CGROUPS / name
                for name in (controllers.removeprefix("name="), *controllers.split(","))
                if name and (kernel.CGROUPS / name).is_dir()
            ),
            kernel.CGROUPS,
        )
        try:
            (folder / path.lstrip("/") / "cgroup.procs").write_text(str(os.getpid()))
        except OSError as error:
            if controllers and not controllers.startswith("name="):
                raise kernel.KernelError(
                    f"cannot join the {controllers} cgroup of {target}: {error.strerror}"
                ) from error


def forked() -> int:
    """Fork a process that dies with this one: its pid here, 0 in it."""
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
    return pid


def spawn(program: Program, request: dict[str, Any], *, limit: float = READY_LIMIT) -> Child:
    """Fork a child that runs `program(request, ready)`; return when it is ready. Raises KernelError with its reason.

    Of the request, `netns` (an inode, with `pid` beside it) is entered first, and `cgroups: true` moves the child into
    the cgroups of `pid`. With `outlives: true` it does not end with that process. Must be called from the agent's main
    thread, whose end would otherwise end the child.
    """
    parent = os.getpid()
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _run(program, request, writing, parent)  # does not return
    os.close(writing)
    try:
        said = _await_ready(reading, limit)
    except kernel.KernelError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(reading)
    return Child(pid, kernel.started(pid), 0 if request.get("outlives") else int(request.get("pid", 0)), said)


def _run(program: Program, request: dict[str, Any], writing: int, parent: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(nothing, 1)  # the agent's own answers must stay whole

        def ready(**said: Any) -> None:
            os.write(writing, json.dumps(said).encode() + b"\n")

        with contextlib.ExitStack() as stack:
            if request.get("netns"):
                stack.enter_context(inside(request["netns"], request.get("pid", 0)))
            if request.get("cgroups"):
                join_cgroups(request["pid"])
            program(request, ready)
        code = 0
    except kernel.KernelError as error:
        _tell(writing, str(error))
    except BaseException as error:
        traceback.print_exc(file=sys.stderr)
        _tell(writing, f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def _tell(writing: int, error: str) -> None:
    with contextlib.suppress(OSError):
        os.write(writing, json.dumps({"error": error}).encode() + b"\n")


def _await_ready(reading: int, limit: float) -> dict[str, Any]:
    deadline = time.monotonic() + limit
    text = b""
    while not text.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            raise kernel.KernelError(f"not in effect after {limit:g} s")
        data = os.read(reading, 65536)
        if not data:
            raise kernel.KernelError("the process that was to hold the fault has ended")
        text += data
    said: dict[str, Any] = json.loads(text)
    if "error" in said:
        raise kernel.KernelError(said["error"])
    return said


def end(child: Child) -> bool:
    """End a child, by SIGTERM and then SIGKILL, and reap it. True when it is gone; harmless if it was."""
    for number, limit in ((signal.SIGTERM, _LEAVE), (signal.SIGKILL, 2.0)):
        if not kernel.signal_pid(child.pid, child.start, number):
            break
        if _reaped(child.pid, limit):
            return True
    return _reaped(child.pid, 0.5)


def _reaped(pid: int, limit: float) -> bool:
    deadline = time.monotonic() + limit
    while True:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return True
        except ChildProcessError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)


class Watcher:
    """Kills children whose target has ended, the moment it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._poll = select.poll()
        self._of: dict[int, Child] = {}
        self._wake, self._woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll.register(self._wake, select.POLLIN)
        self._thread: threading.Thread | None = None

    def watch(self, children: Sequence[Child]) -> None:
        """End these with their targets."""
        with self._lock:
            for child in children:
                if not child.target:
                    continue
                try:
                    handle = os.pidfd_open(child.target)
                except OSError:  # it is gone already
                    kernel.signal_pid(child.pid, child.start, signal.SIGKILL)
                    continue
                self._of[handle] = child
                self._poll.register(handle, select.POLLIN)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="watcher", daemon=True)
                self._thread.start()
        with contextlib.suppress(OSError):
            os.write(self._woken, b"x")

    def forget(self, children: Sequence[Child]) -> None:
        """These have ended."""
        with self._lock:
            for handle in [h for h, watched in self._of.items() if watched in children]:
                del self._of[handle]
                self._poll.unregister(handle)
                os.close(handle)

    def _serve(self) -> None:
        while True:
            for handle, _ in self._poll.poll():
                if handle == self._wake:
                    with contextlib.suppress(OSError):
                        os.read(self._wake, 4096)
                    continue
                with self._lock:
                    child = self._of.pop(handle, None)
                    if child is None:
                        continue  # forgotten meanwhile
                    self._poll.unregister(handle)
                    os.close(handle)
                kernel.signal_pid(child.pid, child.start, signal.SIGKILL)
