"""Network namespaces of targets: enter one for a moment from a thread, and find one again whose first process is gone.

A namespace is named by the inode it had when the target was resolved, and every entry compares it with that and with
the engine host's own, which is never entered. Sources: setns(2), network_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shaketable.agent import kernel
from shaketable.agent.kernel import KernelError, own_netns

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def open_netns(inode: int, pid: int = 0) -> int | None:
    """Give a descriptor of the network namespace with this inode; None when no process lives in it any more.

    `pid` is where to look first; a namespace that outlives it is found by any other process that is in it.
    """
    first = [f"/proc/{pid}/ns/net"] if pid else []
    for entry in [*first, *(f"/proc/{other}/ns/net" for other in _pids())]:
        with contextlib.suppress(OSError):
            descriptor = os.open(entry, os.O_RDONLY | os.O_CLOEXEC)
            if os.fstat(descriptor).st_ino == inode:
                return descriptor
            os.close(descriptor)
    return None


@contextlib.contextmanager
def inside(inode: int, pid: int = 0) -> Iterator[None]:
    """Put this thread into a target's network namespace for a block. Raises KernelError when it is gone, or the host's.

    A socket made inside stays in that namespace wherever it is used afterwards, and a process started inside lives there.
    """
    if inode == own_netns():
        raise KernelError("this is the engine host's own network; it is never entered")
    there = open_netns(inode, pid)
    if there is None:
        raise KernelError(f"the network namespace {inode} is gone")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(there)
        os.close(home)


@contextlib.contextmanager
def beside(inode: int, pid: int = 0) -> Iterator[None]:
    """As `inside`, for what lies outside a target: 0 stands for the engine host's own namespace, where this thread is."""
    if not inode:
        yield
        return
    with inside(inode, pid):
        yield


def link_is_up(name: str, index: int, netns: int, via: int) -> bool | None:
    """As kernel.link_is_up, for a link beside a target; None also when the namespace that it was in is gone."""
    try:
        with beside(netns, via):
            return kernel.link_is_up(name, index)
    except KernelError:
        return None


def socket_in(inode: int, kind: int, pid: int = 0, *, family: int = socket.AF_INET) -> socket.socket:
    """Make a socket that belongs to a target's network namespace. Raises KernelError."""
    with inside(inode, pid):
        return socket.socket(family, kind | socket.SOCK_CLOEXEC)


def processes_in(inode: int) -> list[int]:
    """Ids of the processes in a network namespace."""
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/ns/net").stat().st_ino == inode:
                found.append(pid)
    return found


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
