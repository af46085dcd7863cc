"""Load on a target's own resources, from inside its own cgroups: busy loops, memory, processes.

The children die with the agent and with their target. What they use is the target's: its limits hold for them too.
"""

from __future__ import annotations

import mmap
import signal
import threading
import time
from typing import Any, Final

from shaketable.agent.changes import limits
from shaketable.agent.children import Ready, forked
from shaketable.agent.kernel import KernelError

_PAGE: Final = 4096
_STEP: Final = 1 << 20
_MOST: Final = 10_000


def spin(request: dict[str, Any], ready: Ready) -> None:
    """{"workers": number}: that many loops that never rest."""
    for _ in range(int(request["workers"]) - 1):
        if not forked():
            break
    else:
        ready()
    while True:
        pass


def hog(request: dict[str, Any], ready: Ready) -> None:
    """{"bytes": number, "rate": bytes per second or None}: memory that is really there, at once or little by little.

    With "share" instead of "bytes": until the target holds this share of its limit.
    """
    rate, size = request.get("rate"), int(request.get("bytes") or 0)
    if share := request.get("share"):
        where = limits.folders(request["pid"], request["start"])
        size = int(share * (limits.read(where)["memory"] or 0)) - limits.memory(where)
    taken: list[mmap.mmap] = []
    if rate:
        ready()
    while (have := _STEP * len(taken)) < size:
        block = mmap.mmap(-1, _STEP)
        for page in range(0, _STEP, _PAGE):
            block[page] = 1
        taken.append(block)
        if rate:
            time.sleep(_STEP / rate)
    if not rate:
        ready(held=have)
    signal.pause()


def fork(request: dict[str, Any], ready: Ready) -> None:
    """{"processes": number or None}: that many idle tasks, or as many as the target's limit lets be.

    They are threads: the kernel counts them like processes, and unlike those they take hardly any of its memory.
    """
    wanted, made = request.get("processes"), 0
    threading.stack_size(64 << 10)
    for_ever = threading.Event()
    while wanted is None or made < wanted:
        try:
            threading.Thread(target=for_ever.wait, daemon=True).start()
        except RuntimeError:
            if wanted is not None:
                raise KernelError(f"the target's limit let only {made} of {wanted} processes be") from None
            break
        made += 1
        if wanted is None and made >= _MOST:
            raise KernelError(
                f"the target may have {_MOST} processes or more: name a number, or give it a limit (pids_limit)"
            )
    ready(made=made)
    signal.pause()
