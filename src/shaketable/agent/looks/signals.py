"""Who sends which signal to whom, and whom the kernel ends for want of memory, by its own tracepoints.

They are heard by perf_event_open(2) in a ring of memory for each CPU; nothing in the kernel is changed, and nothing is
left when this process ends. Ids are those of the machine's first pid namespace, moments CLOCK_MONOTONIC seconds.
Sources: perf_event_open(2), kernel Documentation/trace/{events,tracepoints}.rst, include/trace/events/{signal,oom}.h.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from shaketable.agent.kernel import KernelError

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PERF_EVENT_OPEN: Final = {"x86_64": 298, "aarch64": 241}
_TRACEPOINT: Final = 2
_SAMPLE_TID, _SAMPLE_TIME, _SAMPLE_RAW = 0x2, 0x4, 0x400
_USE_CLOCKID: Final = 1 << 25
_CLOCK_MONOTONIC: Final = 1
_FD_CLOEXEC: Final = 8
_SET_FILTER, _SET_OUTPUT = 0x40082406, 0x2405
_LOST, _SAMPLE = 2, 9
_PAGE: Final = mmap.PAGESIZE
_PAGES: Final = 32
"""Pages of a ring, a power of two: well over a thousand signals on a CPU before the first of them is read."""
_HEAD, _TAIL = 1024, 1032
"""Where the first page of a ring says up to where the kernel has written, and up to where we have read."""
_ATTR: Final = struct.Struct("=IIQQQQQIIQQQQIiQIHH")

GENERATE, VICTIM = "signal/signal_generate", "oom/mark_victim"
_HARMLESS: Final = (
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
"""What ends nobody, and is sent a lot."""
BY_KERNEL: Final = 128
"""SI_KERNEL of sigaction(2)."""
_IGNORED: Final = 1
"""TRACE_SIGNAL_IGNORED: the process does not hear it."""
_FORMATS: Final = f"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(failed, what):
    if failed:
        sys.exit(f"{{what}}: {{os.strerror(ctypes.get_errno())}}")
must(libc.unshare(0x00020000), "no mount namespace of its own")  # CLONE_NEWNS
must(libc.mount(b"none", b"/", None, 0x4000 | 0x40000, None), "no private mounts")  # MS_REC | MS_PRIVATE
must(libc.mount(b"tracefs", b"/mnt", b"tracefs", 0, None), "no tracefs")
for name in {(GENERATE, VICTIM)!r}:
    with open(f"/mnt/events/{{name}}/format") as text:
        print(text.read())
"""
"""Reads what the tracepoints are called by number, in mounts that end with this process."""


_NO_TIMER: Final = f"(sig != {int(signal.SIGALRM)} || code != {BY_KERNEL})"
"""A process's own interval timer, which databases use many times a second: who is ended by one needs no other proof."""


class Format(NamedTuple):
    """A tracepoint's number, and where its fields are: offset and size by name."""

    number: int
    fields: Mapping[str, tuple[int, int]]

    def read(self, raw: bytes, name: str) -> int:
        """Give a field that is a whole number. Raises KernelError for one that the record does not have."""
        offset, size = self.fields.get(name, (0, 0))
        if not size or offset + size > len(raw):
            raise KernelError(f"the kernel's tracepoint {self.number} has no field {name}")
        return int.from_bytes(raw[offset : offset + size], sys.byteorder, signed=True)


class Sent(NamedTuple):
    """A signal was sent."""

    at: float
    sender: int
    """Process that ran when it was sent; of a timer that is whoever was interrupted."""
    thread: int
    target: int
    """The process, or the thread of one."""
    number: int
    code: int
    """As si_code of sigaction(2): 0 and below by a process or its timer, 128 by the kernel."""


class Marked(NamedTuple):
    """The kernel's OOM killer chose a process, in the name of the thread that wanted memory."""

    at: float
    thread: int
    target: int


class Lost(NamedTuple):
    """So many were not told, as the ring was full."""

    number: int


Record = Sent | Marked | Lost


def formats(text: str) -> dict[str, Format]:
    """Read `format` files of tracefs, one behind the other: each by its tracepoint's own name."""
    found = {}
    for part in re.split(r"(?m)^(?=\s*name: )", text):
        name, number = re.search(r"name: (\w+)", part), re.search(r"(?m)^ID: (\d+)", part)
        fields = re.findall(r"field:[^;]*?(\w+)(?:\[\d*\])?;\s*offset:(\d+);\s*size:(\d+);", part)
        if name and number:
            found[name[1]] = Format(int(number[1]), {field: (int(at), int(size)) for field, at, size in fields})
    return found


