"""No pass without proof: whatever keeps a trial from proving something makes it invalid, never green."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import docker
import pytest
from campaigns import SCENARIO, Steps, campaign, scenario, trials_of

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.checks.verdict import exit_code
from shaketable.faults import CATALOGUE, FaultKind, Params, Plan
from shaketable.model.errors import Exit
from shaketable.ports import Target
from shaketable.run.prepare import judge_again

pytestmark = pytest.mark.usefixtures("engine")


MODES = ("stop", "kill", "freeze", "power-off", "cut")


def _nothing(target: Target, _: Params) -> Plan:
    """An injector that reports success and does nothing."""
    steps = tuple({"do": "thaw", **m.step} for m in target.members)
    return Plan(steps, (), revive=False)


IDLE: Mapping[str, FaultKind] = {kind: replace(fault, plan=_nothing) for kind, fault in CATALOGUE.items()}


def test_an_injector_that_does_nothing_is_never_green(tmp_path: Path) -> None:
    """Every trial whose fault did not bite is invalid, whatever the mode, and the verdict is inconclusive."""
    finished = campaign(SCENARIO, tmp_path / "run", catalogue=IDLE).run()
    trials = trials_of(finished)
    assert len(trials) == len(MODES)
    assert {t.outcome for t in trials} == {"invalid"}
    assert all("was not witnessed" in " ".join(t.invalid_because) for t in trials)
    assert finished.result.verdict == "inconclusive"
    assert exit_code(finished.result) == Exit.INCONCLUSIVE


def test_a_starved_observer_is_never_green(tmp_path: Path, engine: DockerEngine) -> None:
    """An observer that could not look for longer than `max_gap` makes the trial invalid."""
    steps = Steps()
    one = campaign(SCENARIO, tmp_path / "run", "cut", steps=steps)
    client = docker.from_env()
    events = tmp_path / "run" / "events.jsonl"

    def starve() -> None:
        while not (events.exists() and '"injected"' in events.read_text()):
            if not runner.is_alive():
                return
            runner.join(0.05)
        labels = [f"{RUN_LABEL}={one.run_id}", "shaketable.tool=observe"]
        (observer,) = client.containers.list(filters={"label": labels})
        observer.pause()
        runner.join(0.8)
        observer.unpause()

    finished = []
    runner = threading.Thread(target=lambda: finished.append(one.run()))
    runner.start()
    starve()
    runner.join()
    client.close()
    (trial,) = trials_of(finished[0])
    assert trial.outcome == "invalid"
    assert any("was not looked at for" in why for why in trial.invalid_because)
    assert finished[0].result.verdict == "inconclusive"


LAZY = """
import itertools
from locust import task
from shaketable.agent.load import OpenLoopUser

turns = itertools.count()


class Lazy(OpenLoopUser):
    @task
    def overview(self) -> None:
        if next(turns) % 3 == 0:
            self.client.get("/page", name="overview")
"""


def test_a_load_that_did_not_arrive_is_never_green(tmp_path: Path) -> None:
    """Fewer requests than were asked for, beyond what chance explains, make the trial invalid."""
    finished = campaign(scenario(tmp_path, load=LAZY), tmp_path / "run", "cut").run()
    (trial,) = trials_of(finished)
    assert trial.outcome == "invalid"
    assert any("arrivals of about" in why for why in trial.invalid_because)
    assert finished.result.verdict == "inconclusive"


def test_a_topology_that_never_becomes_steady_proves_nothing(tmp_path: Path) -> None:
    """Without steady state no fault is injected, and the trial says so."""
    path = scenario(
        tmp_path, lambda t: t.replace("services: 12}", "services: 13}").replace("within: 30s", "within: 4s")
    )
    finished = campaign(path, tmp_path / "run", "kill").run()
    (trial,) = trials_of(finished)
    assert trial.outcome == "invalid"
    assert not trial.faults
    assert "not steady within 4 s" in trial.invalid_because[0]


def test_each_mode_passes_fixed_and_the_record_gives_the_same_verdict(tmp_path: Path) -> None:
    """Every mode is witnessed and passes on the corrected system; judged again from disk alone, all is the same."""
    finished = campaign(SCENARIO, tmp_path / "run").run()
    trials = trials_of(finished)
    assert [t.outcome for t in trials] == ["pass"] * len(MODES), [t.invalid_because for t in trials]
    assert all(fault.effective and fault.clean for t in trials for fault in t.faults)
    assert finished.result.residue == ()
    again = judge_again(tmp_path / "run")
    assert again.scenarios == finished.result.scenarios
    assert again.verdict == finished.result.verdict
