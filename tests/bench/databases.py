"""Figures of the database observer: what it costs the server that it watches, and what a look costs by open sessions.

Transactions per second come from pgbench, run in the server's own container, with and without the observer in turn in
one run; each pair is compared by itself, so that what else the machine does falls on both. Where that is too much noise,
CPU time a transaction says the same of the server alone. A look is timed from here to here; what it costs the server is
the CPU time of the one backend that answers, by the kernel's count.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import docker
from bench import Log, quantile
from docker.models.containers import Container

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.instances import Instances
from shaketable.model.scenario import DATABASE_GAUGES, Holder
from shaketable.run.databases import Asking, Databases, look_of
from shaketable.run.running import Places, places
from shaketable.run.session import new_run

PAIRS = int(os.environ.get("BENCH_PAIRS", "20"))
SECONDS = int(os.environ.get("BENCH_PGBENCH_SECONDS", "3"))
SESSIONS = (10, 100, 1000)
LOOKS = 200
WORDS = {word: word for word in DATABASE_GAUGES if word != "replica-lag"}
_BIN = "/usr/lib/postgresql/15/bin"
_COMPOSE = f"""
services:
  store:
    build: {{context: ., dockerfile: database.Dockerfile}}
    init: false
    shm_size: 256m
    stop_grace_period: 2s
    command:
      - sh
      - -c
      - >-
        install -d -o postgres -g postgres /run/postgresql &&
        exec setpriv --reuid postgres --regid postgres --init-groups {_BIN}/postgres -D /var/lib/postgresql/canary
        -c max_connections=1100 -c shared_buffers=128MB -c synchronous_commit=off -c listen_addresses=
"""


@contextmanager
def store(log: Log) -> Iterator[tuple[Container, Places, Witness]]:
    """A PostgreSQL by itself, where it is, and a witness beside it."""
    run, engine, image = new_run(), DockerEngine(), ensure_tools_image(log.say)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("database.Dockerfile", "database.sh"):
            shutil.copy(Path(str(resources.files("shaketable") / "canary" / file)), folder / file)
        (folder / "compose.yaml").write_text(_COMPOSE)
        project = ComposeProject(folder, ["compose.yaml"], f"st-{run}-bench", run, "1")
        agent = FaultAgent(engine, image, run)
        try:
            project.up(log.say)
            instances = Instances(engine, project)
            instances.read()
            where = places(instances, project.model().places.everything, agent)
            client = docker.from_env()
            yield client.containers.get(instances.outer["store"]), where, Witness(engine, image, run)
            client.close()
        finally:
            agent.leave()
            project.down()
            engine.remove_run(run)
            engine.close()


def inside(box: Container, *words: str) -> str:
    """What a program in the container says. Raises RuntimeError when it fails."""
    code, output = box.exec_run(list(words), user="postgres")
    said = output if isinstance(output, bytes) else b"".join(output)
    if code:
        raise RuntimeError(f"{' '.join(words)[:80]}: {said.decode(errors='replace')[-300:]}")
    return said.decode()


def psql(box: Container, sql: str) -> str:
    """The answer to a statement."""
    return inside(box, f"{_BIN}/psql", "-X", "-q", "-A", "-t", "-h", "/run/postgresql", "-c", sql, "postgres").strip()


def await_server(box: Container) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            psql(box, "SELECT 1")
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one run of pgbench: transactions per second, and CPU time that the container used for each, microseconds."""

    rate: float
    cpu: float


def transactions(box: Container, *kind: str) -> Measured:
    """Run pgbench; connections' own time is left out of the rate."""
    words = ("-n", "-c", "8", "-j", "2", "-T", str(SECONDS), *kind, "-h", "/run/postgresql", "canary")
    before = cpu_of(box)
    said = inside(box, f"{_BIN}/pgbench", *words)
    used = cpu_of(box) - before
    rate = float(re.findall(r"^tps = ([0-9.]+)", said, re.MULTILINE)[0])
    done = int(re.findall(r"^number of transactions actually processed: ([0-9]+)", said, re.MULTILINE)[0])
    return Measured(rate, used * 1e6 / done)


def cpu_of(box: Container) -> float:
    """CPU seconds that all in the container have used so far."""
    v1, v2 = "/sys/fs/cgroup/cpuacct/cpuacct.usage", "/sys/fs/cgroup/cpu.stat"
    said = inside(box, "sh", "-c", f"cat {v1} 2>/dev/null || cat {v2}").split()
    return int(said[0]) / 1e9 if len(said) == 1 else int(said[1]) / 1e6


