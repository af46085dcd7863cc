"""The wall clock of one instance, moved: the code that tells a process the time is replaced in that process's memory.

A process asks the kernel's vDSO, code that the kernel maps into every process; a write to it stays in that one process
(copy on write). The replacement makes the real system call and adds the offset for CLOCK_REALTIME and its coarse
sibling, to nothing else. What makes the system call by itself, or is started anew (execve), sees the true time.
Sources: vdso(7), clock_gettime(2), proc(5) (mem, syscall), ELF specification (dynamic symbols), x86-64 psABI.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.kernel import KernelError, started

_BILLION: Final = 1_000_000_000
_ATTEMPTS: Final = 50
_FROZEN: Final = 1.0
"""Seconds a cgroup has to be frozen."""


def able() -> str:
    """Why this machine cannot move a clock; empty when it can."""
    if platform.machine() != "x86_64":
        return f"the replaced code is for x86-64, not for {platform.machine()}"
    try:
        symbols(own())
    except KernelError as error:
        return str(error)
    return ""


def region(pid: int | str) -> tuple[int, int] | None:
    """Where a process has its vDSO: first address, and the one after the last; None when it has none."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if line.endswith("[vdso]"):
                first, _, last = line.split()[0].partition("-")
                return int(first, 16), int(last, 16)
    return None


def image(pid: int | str) -> bytes:
    """Content of a process's vDSO. Raises KernelError."""
    where = region(pid)
    if where is None:
        raise KernelError(f"process {pid} has no vDSO")
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, where[1] - where[0], where[0])
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelError(f"the vDSO of process {pid} cannot be read: {error.strerror}") from error


def own() -> bytes:
    """The kernel's own vDSO, as this very process has it."""
    return image("self")


_WANTED: Final = ("clock_gettime", "gettimeofday", "time")


