"""Nothing is left behind, even if the harness or its agent is killed at the worst moment."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from campaigns import SCENARIO, Steps, campaign, trials_of
from conftest import traces

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.journal import journals
from shaketable.run.heal import heal

MOMENTS = 10
MODES = ("power-off", "freeze", "cut", "kill", "stop")
LIMIT = 2.0


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this test alone; the images stay where they are, on the engine."""
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))


def held(engine: DockerEngine) -> dict[str, set[str]]:
    """What a fault holds on the machine right now."""
    return {what: found for what, found in traces(engine).items() if what in ("frozen cgroups", "links down", "rules")}


def running(engine: DockerEngine) -> list[str]:
    """Containers of ours that run."""
    rows = engine._api.containers(filters={"label": RUN_LABEL})
    return [row["Names"][0] for row in rows]


def seconds_until(condition: Callable[[], bool], limit: float) -> float:
    """Seconds until a condition came true; infinity if it did not within the limit."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


def injections(run: Path) -> list[dict[str, object]]:
    """The faults injected so far."""
    events = run / "events.jsonl"
    lines = events.read_text().splitlines() if events.exists() else []
    with contextlib.suppress(ValueError):
        return [event for event in map(json.loads, lines) if event["kind"] == "injected"]
    return []


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_harness_leaves_nothing(moment: int, tmp_path: Path, engine: DockerEngine) -> None:
    """SIGKILL at a random moment of a fault: within 2 s nothing is frozen, cut or running, and heal finds nothing."""
    before = held(engine)
    run = tmp_path / "run"
    mode = MODES[moment % len(MODES)]
    command = ["run", str(SCENARIO), "--variant", "fixed", "--only", f"mode={mode}", "--lanes", "1", "--out", str(run)]
    with (tmp_path / "output").open("w") as output:
        harness = subprocess.Popen(
            [sys.executable, "-m", "shaketable.surface.cli", *command], stdout=output, stderr=output, env=os.environ
        )
    try:
        assert seconds_until(lambda: bool(injections(run)), 60) < 60, (tmp_path / "output").read_text()
        time.sleep(random.Random(moment).uniform(0, 3.9))
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    assert seconds_until(lambda: held(engine) == before and not running(engine), LIMIT) <= LIMIT, held(engine)
    assert seconds_until(lambda: not journals() and not traces(engine)["containers"], 30) < 30
    assert heal() == []


class AgentKiller(Steps):
    """Kills the agent once in each trial, at a random moment of its fault, and measures how long the effect lasts."""

    def __init__(self, engine: DockerEngine, before: dict[str, set[str]]) -> None:
        super().__init__()
        self.engine, self.before = engine, before
        self.healed_after: list[float] = []

    def watch(self, run: Path, run_id: str, alive: Callable[[], bool]) -> None:
        """Until the campaign is over."""
        client = docker.from_env()
        seen = 0
        draw = random.Random(11)
        while alive():
            if len(injections(run)) > seen:
                seen += 1
                time.sleep(draw.uniform(0, 3.5))
                labels = [f"{RUN_LABEL}={run_id}", "shaketable.tool=serve"]
                for agent in client.containers.list(filters={"label": labels}):
                    agent.kill("SIGKILL")
                self.healed_after.append(seconds_until(lambda: held(self.engine) == self.before, LIMIT))
            time.sleep(0.02)
        client.close()


def test_a_killed_agent_is_replaced_and_its_fault_undone(tmp_path: Path, engine: DockerEngine) -> None:
    """SIGKILL of the agent at ten random moments: each time the effect is gone within 2 s.

    A trial whose effect ended with the agent is invalid. What a stop or kill has ended stays ended, so such a trial
    goes on with the next agent and counts.
    """
    steps = AgentKiller(engine, held(engine))
    run = tmp_path / "run"
    one = campaign(SCENARIO, run, "power-off", "freeze", "cut", "kill", "stop", trials=MOMENTS // 5, steps=steps)
    finished = []
    runner = threading.Thread(target=lambda: finished.append(one.run()))
    runner.start()
    steps.watch(run, one.run_id, runner.is_alive)
    runner.join()
    assert len(steps.healed_after) == MOMENTS
    assert max(steps.healed_after) <= LIMIT, steps.healed_after
    trials = trials_of(finished[0])
    assert {t.outcome for t in trials if t.axis["mode"] in ("power-off", "freeze", "cut")} == {"invalid"}
    assert {t.outcome for t in trials if t.axis["mode"] in ("kill", "stop")} <= {"invalid", "pass"}
    assert finished[0].result.residue == ()
    assert heal() == []


@pytest.fixture
def bystanders(engine: DockerEngine, tools_image: str) -> Iterator[list[str]]:
    """Containers of others: one without labels, one that looks like part of a run of somebody else's."""
    client = docker.from_env()
    sleep = ["python3", "-c", "import time; time.sleep(600)"]
    plain = client.containers.run(tools_image, sleep, detach=True, network_mode="none")
    other = client.containers.run(tools_image, sleep, detach=True, network_mode="none", labels={RUN_LABEL: "somebody"})
    yield [str(plain.id), str(other.id)]
    for box in (plain, other):
        box.remove(force=True)
    client.close()


def test_two_runs_and_their_bystanders_do_not_disturb_each_other(
    tmp_path: Path, engine: DockerEngine, bystanders: list[str]
) -> None:
    """Two campaigns at once both pass, heal leaves both alone, and containers of others are untouched."""
    before = [engine.inspect(c) for c in bystanders]
    finished = []
    campaigns = [campaign(SCENARIO, tmp_path / f"run-{mode}", mode) for mode in ("power-off", "kill")]
    runners = [threading.Thread(target=lambda c=c: finished.append(c.run())) for c in campaigns]
    for runner in runners:
        runner.start()
    assert seconds_until(lambda: all(injections(tmp_path / f"run-{m}") for m in ("power-off", "kill")), 90) < 90
    assert all(healed.alive for healed in heal())
    for runner in runners:
        runner.join()
    outcomes = [trials_of(f)[0] for f in finished]
    assert [t.outcome for t in outcomes] == ["pass", "pass"], [t.invalid_because for t in outcomes]
    assert [f.result.residue for f in finished] == [(), ()]
    assert [engine.inspect(c) for c in bystanders] == before
