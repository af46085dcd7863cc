"""A limit of the compose file that the kernel does not have: the whole way, from a real container to the verdict."""

from __future__ import annotations

import shutil
from pathlib import Path

import docker
import pytest
from campaigns import Steps

from shaketable.adapters.docker_engine import LANE_LABEL
from shaketable.run.campaign import Campaign, Request
from shaketable.run.prepare import load_all

pytestmark = pytest.mark.usefixtures("engine")

SITE = Path(__file__).parent / "rollout"
"""One container, whose compose file gives it 96 MiB of memory."""
SCENARIO = """\
shaketable: 1
name: enforced
topology: {compose: ., lanes: 1}
variants: {fixed: {expect: pass}}
load: {locustfile: load.py, target: "http://site:8080", rate: 20 /s}
observers:
  every: 50ms
  max_gap: 1s
  holders:
    site: {kind: http-json, at: "site:8080", path: /pods, lists: {pods: pods}}
    kernel: {kind: containers, lists: {limits: limits site}}
steady: {lists: {pods: 3}}
faults:
  - id: note
    kind: deploy
    target: {instance: site}
    with: {command: [touch, /dev/shm/note], undo: [rm, /dev/shm/note], check: [ls, /dev/shm], shows: note}
    lasts: 2s
expectations:
  - {id: limits, kind: limits-hold, list: limits, limits: [memory]}
"""


class Behind(Steps):
    """After the first trial somebody doubles the limit by the engine, and tells no file."""

    def trial(self, variant: str, trial: object) -> None:
        """Change it between two trials of one lane."""
        client = docker.from_env()
        (site,) = client.containers.list(filters={"label": [LANE_LABEL, "com.docker.compose.service=site"]})
        site.update(mem_limit="192m", memswap_limit="192m")
        client.close()


def test_a_limit_that_the_kernel_does_not_have_fails(tmp_path: Path) -> None:
    """The same file, the same use, far below either limit: what the kernel has tells the two trials apart."""
    folder = tmp_path / "enforced"
    shutil.copytree(SITE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "enforced.yaml").write_text(SCENARIO)
    request = Request(command="run", scenarios=load_all([folder / "enforced.yaml"]), out=tmp_path / "run", trials=2)
    finished = Campaign(request, Behind()).run()
    told = [(t.outcome, t.invalid_because, t.expectations[0].because) for t in finished.result.scenarios[0].trials]
    assert [outcome for outcome, *_ in told] == ["pass", "fail"], told
    assert told[0][2].startswith("site is held to 96 MiB of memory, used "), told
    wrong = "the compose file limits memory to 96 MiB, yet the kernel holds it to 192 MiB"
    assert f"{wrong}: the limit is configured and not enforced as it is" in told[1][2], told