def symbols(content: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of the functions that tell the time, by name without `__vdso_`. Raises KernelError."""
    try:
        return _symbols(content)
    except (struct.error, IndexError, ValueError) as error:
        raise KernelError("the vDSO is none that could be read") from error


def _symbols(content: bytes) -> dict[str, tuple[int, int]]:
    if content[:4] != b"\x7fELF":
        raise ValueError("no ELF")
    (table,), (size, count) = struct.unpack_from("<Q", content, 0x28), struct.unpack_from("<HH", content, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", content, table + n * size) for n in range(count)]
    found = {}
    for _, kind, _, _, place, length, link, _, _, each in sections:
        if kind != 11:  # SHT_DYNSYM
            continue
        names = sections[link][4]
        for at in range(place, place + length, each):
            name, _, _, _, value, extent = struct.unpack_from("<IBBHQQ", content, at)
            text = content[names + name : content.index(b"\0", names + name)].decode()
            if text.removeprefix("__vdso_") in _WANTED:
                found[text.removeprefix("__vdso_")] = (value, extent)
    if missing := set(_WANTED) - set(found):
        raise ValueError(f"no {missing}")
    return found


def _shifted(offset_ns: int) -> dict[str, bytes]:
    """Machine code for x86-64 that tells the time `offset_ns` away from the true one."""
    seconds, rest = divmod(offset_ns, _BILLION)
    add = struct.pack("<q", seconds)
    clock_gettime = (
        b"\xb8\xe4\x00\x00\x00\x0f\x05"  # mov eax, 228 (clock_gettime); syscall
        b"\x85\xc0\x75\x38"  # test eax, eax; jnz end
        b"\x85\xff\x74\x05"  # test edi, edi (CLOCK_REALTIME); jz add
        b"\x83\xff\x05\x75\x2f"  # cmp edi, 5 (CLOCK_REALTIME_COARSE); jne end
        b"\x48\xb9"
        + add  # mov rcx, seconds
        + b"\x48\x01\x0e"  # add [rsi], rcx
        b"\x48\x8b\x4e\x08"  # mov rcx, [rsi+8]
        b"\x48\x81\xc1"
        + struct.pack("<i", rest)  # add rcx, nanoseconds
        + b"\x48\x81\xf9"
        + struct.pack("<i", _BILLION)  # cmp rcx, 10^9
        + b"\x7c\x0a"  # jl store
        b"\x48\x81\xe9"
        + struct.pack("<i", _BILLION)  # sub rcx, 10^9
        + b"\x48\xff\x06"  # inc qword [rsi]
        b"\x48\x89\x4e\x08"  # store: mov [rsi+8], rcx
        b"\xc3"  # end: ret
    )
    gettimeofday = (
        b"\xb8\x60\x00\x00\x00\x0f\x05"  # mov eax, 96 (gettimeofday); syscall
        b"\x48\x85\xff\x74\x2f"  # test rdi, rdi; jz end
        b"\x48\xb9" + add + b"\x48\x01\x0f"  # add [rdi], seconds
        b"\x48\x8b\x4f\x08"  # mov rcx, [rdi+8]
        b"\x48\x81\xc1" + struct.pack("<i", rest // 1000) + b"\x48\x81\xf9" + struct.pack("<i", 1_000_000) + b"\x7c\x0a"
        b"\x48\x81\xe9" + struct.pack("<i", 1_000_000) + b"\x48\xff\x07"
        b"\x48\x89\x4f\x08"
        b"\xc3"
    )
    seconds_only = (
        b"\xb8\xc9\x00\x00\x00\x0f\x05"  # mov eax, 201 (time); syscall
        b"\x48\xb9" + add + b"\x48\x01\xc8"  # add rax, seconds
        b"\x48\x85\xff\x74\x03"  # test rdi, rdi; jz end
        b"\x48\x89\x07"  # mov [rdi], rax
        b"\xc3"
    )
    return {"clock_gettime": clock_gettime, "gettimeofday": gettimeofday, "time": seconds_only}


def skew(step: dict[str, Any]) -> None:
    """{"offset_ns": nanoseconds, **member.step}: move the clock of every process that is there now. Raises KernelError."""
    if started(step["pid"]) != step["start"]:
        raise KernelError(f"{step['member']} has ended since it was resolved")
    _replace(step, _shifted(int(step["offset_ns"])))


def unskew(step: dict[str, Any]) -> None:
    """{**member.step}: give every process of the container the kernel's own code again; harmless when they have it."""
    true = own()
    if all(_same(pid, true) for pid in kernel.processes(step["cgroup"])):
        return
    _replace(step, {name: true[at : at + size] for name, (at, size) in symbols(true).items()})


def _same(pid: int, true: bytes) -> bool:
    """Whether a process has the kernel's own code; so it is, too, for one that is gone, or has none."""
    try:
        return image(pid) == true
    except KernelError:
        return True


def _replace(step: dict[str, Any], code: dict[str, bytes]) -> None:
    """Write code over the functions, in every process, while none of their threads is within them."""
    places = symbols(own())
    if too_long := [name for name, text in code.items() if len(text) > places[name][1]]:
        raise KernelError(f"this kernel's {' and '.join(too_long)} leave no room for other code")
    for _ in range(_ATTEMPTS):
        with _still(step["cgroup"], step["member"]):
            pids = kernel.processes(step["cgroup"])
            if not any(map(_within, pids)):
                for pid in pids:
                    _write(pid, {places[name][0]: text for name, text in code.items()})
                return
        time.sleep(0.001)  # let it leave
    raise KernelError(f"{step['member']} asks for the time without a pause, so that its clock could not be changed")


@contextlib.contextmanager
def _still(cgroup: str, member: str) -> Iterator[None]:
    """Freeze a container for a moment, unless it is frozen already: then it stays so."""
    held = not kernel.thawed(cgroup)
    try:
        if not held:
            kernel.freeze(cgroup)
        deadline = time.monotonic() + _FROZEN
        while not kernel.frozen(cgroup):
            if time.monotonic() > deadline:
                raise KernelError(f"{member} could not be held still to change its clock")
            time.sleep(0.0005)
        yield
    finally:
        if not held:
            kernel.thaw(cgroup)


def _within(pid: int) -> bool:
    """Whether a thread of a frozen process is in its vDSO."""
    where = region(pid)
    if where is None:
        return False
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            last = (task / "syscall").read_text().split()[-1]
            if last == "running" or where[0] <= int(last, 16) < where[1]:
                return True
    return False


def _write(pid: int, pieces: dict[int, bytes]) -> None:
    where = region(pid)
    if where is None:
        return
    try:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            for at, text in pieces.items():
                os.pwrite(descriptor, text, where[0] + at)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        return
    except OSError as error:
        raise KernelError(f"the clock of process {pid} cannot be changed: {error.strerror}") from error
