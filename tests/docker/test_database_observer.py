"""Databases and what the kernel counts of them, as a lane looks at them: on real servers, with sessions made by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import docker
import pytest

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.configured_limits import configured_limits
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.instances import Instances
from shaketable.model.history import Look, LookBeat
from shaketable.model.scenario import DATABASE_GAUGES, Holder
from shaketable.run.databases import Databases
from shaketable.run.running import Running, places

COMPOSE = """
services:
  store:
    build: {context: ., dockerfile: database.Dockerfile}
    command: [sh, -c, "sed '/^clerk & /d' /database.sh > /alone.sh; exec sh /alone.sh %s"]
    init: false
    mem_limit: 256m
    pids_limit: 256
    cpus: 0.5
    stop_grace_period: 2s
"""
DIALECTS = ("postgresql", "mariadb")


@dataclass
class Heard:
    """What was told, with a way to wait for it."""

    latest: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    ever: list[Look] = field(default_factory=list)
    beats: list[LookBeat] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def look(self, look: Look) -> None:
        """A list is now this."""
        with self.changed:
            self.latest[look.list] = look.entries
            self.ever.append(look)
            self.changed.notify_all()

    def beat(self, beat: LookBeat) -> None:
        """Somebody looks."""
        with self.changed:
            self.beats.append(beat)

    def wait(self, name: str, found: Callable[[tuple[str, ...] | None], bool], limit: float = 20.0) -> tuple[str, ...]:
        """Wait until a list is such, and give it."""
        with self.changed:
            there = self.changed.wait_for(lambda: name in self.latest and found(self.latest[name]), limit)
            assert there, f"{name} is {self.latest.get(name)}; {self.errors}"
            return self.latest[name] or ()

    def number(self, name: str, found: Callable[[float], bool]) -> float:
        """Wait until a gauge is such, and give it."""
        return float(self.wait(name, lambda entries: bool(entries) and found(float((entries or ("nan",))[0])))[0])


class Store:
    """One server that runs by itself, what is heard of it, and sessions with it."""

    def __init__(self, dialect: str, container: str, heard: Heard) -> None:
        self.dialect, self.container, self.heard = dialect, container, heard
        self._sessions: list[subprocess.Popen[str]] = []

    def session(self, name: str, *statements: str) -> tuple[subprocess.Popen[str], str]:
        """A session that stays, and its id by the server's word."""
        exec_ = ["docker", "exec", "-i", "-e", f"PGAPPNAME={name}", self.container]
        client, who = {
            "postgresql": (
                ["psql", "-X", "-q", "-A", "-t", "-U", "postgres", "-h", "/run/postgresql"],
                "pg_backend_pid()",
            ),
            "mariadb": (["mariadb", "-N", "-B", "-n", "-f", "-u", "root"], "CONNECTION_ID()"),
        }[self.dialect]
        made = subprocess.Popen(
            [*exec_, *client, "canary"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._sessions.append(made)
        say(made, f"SELECT {who};", *statements)
        assert made.stdout is not None
        return made, made.stdout.readline().strip()

    def close(self) -> None:
        """End the sessions."""
        for session in self._sessions:
            session.kill()
            session.communicate()


def say(session: subprocess.Popen[str], *statements: str) -> None:
    """Give a session something to do."""
    assert session.stdin is not None
    session.stdin.write("\n".join(statements) + "\n")
    session.stdin.flush()


@contextmanager
def store(dialect: str, folder: Path, engine: DockerEngine, image: str, run: str, **lists: str) -> Iterator[Store]:
    """A server alone, watched: all gauges that there are, and these lists."""
    for name in ("database.Dockerfile", "database.sh"):
        shutil.copy(Path(str(resources.files("shaketable") / "canary" / name)), folder / name)
    (folder / "compose.yaml").write_text(COMPOSE % dialect)
    project = ComposeProject(folder, ["compose.yaml"], f"st-{run}-store", run, "1")
    agent, heard = FaultAgent(engine, image, run), Heard()
    try:
        project.up(lambda _: None)
        instances = Instances(engine, project)
        instances.read()
        where = places(instances, project.model().places.everything, agent)
        holder = Holder(
            kind="database",
            instance="store",
            database="canary",
            lists={"waits": "waits", **lists},
            gauges={
                **{word: word for word in DATABASE_GAUGES if word != "replica-lag"},
                "rows": "SELECT count(*) FROM demo",
            },
        )
        kernel = Holder(
            kind="containers", gauges={w: f"{w} store" for w in ("cpu", "throttled", "memory", "processes")}
        )
        databases = Databases(
            {"db": holder},
            where,
            Witness(engine, image, run),
            on_look=heard.look,
            on_beat=heard.beat,
            on_error=heard.errors.append,
        )
        limits = configured_limits(project)
        running = Running(
            {"kernel": kernel},
            where,
            Witness(engine, image, run),
            configured=limits,
            on_look=heard.look,
            on_beat=heard.beat,
        )
        made = Store(dialect, instances.outer["store"], heard)
        try:
            yield made
        finally:
            made.close()
            databases.stop()
            running.stop()
    finally:
        agent.leave()
        project.down()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_waits_for_whom(dialect: str, tmp_path: Path, engine: DockerEngine, tools_image: str, run_id: str) -> None:
    """A chain of three sessions made by hand is two edges, each with who blocks, by what, and who waits for what."""
    with store(dialect, tmp_path, engine, tools_image, run_id) as one:
        heard = one.heard
        heard.number("sessions", lambda n: n == 0)
        assert heard.number("rows", lambda _: True) == 2
        first, holder = one.session("first", "BEGIN;", "UPDATE demo   SET n = 10\nWHERE id = 1;")
        heard.number("idle-transactions", lambda n: n == 1)
        assert heard.wait("waits", lambda entries: entries is not None) == ()
        second, middle = one.session("second", "BEGIN;", "UPDATE demo SET n = 20 WHERE id = 2;")
        heard.number("idle-transactions", lambda n: n == 2)
        say(second, "UPDATE demo SET n = 21 WHERE id = 1;")
        heard.number("blocked", lambda n: n == 1)
        third, last = one.session("third", "UPDATE demo SET n = 30 WHERE id = 2;")
        heard.number("blocked", lambda n: n == 2)
        edges = [json.loads(entry) for entry in heard.wait("waits", lambda entries: len(entries or ()) == 2)]
        assert all(list(edge) == ["by", "for", "holds", "on", "state", "waiter", "wants", "who"] for edge in edges)
        by_waiter = {edge["waiter"]: edge for edge in edges}
        assert {waiter: edge["for"] for waiter, edge in by_waiter.items()} == {middle: holder, last: middle}
        assert by_waiter[middle]["wants"].rstrip(";") == "UPDATE demo SET n = 21 WHERE id = 1"
        assert by_waiter[last]["wants"].rstrip(";") == "UPDATE demo SET n = 30 WHERE id = 2"
        assert by_waiter[middle]["state"] == "idle in transaction"
        assert by_waiter[last]["holds"].rstrip(";") == "UPDATE demo SET n = 21 WHERE id = 1"
        if dialect == "postgresql":
            assert by_waiter[middle]["holds"] == "UPDATE demo SET n = 10 WHERE id = 1;"
            assert by_waiter[last]["by"] == "postgres/second"
            assert by_waiter[last]["state"] == "active"
            assert {edge["on"] for edge in edges} == {"rows of demo"}
        else:
            assert by_waiter[last]["by"] == "root/localhost"
            assert by_waiter[last]["state"] == "Lock wait"
            assert {edge["on"] for edge in edges} == {"rows of canary.demo"}
        assert heard.number("sessions", lambda _: True) == 3
        assert 0.1 < heard.number("used", lambda _: True) < 0.25
        assert heard.number("longest-transaction", lambda n: n > 0.2) < 60
        say(first, "COMMIT;")
        say(second, "COMMIT;")
        assert heard.wait("waits", lambda entries: entries == ()) == ()
        heard.number("blocked", lambda n: n == 0)
        say(third, "SELECT 1;")
        assert heard.errors == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_deadlocks_are_counted_and_other_locks_are_seen(
    dialect: str, tmp_path: Path, engine: DockerEngine, tools_image: str, run_id: str
) -> None:
    """Two sessions that want each other's row are a deadlock more; a table and a name are waited for as rows are."""
    with store(dialect, tmp_path, engine, tools_image, run_id) as one:
        heard = one.heard
        before = heard.number("deadlocks", lambda _: True)
        a, _ = one.session("a", "BEGIN;", "UPDATE demo SET n = 1 WHERE id = 1;")
        b, _ = one.session("b", "BEGIN;", "UPDATE demo SET n = 1 WHERE id = 2;")
        heard.number("idle-transactions", lambda n: n == 2)
        say(a, "UPDATE demo SET n = 1 WHERE id = 2;")
        heard.number("blocked", lambda n: n == 1)
        say(b, "UPDATE demo SET n = 1 WHERE id = 1;")
        for session in (a, b):  # PostgreSQL counts what a session met when its transaction is over
            say(session, "ROLLBACK;")
        heard.number("deadlocks", lambda n: n == before + 1)
        heard.number("idle-transactions", lambda n: n == 0)
        named, table = {
            "postgresql": ("SELECT pg_advisory_lock(77);", "BEGIN;\nLOCK TABLE demo IN ACCESS EXCLUSIVE MODE;"),
            "mariadb": ("SELECT GET_LOCK('moving', 60);", "LOCK TABLES demo WRITE;"),
        }[dialect]
        _, owner = one.session("c", named)
        d, wants = one.session("d", named)
        (entry,) = heard.wait("waits", lambda entries: len(entries or ()) == 1)
        edge = json.loads(entry)
        assert (edge["for"], edge["waiter"]) == (owner, wants)
        assert edge["on"] == {"postgresql": "advisory 77", "mariadb": "advisory moving"}[dialect]
        d.kill()
        one.heard.number("rows", lambda n: n == 2)
        say(a, table)
        heard.wait("rows", lambda entries: entries is None)  # the observer does not wait for a lock, it says so
        say(b, "SELECT n FROM demo;")
        on = {"postgresql": "relation demo", "mariadb": "table metadata"}[dialect]
        heard.wait("waits", lambda entries: any(json.loads(e)["on"] == on for e in entries or ()))
        say(a, "COMMIT;", "UNLOCK TABLES;" if dialect == "mariadb" else "")
        heard.number("rows", lambda n: n == 2)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_server_that_hangs_or_is_gone_is_looked_at_again(
    dialect: str, tmp_path: Path, engine: DockerEngine, tools_image: str, run_id: str
) -> None:
    """While it cannot be read nothing is known, looks go on, and its next life is found though its processes are others."""
    with store(dialect, tmp_path, engine, tools_image, run_id, ids="SELECT id FROM demo") as one:
        heard = one.heard
        assert heard.wait("ids", lambda entries: entries is not None) == ("1", "2")
        heard.number("memory", lambda share: 0.02 < share < 1)
        heard.number("processes", lambda share: 0.001 < share < 0.5)
        heard.number("cpu", lambda share: 0 <= share < 1.5)
        heard.number("throttled", lambda share: 0 <= share <= 1)
        client = docker.from_env()
        box = client.containers.get(one.container)
        box.pause()
        try:
            heard.wait("sessions", lambda entries: entries is None)
            heard.wait("ids", lambda entries: entries is None)
        finally:
            box.unpause()
        assert heard.wait("ids", lambda entries: entries is not None) == ("1", "2")
        one.session("before")
        heard.number("sessions", lambda n: n == 1)
        box.restart(timeout=0)
        heard.number("sessions", lambda n: n == 0)
        assert heard.wait("ids", lambda entries: entries is not None) == ("1", "2")
        heard.number("cpu", lambda share: share >= 0)
        client.close()
        told = [look.entries for look in heard.ever if look.list == "ids"]
        assert told == [("1", "2"), None, ("1", "2"), None, ("1", "2")]
        busy = [beat for beat in heard.beats if beat.holder == "db"]
        assert max(beat.max_gap for beat in busy) < 1.0, "a look that fails ends in time"


def test_what_a_busy_container_uses(tmp_path: Path, engine: DockerEngine, tools_image: str, run_id: str) -> None:
    """A process that never rests uses all of its container's CPU limit, and the kernel holds it back."""
    with store("postgresql", tmp_path, engine, tools_image, run_id) as one:
        one.heard.number("sessions", lambda n: n == 0)
        one.session("busy", "SELECT count(*) FROM generate_series(1, 2000000000);")
        one.heard.number("cpu", lambda share: 0.8 < share < 1.3)
        one.heard.number("throttled", lambda share: share > 0.2)
