"""What this kernel can do of what faults need, by name: an empty text, or the reason why not.

Each is tried in a network namespace of its own, which ends with the try: a list of what is loaded would not say what the
kernel loads when it is asked for.
"""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from shaketable.agent.changes import clock

_RULE: Final = ("iptables", "-w", "2", "-t")
_TRIES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "iptables": ("packet filter rules", (*_RULE, "filter", "-A", "INPUT", "-j", "DROP")),
    "nfqueue": (
        "NFQUEUE (xt_NFQUEUE, nfnetlink_queue)",
        (*_RULE, "filter", "-A", "INPUT", "-j", "NFQUEUE", "--queue-bypass"),
    ),
    "statistic": (
        "random drops (xt_statistic)",
        (*_RULE, "filter", "-A", "INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.5"),
    ),
    "connlimit": (
        "counting of connections (xt_connlimit)",
        (*_RULE, "filter", "-A", "INPUT", "-p", "tcp", "-m", "connlimit", "--connlimit-above", "1"),
    ),
    "nat": (
        "redirection (xt_REDIRECT, xt_mark)",
        (
            *_RULE,
            "nat",
            "-A",
            "OUTPUT",
            "-p",
            "tcp",
            "-m",
            "mark",
            "!",
            "--mark",
            "1",
            "-j",
            "REDIRECT",
            "--to-ports",
            "1",
        ),
    ),
    "tbf": (
        "tbf (sch_tbf)",
        ("tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "4000", "limit", "9000"),
    ),
    "netem": ("netem (sch_netem)", ("tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms")),
}
"""For each: what it is, and a command that succeeds where it is there."""


def abilities() -> dict[str, str]:
    """Names of `_TRIES`, and `delay` (netem or nfqueue), `disks` and `clock`."""
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(_TRIES, pool.map(_lacking, _TRIES.values()), strict=True))
    neither = f"{found['netem']}; {found['nfqueue']}" if found["netem"] and found["nfqueue"] else ""
    return {**found, "delay": neither, "disks": _disks(), "clock": clock.able()}


def _lacking(tried: tuple[str, tuple[str, ...]]) -> str:
    what, words = tried
    if not shutil.which(words[0]):
        return f"the tools image has no {words[0]}"
    try:
        done = subprocess.run(["unshare", "--net", *words], capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{what} could not be tried: {error}"
    return "" if done.returncode == 0 else f"this kernel has no {what}: {done.stderr.strip()[:120]}"


def _disks() -> str:
    if not Path("/host/dev/loop-control").exists():
        return "the engine's machine has no loop devices"
    systems = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return "" if "ext4" in systems else "this kernel has no ext4"
