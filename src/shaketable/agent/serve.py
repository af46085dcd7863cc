"""The fault agent: one process beside the targets, driven by JSON lines on stdin, answering on stdout.

When stdin closes, for whatever reason, it undoes every fault it holds, ends what the harness gave into its care
(`ours`), and exits. Requests carry an `id` that the answer repeats; an answer without `id` is an event.
What it can do is in `steps`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shaketable.agent import kernel
from shaketable.agent.abilities import abilities
from shaketable.agent.changes import disks, limits
from shaketable.agent.children import Child, Watcher, end
from shaketable.agent.namespaces import link_is_up
from shaketable.agent.steps import Step, carry_out, undo_all
from shaketable.agent.wire import ReaderGoneError, Writer, lines

_out = Writer()


def emit(message: dict[str, Any]) -> None:
    """Write one JSON line; a harness that no longer listens is no reason to fail before healing."""
    with contextlib.suppress(ReaderGoneError):
        _out.emit(message)


class Agent:
    """What is held right now: undo and children of each fault, and the cgroups to end when the harness goes away."""

    def __init__(self) -> None:
        self.undo: dict[str, list[Step]] = {}
        self.children: dict[str, list[Child]] = {}
        self.ours: set[str] = set()
        self.disks: set[str] = set()
        self.watcher = Watcher()

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        """What this agent can do here."""
        status = dict(
            line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
        )
        return {
            "pid": os.getpid(),
            "capabilities": int(status["CapEff"], 16),
            "cgroup": "v1" if (kernel.CGROUPS / "freezer").is_dir() else "v2",
            "now": time.monotonic(),
            "abilities": abilities(),
        }

    def now(self, _: dict[str, Any]) -> dict[str, Any]:
        """The engine machine's monotonic clock, seconds."""
        return {"now": time.monotonic()}

    def resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Turn {"pids": {member: pid}} into what steps need, checked against the host's own namespace.

        For those in `within`, {member: pid of its nested host's first process}, the pid is as it is seen in there.
        """
        members = {}
        namespaces = set()
        links: list[tuple[str, int, int, int]] = []
        owned: set[int] = set()
        ips: list[str] = []
        interfaces: list[str] = []
        pids: dict[str, int] = {}
        for member, told in request["pids"].items():
            outer = request.get("within", {}).get(member, 0)
            pids[member] = pid = kernel.within(outer, told) if outer else told
            inode = kernel.netns(pid)
            if inode not in namespaces:
                namespaces.add(inode)
                ends = kernel.links(pid, outer)
                space = (kernel.netns(outer), outer) if outer else (0, 0)
                links += [(name, index, *space) for name, index, _ in ends]
                interfaces = [own for _, _, own in ends]
                ips += kernel.addresses(pid)
            cgroup = kernel.cgroup_of(pid)
            owned |= kernel.sockets(cgroup)
            members[member] = {
                "pid": pid,
                "start": kernel.started(pid),
                "cgroup": cgroup,
                "netns": inode,
                "limits": limits.read(limits.folders(pid, kernel.started(pid))),
                "open_files": [row[:3] for row in limits.descriptors(cgroup)],
                "interfaces": interfaces,
                "gateway": kernel.gateway(pid),
                "disks": [[mount.path, mount.device] for mount in disks.mounts(pid)],
            }
        places = sorted({place for pid in pids.values() for place in kernel.listening(pid, owned)})
        return {"members": members, "links": links, "listens": places, "ips": ips}

    def cgroups(self, request: dict[str, Any]) -> dict[str, Any]:
        """The cgroup of each process, {"pids": {name: pid}}."""
        return {"cgroups": {name: kernel.cgroup_of(pid) for name, pid in request["pids"].items()}}

    def inject(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out steps; the undo is held from before the first one. A step that fails undoes the others."""
        fault = request["fault"]
        self.undo[fault] = request["undo"]
        at: dict[str, float] = {}
        said: dict[str, Any] = {}
        children = self.children.setdefault(fault, [])
        try:
            for step in request["steps"]:
                if child := carry_out(step):
                    children.append(child)
                    said |= child.said
                moment = time.monotonic()
                for member in step.get("members") or [step["member"]]:
                    at[member] = moment
        except kernel.KernelError as error:
            problems = self.heal({"fault": fault})["problems"]
            return {"error": str(error), "problems": problems}
        self.watcher.watch(children)
        if request.get("grace") is not None:
            threading.Thread(
                target=self._enforce_grace, args=(fault, request["steps"], request["grace"]), daemon=True
            ).start()
        return {"at": at, "said": said}

    def _enforce_grace(self, fault: str, steps: list[Step], grace: float) -> None:
        """After `grace` seconds, kill what was asked to stop and did not, and say so."""
        deadline = time.monotonic() + grace
        waiting = {step["member"]: step for step in steps if step["do"] == "signal"}
        while waiting and time.monotonic() < deadline:
            waiting = {m: s for m, s in waiting.items() if kernel.started(s["pid"]) == s["start"]}
            time.sleep(0.005)
        for step in waiting.values():
            kernel.signal_pid(step["pid"], step["start"], signal.SIGKILL)
        emit({"event": "stopped", "fault": fault, "killed": sorted(waiting), "at": time.monotonic()})

    def inspect(self, request: dict[str, Any]) -> dict[str, Any]:
        """What the kernel says now of members and links, by reads that share nothing with the injection."""
        members = {
            name: {
                "alive": bool(m["start"]) and kernel.started(m["pid"]) == m["start"],
                "frozen": kernel.frozen(m["cgroup"]),
                "thawed": kernel.thawed(m["cgroup"]),
            }
            for name, m in request["members"].items()
        }
        return {
            "members": members,
            "links": {n: link_is_up(n, i, netns, via) for n, i, netns, via in request["links"]},
            "at": time.monotonic(),
        }

    def heal(self, request: dict[str, Any]) -> dict[str, Any]:
        """Undo one fault; harmless if it is not held. Answers what could not be undone."""
        fault = request["fault"]
        undo = self.undo.pop(fault, [])
        problems = undo_all([step for step in undo if not step.get("late")])
        children = self.children.pop(fault, [])
        problems += [f"process {child.pid} of {fault} survives SIGKILL" for child in children if not end(child)]
        problems += undo_all([step for step in undo if step.get("late")])
        self.watcher.forget(children)
        return {"problems": problems, "at": time.monotonic()}

    def undo_steps(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out undo steps from a journal, for an agent that is gone."""
        return {"problems": undo_all(request["steps"]), "at": time.monotonic()}

    def care(self, request: dict[str, Any]) -> dict[str, Any]:
        """Containers, by the pid of their first process, to end when the harness goes away without a word."""
        self.ours.update(kernel.cgroup_of(pid) for pid in request["pids"])
        return {}

    def attach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make disks, {"disks": {name: bytes}}; answers their devices. They end with the harness, or by `detach`."""
        devices = {}
        for name, size in request["disks"].items():
            self.disks.add(name)
            devices[name] = disks.attach(name, int(size))
        return {"devices": devices}

    def detach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take disks away, {"disks": [name]}."""
        self.disks -= set(request["disks"])
        return {"problems": undo_all([{"do": "no-disk", "name": name} for name in request["disks"]])}

    def sweep(self, request: dict[str, Any]) -> dict[str, Any]:
        """Take away all disks of a run whose journal is lost, {"run": name}."""
        return {"problems": disks.sweep(request["run"])}

    def close(self, *, orderly: bool) -> None:
        """Undo all, the last first; without an orderly goodbye also end what is in our care."""
        for fault in reversed(list(self.undo)):
            self.heal({"fault": fault})
        undo_all([{"do": "no-disk", "name": name} for name in self.disks])
        if not orderly:
            for cgroup in self.ours:
                for pid in kernel.processes(cgroup):
                    kernel.signal_pid(pid, kernel.started(pid), signal.SIGKILL)


def main() -> None:
    """Serve until stdin closes or SIGTERM comes, then leave nothing behind."""
    agent = Agent()
    operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        name: getattr(agent, name)
        for name in (
            "hello",
            "now",
            "resolve",
            "cgroups",
            "inject",
            "inspect",
            "heal",
            "undo_steps",
            "care",
            "attach",
            "detach",
            "sweep",
        )
    }

    def leave(*_: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    orderly = False
    try:
        for line in lines():
            request = json.loads(line)
            if request["op"] == "bye":
                orderly = True
                return
            try:
                answer = operations[request["op"]](request)
            except Exception as error:  # an answer is owed whatever happened, or the harness would wait for it
                answer = {"error": f"{type(error).__name__}: {error}"}
            emit({"id": request["id"], **answer})
    finally:
        # An engine that goes away closes our stdin and sends SIGTERM, in either order: the second must not end the undo.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        agent.close(orderly=orderly)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
