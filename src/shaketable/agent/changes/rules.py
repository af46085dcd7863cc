"""Rules of ours in a target's own network namespace: chains of our own, entered from INPUT and OUTPUT by one rule each.

    {"do": "rules", "chain": "ST-1a2b3c4d", "in": ["-s 10.0.0.2 -j DROP"], "out": [...], **member.step}
    {"do": "no-rules", "chain": "ST-1a2b3c4d", **member.step}

With `"forward": ["eth0"]` what passes through these interfaces to and from others is filtered, too: in a nested host that
is all that its containers send and get. With `"table": "nat"` they are entered from PREROUTING and OUTPUT. Nothing of
anybody else's is touched: Docker's DNS lives in the same namespace's `nat` table. Filters leave loopback alone.
Sources: iptables(8), iptables-restore(8), iptables-extensions(8).
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

from shaketable.agent.kernel import KernelError
from shaketable.agent.namespaces import inside, open_netns

_LIMIT = 5.0
_HOOKS = {
    "filter": {"in": ("INPUT", "! -i lo"), "out": ("OUTPUT", "! -o lo")},
    "nat": {"in": ("PREROUTING", ""), "out": ("OUTPUT", "")},
}


def add(step: dict[str, Any]) -> None:
    """Set the chains, all in one transaction. Raises KernelError with iptables' own words."""
    table = step.get("table", "filter")
    lines = [f"*{table}"]
    for way, (hook, beyond) in _HOOKS[table].items():
        if step.get(way):
            chain = f"{step['chain']}-{way}"
            lines += [f":{chain} - [0:0]", *(f"-A {chain} {rule}" for rule in step[way])]
            lines.append(f'-I {hook} 1 {beyond} -m comment --comment "shaketable {chain}" -j {chain}')
            for name in step.get("forward", ()) if table == "filter" else ():
                by = "-i" if way == "in" else "-o"
                lines.append(f'-I FORWARD 1 {by} {name} -m comment --comment "shaketable {chain}" -j {chain}')
    text = "\n".join([*lines, "COMMIT", ""])
    with inside(step["netns"], step["pid"]):
        done = _run(["iptables-restore", "-w", "2", "-n"], text)
    if done.returncode:
        raise KernelError(f"rules in the network of {step['member']} were refused: {done.stderr.strip()[:300]}")


def remove(step: dict[str, Any]) -> None:
    """Take the chains away again; harmless when they, or the namespace, are gone. Raises KernelError when they stay."""
    there = open_netns(step["netns"], step["pid"])
    if there is None:
        return
    os.close(there)
    with inside(step["netns"], step["pid"]):
        table = step.get("table", "filter")
        saved = _run(["iptables-save", "-t", table], "").stdout.splitlines()
        mine = [line for line in saved if f" {step['chain']}-" in line or line.startswith(f":{step['chain']}-")]
        if not mine:
            return
        lines = [
            f"*{table}",
            *(line.replace("-A ", "-D ", 1) for line in mine if line.startswith("-A ") and " -j ST-" in line),
        ]
        chains = [line[1:].split()[0] for line in mine if line.startswith(":")]
        lines += [f"-F {chain}" for chain in chains] + [f"-X {chain}" for chain in chains]
        done = _run(["iptables-restore", "-w", "2", "-n"], "\n".join([*lines, "COMMIT", ""]))
    if done.returncode:
        raise KernelError(f"rules in the network of {step['member']} could not be removed: {done.stderr.strip()[:300]}")


def _run(words: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, input=text, capture_output=True, text=True, check=False, timeout=_LIMIT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelError(f"{words[0]} could not be run: {error}") from error
