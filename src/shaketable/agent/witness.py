"""The witness: one process beside the targets that only looks. It is another process than the fault agent, with other code.

Driven like it, by JSON lines: {"id": 1, "op": "look", "looks": {name: {"see": kind, ...}}} is answered with a reading for
each name, all taken at the same time: {"at": seconds, ...} or {"at": seconds, "error": why it could not be seen}.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from shaketable.agent import kernel
from shaketable.agent.changes import clients, commands, limits, names
from shaketable.agent.looks import (
    attempts,
    databases,
    datagrams,
    ends,
    engines,
    gauges,
    requests,
    traces,
    usage,
    watches,
)
from shaketable.agent.wire import ReaderGoneError, Writer, lines

Look = dict[str, Any]
Reading = dict[str, Any]

SEES: Final[Mapping[str, Callable[[Look], Reading]]] = {
    "datagrams": datagrams.see,
    "connects": datagrams.see_connects,
    "clocks": watches.see,
    "command": commands.see,
    "crowd": requests.see_crowd,
    "database": databases.see,
    "ends": ends.see,
    "nested-engine": engines.see,
    "running": engines.see_running,
    "descriptors": limits.see_descriptors,
    "gauges": gauges.see,
    "http": requests.see_http,
    "oom-kills": traces.see_oom_kills,
    "processes": traces.see_processes,
    "resolve": names.see,
    "sql": clients.see,
    "states": traces.see_states,
    "traces": traces.see,
    "usage": usage.see,
    "writes": attempts.see,
}
"""How each kind of look is taken. A function gives its reading without `at`, or raises KernelError or OSError."""


def take(look: Look) -> Reading:
    """One look, whatever happens."""
    try:
        reading = SEES[look["see"]](look)
    except (kernel.KernelError, OSError) as error:
        reading = {"error": str(error)}
    except Exception as error:  # a reading is owed whatever happened, or the harness would wait for it
        reading = {"error": f"{type(error).__name__}: {error}"}
    return {"at": time.monotonic(), **reading}


def main() -> None:
    """Answer until stdin closes. Requests do not wait for each other: what hangs in one is no matter of the others."""
    out = Writer()
    with ThreadPoolExecutor(16) as pool, ThreadPoolExecutor(16) as requests_:

        def answer(request: dict[str, Any]) -> None:
            readings = dict(zip(request["looks"], pool.map(take, request["looks"].values()), strict=True))
            with contextlib.suppress(ReaderGoneError):
                out.emit({"id": request["id"], "readings": readings})

        with contextlib.suppress(ReaderGoneError):
            for line in lines():
                request = json.loads(line)
                if request["op"] == "hello":
                    out.emit({"id": request["id"], "now": time.monotonic()})
                else:
                    requests_.submit(answer, request)
    databases.close()


if __name__ == "__main__":
    main()