def overhead(box: Container, where: Places, witness: Witness, *kind: str) -> dict[str, Any]:
    """Pairs of measurements, the observer on in every other one, in an order that changes from pair to pair."""
    holder = Holder(kind="database", instance="store", database="canary", lists={"waits": "waits"}, gauges=WORDS)
    looks = 0

    def count(_: object) -> None:
        nonlocal looks
        looks += 1

    def measured(*, watched: bool) -> Measured:
        if not watched:
            return transactions(box, *kind)
        beside = Databases({"db": holder}, where, witness, on_look=count, on_beat=count)
        try:
            return transactions(box, *kind)
        finally:
            for watch in beside._watches:  # not `stop`: the witness goes on to the next pair
                watch._stop.set()
                watch._thread.join()

    transactions(box, *kind)  # warm
    pairs = []
    for turn in range(PAIRS):
        order = (False, True) if turn % 2 else (True, False)
        found = {watched: measured(watched=watched) for watched in order}
        pairs.append((found[False], found[True]))
    slower = [1 - on.rate / off.rate for off, on in pairs]
    dearer = [on.cpu / off.cpu - 1 for off, on in pairs]
    return {
        "pairs": PAIRS,
        "seconds_each": SECONDS,
        "tps_without_p50": round(statistics.median(off.rate for off, _ in pairs), 1),
        "tps_with_p50": round(statistics.median(on.rate for _, on in pairs), 1),
        "fewer_transactions": of_pairs(slower),
        "more_cpu_a_transaction": of_pairs(dearer),
    }


def of_pairs(losses: list[float]) -> dict[str, float]:
    """Middle and mean of what each pair says, and the standard error of the mean: the machine's own noise."""
    return {
        "p50": round(statistics.median(losses), 4),
        "mean": round(statistics.fmean(losses), 4),
        "standard_error": round(statistics.stdev(losses) / math.sqrt(len(losses)), 4),
    }


@contextmanager
def open_sessions(box: Container, count: int) -> Iterator[None]:
    """So many clients that are connected and do nothing."""
    words = [f"{_BIN}/pgbench", "-n", "-c", str(count), "-T", "3600", "-f", "/tmp/idle.sql", "-h", "/run/postgresql"]
    inside(box, "sh", "-c", "echo '\\sleep 3600 s' > /tmp/idle.sql")
    box.exec_run([*words, "canary"], user="postgres", detach=True)
    wanted = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
    deadline = time.monotonic() + 60
    while int(psql(box, wanted)) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{count} sessions did not open")
        time.sleep(0.2)
    yield
    psql(box, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'")
    while int(psql(box, wanted)):
        time.sleep(0.1)


def cost(box: Container, where: Places, witness: Witness, name: str) -> dict[str, Any]:
    """Of a look, milliseconds: wall time, and CPU time of the backend that answers."""
    holder = Holder(kind="database", instance="store", database="canary", lists={"waits": "waits"}, gauges=WORDS)
    asking = Asking(name, look_of(name, holder, where), lambda _: None)
    deadline = time.monotonic() + 10
    while asking.take(witness)[1][name, "sessions"] is None:
        if time.monotonic() > deadline:
            raise RuntimeError("the server gives no answer")
    backend = psql(box, "SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'shaketable-observer'")

    def cpu() -> int:
        return int(inside(box, "cat", f"/proc/{backend}/schedstat").split()[0])

    before, took = cpu(), []
    for _ in range(LOOKS):
        began = time.monotonic()
        asking.take(witness)
        took.append((time.monotonic() - began) * 1e3)
    return {
        "looks": LOOKS,
        "wall_ms": {"p50": quantile(took, 0.5), "p95": quantile(took, 0.95)},
        "server_cpu_ms": round((cpu() - before) / LOOKS / 1e6, 3),
    }


def figures(log: Log) -> dict[str, Any]:
    """Overhead on reads and on writes, and the cost of a look by open sessions."""
    with store(log) as (box, where, witness):
        await_server(box)
        inside(box, f"{_BIN}/pgbench", "-i", "-q", "-s", "5", "-h", "/run/postgresql", "canary")
        found: dict[str, Any] = {"every_s": 0.1}
        for name, kind in (("reads", ("-S", "-M", "prepared")), ("reads_and_writes", ())):
            log.say(f"pgbench, {name}")
            found[name] = overhead(box, where, witness, *kind)
        looks = {}
        for count in SESSIONS:
            log.say(f"looks at {count} sessions")
            with open_sessions(box, count):
                looks[count] = cost(box, where, witness, f"looks-{count}")
        witness.leave()
        return {**found, "look_by_open_sessions": looks}
