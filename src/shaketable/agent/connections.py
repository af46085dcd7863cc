"""Live connections of a target, ended by its kernel; and how many new ones it lets in from one source.

Sources: ss(8) -K (SOCK_DESTROY), iptables-extensions(8) connlimit.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import subprocess
import time
from typing import Any

from shaketable.agent.kernel import KernelError
from shaketable.agent.namespaces import inside, socket_in


def reset(step: dict[str, Any]) -> None:
    """{"port": number or None, **member.step}: end every established TCP connection of its network namespace, or the port's."""
    words = ["ss", "-H", "-K", "-t", "state", "established"]
    if step.get("port"):
        words.append(f"( sport = :{step['port']} or dport = :{step['port']} )")
    with inside(step["netns"], step["pid"]):
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=5)
    if done.returncode:
        raise KernelError(f"the connections of {step['member']} could not be ended: {done.stderr.strip()[:300]}")


def see_crowd(look: dict[str, Any]) -> dict[str, Any]:
    """{"end": {...}, "ip", "port", "count", "wait"}: so many connections at once from one end, all held until the last.

    Answers {"answered", "refused", "silent"}: how many.
    """
    found = {"answered": 0, "refused": 0, "silent": 0}
    poll = select.poll()
    waiting: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        for _ in range(int(look["count"])):
            sock = stack.enter_context(socket_in(look["end"]["netns"], socket.SOCK_STREAM, look["end"].get("pid", 0)))
            sock.setblocking(False)
            code = sock.connect_ex((look["ip"], int(look["port"])))
            if code == errno.EINPROGRESS:
                waiting[sock.fileno()] = sock
                poll.register(sock, select.POLLOUT)
            else:
                found["answered" if code == 0 else "refused"] += 1
        deadline = time.monotonic() + float(look["wait"])
        while waiting and (left := deadline - time.monotonic()) > 0:
            for descriptor, _ in poll.poll(left * 1000):
                sock = waiting.pop(descriptor)
                poll.unregister(descriptor)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                found["answered" if code == 0 else "refused"] += 1
        found["silent"] = len(waiting)
    return dict(found)
