"""Every kind of end of the harness while a fault is held: SIGTERM, SIGKILL, and all processes of ours at once.

`CLEANUP_HARNESS=all` tries every fault; usually one of each mechanism is tried.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from cleanup import LIMIT, machine, seconds_until
from conftest import traces

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.journal import journals
from shaketable.faults import OURS
from shaketable.run.heal import heal

HARNESS = os.environ.get("CLEANUP_HARNESS", "power-off,slow,spin,db-lock,disk-stall")
SOME = [k for k in OURS if HARNESS == "all" or k in HARNESS.split(",")]
_KEPT = (
    *("freeze", "cut", "power-off", "partition", "slow", "lossy", "throttled", "reject", "connection-limit"),
    *("disk-stall", "limits", "fds", "clock", "http", "dns"),
)
WIPED = [k for k in SOME if k in _KEPT]
"""Faults that the kernel keeps, with nobody of ours alive."""


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this test alone."""
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["harness SIGTERM", "harness SIGKILL"])
@pytest.mark.parametrize("kind", SOME)
def test_a_harness_that_ends_leaves_nothing(kind: str, end: signal.Signals, engine: DockerEngine) -> None:
    """Within 2 s nothing is frozen, cut, held or running; the guard removes the containers, and heal finds nothing."""
    before, everything = machine(engine), traces(engine)
    harness = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hold_fault.py")), kind], stdout=subprocess.PIPE, text=True
    )
    assert harness.stdout is not None
    try:
        assert harness.stdout.readline() == "held\n"
    finally:
        harness.send_signal(end)
        harness.wait()
    took = seconds_until(lambda: machine(engine) == before, LIMIT)
    assert took <= LIMIT, {k: (v, before[k]) for k, v in machine(engine).items() if v != before[k]}
    assert seconds_until(lambda: not journals() and traces(engine) == everything, 30) < 30
    assert heal() == []


def _processes(words: bytes) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and words in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("kind", WIPED)
def test_heal_undoes_from_the_journal_alone(kind: str, engine: DockerEngine) -> None:
    """All processes of ours are wiped at once, as by a power cut: what the journal says is enough to undo everything."""
    before, everything = machine(engine), traces(engine)
    harness = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("hold_fault.py")), kind], stdout=subprocess.PIPE, text=True
    )
    assert harness.stdout is not None
    try:
        assert harness.stdout.readline() == "held\n"
        (run,) = journals()
    finally:
        harness.send_signal(signal.SIGSTOP)  # so that it cannot answer what happens next
    for guard in _processes(f"shaketable.run.guard\0{run}\0".encode()):
        os.kill(guard, signal.SIGKILL)
    client = docker.from_env()
    for tool in ("serve", "witness", "observe"):
        for box in client.containers.list(filters={"label": [f"{RUN_LABEL}={run}", f"shaketable.tool={tool}"]}):
            os.kill(engine.inspect(box.id or "").pid, signal.SIGKILL)
    client.close()
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    assert journals() == [run]
    (healed,) = heal()
    assert healed.left == ()
    assert any(kind in line for line in healed.undone)
    assert machine(engine) == before
    assert traces(engine) == everything
    assert heal() == []
