"""What time a target's own code says it is: that very code, run by a process that is thrown away."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.changes import clock
from shaketable.agent.kernel import KernelError, started

_RUN: Final = """
import ctypes, mmap, sys, time
at, code = int(sys.argv[1]), sys.stdin.buffer.read()
place = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
place.write(code)
address = ctypes.addressof(ctypes.c_char.from_buffer(place))
ask = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(address + at)
def told(which):
    answer = (ctypes.c_int64 * 2)()
    ask(which, ctypes.addressof(answer))
    return answer[0] + answer[1] / 1e9
print(told(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_REALTIME))
print(told(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_MONOTONIC))
"""
_LIMIT: Final = 5.0


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"members": [...]}: {"clocks": {member: {"skew", "monotonic", "others"}}}, seconds; others: skewed processes beside it.

    `skew` is None for a member that has ended.
    """
    return {"clocks": {m["member"]: _clock(m) for m in look["members"]}}


def _clock(member: dict[str, Any]) -> dict[str, Any]:
    if started(member["pid"]) != member["start"]:
        return {"skew": None, "monotonic": None, "others": 0}
    true = clock.own()
    skewed = [pid for pid in kernel.processes(member["cgroup"]) if _image(pid, true) != true]
    others = len([pid for pid in skewed if pid != member["pid"]])
    if member["pid"] not in skewed:
        return {"skew": 0.0, "monotonic": 0.0, "others": others}
    code = clock.image(member["pid"])
    words = [sys.executable, "-S", "-c", _RUN, str(clock.symbols(code)["clock_gettime"][0])]
    done = subprocess.run(words, input=code, capture_output=True, check=False, timeout=_LIMIT)
    if done.returncode:
        raise KernelError(f"what tells the time in {member['member']} does not run: it ended with {done.returncode}")
    skew, monotonic = map(float, done.stdout.split())
    return {"skew": skew, "monotonic": monotonic, "others": others}


def _image(pid: int, otherwise: bytes) -> bytes:
    try:
        return clock.image(pid)
    except KernelError:  # it has ended
        return otherwise
