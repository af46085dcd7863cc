"""Ends of processes as a lane looks at them: on small containers, each end of its own kind, and who it is put down to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import docker
import pytest
from docker.models.containers import Container

from shaketable.adapters.docker_engine import LANE_LABEL, RUN_LABEL, DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.model.history import Look
from shaketable.model.kernel import End
from shaketable.model.scenario import Holder
from shaketable.run.running import Places, Running

WAIT = 15.0
BUSY = "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (1, %d))\nwhile True: pass"
EATS = "kept = []\nwhile True: kept.append(bytearray(1 << 20))"
THREADS = """
import threading, time
for _ in range(4): threading.Thread(target=time.sleep, args=(60,)).start()
"""


@dataclass
class Site:
    """Two containers, and what is heard of those that end in the first."""

    web: Container
    watcher: Container
    entries: tuple[str, ...] | None
    changed: threading.Condition

    def look(self, look: Look) -> None:
        """What has ended by now."""
        with self.changed:
            self.entries = look.entries
            self.changed.notify_all()

    def ended(self, which: Callable[[End], bool]) -> End:
        """Wait for an end, and give it."""
        with self.changed:
            there = self.changed.wait_for(lambda: any(which(end) for end in self.known()), WAIT)
            assert there, self.entries
            return next(end for end in self.known() if which(end))

    def known(self) -> list[End]:
        """All so far."""
        return [End.model_validate_json(text) for text in self.entries or ()]

    def run(self, command: str, script: str) -> None:
        """Run a program in there that nobody waits for, under a name of its own."""
        self.web.exec_run(["bash", "-c", f'exec -a {command} python3 -S -c "$0"', named(command, script)], detach=True)

    def pid(self, command: str) -> int:
        """Its id on the engine's machine, as soon as it is there."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            rows = self.web.top(ps_args="-eo pid,comm")["Processes"] or []
            if found := [int(pid) for pid, comm, *_ in rows if comm == command]:
                return found[0]
        raise AssertionError(f"no {command}")


def named(command: str, script: str) -> str:
    """A program that calls itself so, as the kernel sees it."""
    return f"open('/proc/self/comm', 'w').write('{command}')\n{script}"


@pytest.fixture
def site(engine: DockerEngine, tools_image: str, run_id: str) -> Iterator[Site]:
    """A container with limits, one that sees all of the machine's processes, and a watch of the first one's ends."""
    client = docker.from_env()
    labels = {RUN_LABEL: run_id, LANE_LABEL: ""}
    limits = {"mem_limit": "64m", "memswap_limit": "64m", "pids_limit": 100, "nano_cpus": 500_000_000}
    idle = ["sh", "-c", "while :; do sleep 3600; done"]
    web = client.containers.run(tools_image, idle, detach=True, labels=labels, name=f"st-{run_id}-web", **limits)
    watcher = client.containers.run(
        tools_image, idle, detach=True, labels=labels, name=f"st-{run_id}-watcher", pid_mode="host", mem_limit="64m"
    )
    agent = FaultAgent(engine, tools_image, run_id)
    try:
        facts = {name: client.api.inspect_container(one.id) for name, one in (("web", web), ("watcher", watcher))}
        cgroups = agent.cgroups({name: fact["State"]["Pid"] for name, fact in facts.items()})
        made = Site(web, watcher, None, threading.Condition())
        running = Running(
            {"k": Holder(kind="containers", lists={"ends": "ends web"}, every=0.1)},
            Places(cgroups, {}, {}, cgroups),
            Witness(engine, tools_image, run_id),
            configured={},
            on_look=made.look,
            on_beat=lambda _: None,
        )
        try:
            with made.changed:
                assert made.changed.wait_for(lambda: made.entries is not None, WAIT)
            yield made
        finally:
            running.stop()
    finally:
        agent.leave()
        for container in (web, watcher):
            container.remove(force=True)
        client.close()


def test_who_ended_each_process(site: Site) -> None:
    """By itself, by its code, its own limits of time, a sibling, a process elsewhere, its memory limit, and the engine."""
    site.run("leaves", "import time; time.sleep(0.7)")
    site.run("fails", "import sys, time; time.sleep(0.7); sys.exit(3)")
    site.run("soft", BUSY % 5)
    site.run("hard", "import signal; signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n" + BUSY % 2)
    site.run("aborts", "import os, time; time.sleep(0.6); os.abort()")
    end = site.ended(lambda e: e.command == "leaves")
    assert (end.by, end.who, end.signal, end.code, end.of) == ("itself", "", 0, 0, "web")
    assert 0.6 < end.at - end.began < 3
    end = site.ended(lambda e: e.command == "fails")
    assert (end.by, end.signal, end.code) == ("guard", 0, 3)
    end = site.ended(lambda e: e.command == "aborts")
    assert (end.by, end.signal, end.code) == ("guard", 6, 0)
    end = site.ended(lambda e: e.command == "soft")
    assert (end.by, end.who, end.signal) == ("guard", "its own limit (SIGXCPU)", 24)
    assert 0.8 < end.cpu < 1.3
    end = site.ended(lambda e: e.command == "hard")
    assert (end.by, end.who, end.signal) == ("guard", "its own limit of CPU time (SIGKILL)", 9)
    assert 1.7 < end.cpu < 2.3

    site.web.exec_run(["bash", "-c", "sleep 97 & sleep 0.2; kill -9 $!; wait"])
    end = site.ended(lambda e: e.signal == 9 and e.command == "sleep")
    assert (end.by, end.who) == ("guard", "bash of web")

    # A watchdog outlives what it ends; a sender that is gone at once might not be known any more.
    site.run("threads", THREADS)
    pid = site.pid("threads")
    site.watcher.exec_run(["sh", "-c", f"kill -TERM {pid}; sleep 0.3"])
    end = site.ended(lambda e: e.pid == pid)
    assert (end.by, end.who, end.signal) == ("watchdog", "sh of watcher", 15)

    site.run("polite", "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nsignal.pause()")
    pid = site.pid("polite")
    site.watcher.exec_run(["sh", "-c", f"kill -TERM {pid}; sleep 0.3"])
    end = site.ended(lambda e: e.pid == pid)
    assert (end.by, end.signal, end.code) == ("watchdog", 0, 0)
    assert end.who == "sh of watcher, which asked it by SIGTERM"

    site.run("eats", EATS)
    end = site.ended(lambda e: e.by == "limit")
    assert (end.command, end.signal, end.who) == ("eats", 9, "the memory limit of web")

    site.run("rest", "import time; time.sleep(60)")
    site.pid("rest")
    site.web.kill()
    end = site.ended(lambda e: e.command == "sh" and e.signal == 9)
    # What sends the engine's signal lives for a few milliseconds: on a busy machine it is gone before it can be looked at.
    assert end.by == "engine"
    assert end.who == "runc outside of the topology" or end.who.startswith("unknown: process "), end.who
    end = site.ended(lambda e: e.command == "rest")
    assert (end.by, end.signal) == ("engine", 9)
    assert end.who.startswith("the end of its container's first process, sh")
    assert [e.command for e in site.known() if e.by == "watchdog"] == ["threads", "polite"]


def test_its_next_life_is_looked_at_too(site: Site) -> None:
    """A container that was started again has other processes, and their ends are told as before."""
    site.web.restart(timeout=0)
    site.run("eats", EATS)
    end = site.ended(lambda e: e.by == "limit")
    assert (end.command, end.who) == ("eats", "the memory limit of web")
