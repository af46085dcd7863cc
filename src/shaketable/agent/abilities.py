"""What this kernel can do of what faults need, by name: an empty text, or the reason why not."""

from __future__ import annotations

import shutil
from pathlib import Path

from shaketable.agent.changes import clock


def abilities() -> dict[str, str]:
    """`iptables`: packet filter rules; `nfqueue`: packets handed to a process that decides when they go on; and so on."""
    no_tool = "" if shutil.which("iptables-restore") else "the tools image has no iptables"
    known = _kernel_lists("targets") | _kernel_lists("matches")
    return {
        "iptables": no_tool,
        "nfqueue": no_tool
        or ("" if "NFQUEUE" in known else "this kernel has no NFQUEUE (xt_NFQUEUE, nfnetlink_queue)"),
        "statistic": no_tool or ("" if "statistic" in known else "this kernel cannot drop at random (xt_statistic)"),
        "connlimit": no_tool or ("" if "connlimit" in known else "this kernel counts no connections (xt_connlimit)"),
        "nat": no_tool
        or ("" if {"REDIRECT", "mark"} <= known else "this kernel cannot redirect (xt_REDIRECT, xt_mark)"),
        "tbf": "" if shutil.which("tc") else "the tools image has no tc",
        "disks": _disks(),
        "clock": clock.able(),
    }


def _disks() -> str:
    if not Path("/host/dev/loop-control").exists():
        return "the engine's machine has no loop devices"
    systems = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    return "" if "ext4" in systems else "this kernel has no ext4"


def _kernel_lists(what: str) -> set[str]:
    try:
        return set(Path(f"/proc/net/ip_tables_{what}").read_text().split())
    except OSError:
        return set()