def known_formats() -> dict[str, Format]:
    """Ask the kernel for the two. Raises KernelError."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _FORMATS], capture_output=True, text=True, check=False, timeout=5
    )
    found = formats(done.stdout)
    if lacking := [name for name in (GENERATE, VICTIM) if name.partition("/")[2] not in found]:
        why = (done.stderr.strip().splitlines() or ["it has none"])[-1]
        raise KernelError(f"the kernel's tracepoints {' and '.join(lacking)} cannot be read: {why}")
    return found


def records(data: bytes, generate: Format, victim: Format) -> Iterator[Record]:
    """Read records of a ring, as many as are whole."""
    at = 0
    while at + 8 <= len(data):
        kind, _, size = struct.unpack_from("=IHH", data, at)
        if size < 8 or at + size > len(data):
            return
        if kind == _LOST and size >= 24:
            yield Lost(struct.unpack_from("=Q", data, at + 16)[0])
        elif kind == _SAMPLE and size >= 28:
            pid, tid, ns, length = struct.unpack_from("=iiQI", data, at + 8)
            raw = data[at + 28 : at + 28 + length]
            number = int.from_bytes(raw[:2], sys.byteorder)
            if number == victim.number:
                yield Marked(ns / 1e9, tid, victim.read(raw, "pid"))
            elif number == generate.number:
                sig, code, target = (generate.read(raw, name) for name in ("sig", "code", "pid"))
                yield Sent(ns / 1e9, pid, tid, target, sig, code)
        at += size


def attributes(number: int) -> bytes:
    """Give a perf_event_attr that samples each pass of a tracepoint: who, when, and the tracepoint's own record."""
    kind = _SAMPLE_TID | _SAMPLE_TIME | _SAMPLE_RAW
    return _ATTR.pack(
        *(_TRACEPOINT, _ATTR.size, number, 1, kind, 0, _USE_CLOCKID, 1),  # each record wakes who waits for it
        *(0, 0, 0, 0, 0, 0, _CLOCK_MONOTONIC, 0, 0, 0, 0),
    )


class _Ring:
    """What one CPU tells."""

    def __init__(self, cpu: int, generate: Format, victim: Format) -> None:
        self.generate = _open(generate.number, cpu)
        self._victim = -1
        try:
            # What ends nobody never comes here, nor what nobody hears.
            wanted = " && ".join(
                [*(f"sig != {int(number)}" for number in _HARMLESS), f"result != {_IGNORED}", _NO_TIMER]
            )
            _control(self.generate, _SET_FILTER, ctypes.c_char_p(wanted.encode()))
            self._map = mmap.mmap(self.generate, (1 + _PAGES) * _PAGE)
            self._victim = _open(victim.number, cpu)
            _control(self._victim, _SET_OUTPUT, ctypes.c_long(self.generate))
        except OSError as error:
            self.close()
            raise KernelError(f"the kernel's tracepoints cannot be heard: {error.strerror}") from error
        self._head = ctypes.c_uint64.from_buffer(self._map, _HEAD)
        self._tail = ctypes.c_uint64.from_buffer(self._map, _TAIL)

    def take(self) -> bytes:
        """Whatever was written since the last time."""
        head, tail = self._head.value, self._tail.value
        if head == tail:
            return b""
        size = _PAGES * _PAGE
        first, last = tail % size, head % size
        ring = self._map
        ends = [(first, last)] if first < last else [(first, size), (0, last)]
        data = b"".join(ring[_PAGE + begin : _PAGE + end] for begin, end in ends)
        self._tail.value = head
        return data

    def close(self) -> None:
        for descriptor in (self.generate, self._victim):
            if descriptor >= 0:
                os.close(descriptor)


def _open(number: int, cpu: int) -> int:
    call = _PERF_EVENT_OPEN.get(platform.machine())
    if call is None:
        raise KernelError(f"tracepoints are not heard on {platform.machine()}")
    attribute = ctypes.create_string_buffer(attributes(number), _ATTR.size)
    descriptor = _LIBC.syscall(call, attribute, -1, cpu, -1, ctypes.c_ulong(_FD_CLOEXEC))
    if descriptor < 0:
        raise KernelError(f"the kernel's tracepoints cannot be heard: {os.strerror(ctypes.get_errno())}")
    return int(descriptor)


def _control(descriptor: int, what: int, argument: ctypes.c_char_p | ctypes.c_long) -> None:
    if _LIBC.ioctl(descriptor, ctypes.c_ulong(what), argument) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def cpus(text: str) -> list[int]:
    """Read a list of CPUs, as `0-3,5`."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            found += range(int(first), int(last or first) + 1)
    return found


class Signals:
    """Signals and victims on the whole machine, from now on. Raises KernelError when they cannot be heard."""

    def __init__(self) -> None:
        found = known_formats()
        self._generate, self._victim = (found[name.partition("/")[2]] for name in (GENERATE, VICTIM))
        self._rings: list[_Ring] = []
        try:
            for cpu in cpus(Path("/sys/devices/system/cpu/online").read_text()):
                self._rings.append(_Ring(cpu, self._generate, self._victim))
        except (KernelError, OSError):
            self.close()
            raise

    def filenos(self) -> list[int]:
        """To wait for."""
        return [ring.generate for ring in self._rings]

    def records(self) -> list[Record]:
        """Whatever there is by now, in order of time."""
        found: list[Record] = []
        for ring in self._rings:
            found += records(ring.take(), self._generate, self._victim)
        lost = [one for one in found if isinstance(one, Lost)]
        timed = sorted((one for one in found if not isinstance(one, Lost)), key=lambda one: one.at)
        return [*lost, *timed]

    def close(self) -> None:
        """Hear no more."""
        for ring in self._rings:
            ring.close()
        self._rings.clear()
