"""Scenarios of the shared mail servers, as a user runs them: the incident fails for its own reasons, the corrected passes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from campaigns import ROOT, proved, said, trial_of, verdicts

from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.store import read_histories
from shaketable.checks.kernel_lists import ended
from shaketable.checks.verdict import exit_code
from shaketable.model.errors import Exit
from shaketable.run.prepare import judge_again

pytestmark = pytest.mark.usefixtures("engine")
MAIL = ROOT / "scenarios" / "mail"


@pytest.fixture
def placed(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """CPUs that each kind of helper container may use, as the engine says."""
    found: dict[str, set[str]] = defaultdict(set)
    start = DockerEngine.run_tool

    def run_tool(engine: DockerEngine, **asked: Any) -> Any:
        started = start(engine, **asked)
        limits = engine._api.inspect_container(started[0])["HostConfig"]
        found[asked["module"].rpartition(".")[2]].add(limits["CpusetCpus"])
        return started

    monkeypatch.setattr(DockerEngine, "run_tool", run_tool)
    return found


def test_a_loop_takes_the_memory_of_its_tenant_or_of_the_whole_server(
    tmp_path: Path, placed: dict[str, set[str]]
) -> None:
    """With limits the program ends its run and neighbours feel nothing; without, the kernel has to, when the server's is gone."""
    finished = proved(MAIL / "infinite-loop.yaml", tmp_path, {"loop": ("memory",)})
    assert exit_code(finished.result) == Exit.PASS, said(finished)
    incident, fixed = verdicts(trial_of(finished, "incident")), verdicts(trial_of(finished, "fixed"))
    assert {"limits", "server-memory"} <= {name for name, verdict in incident.items() if verdict == "fail"}
    assert set(fixed.values()) == {"pass"}
    enders = {
        h.variant: {
            (e.end.by, e.end.command) for e in ended(h, "ends-server", h.began) if e.end.of == "server-1/tenant-a"
        }
        for h in read_histories(finished.folder)
    }
    assert ("limit", "sender") in enders["incident"], "the kernel's own word: the server's memory limit ended runs"
    assert not any(by == "limit" for by, _ in enders["fixed"])
    assert judge_again(finished.folder).proved  # the record alone says the same
    assert placed["load"] == placed["observe"] == {"1"}, (
        "what loads and observes is off the CPU of the server that loops"
    )
    assert "1" in placed["witness"]
