"""The release gate on a real topology: refused until its time is served, and again after a failure or a change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from campaigns import Steps

from shaketable.checks.soak import Judged
from shaketable.model.result import Build, Result
from shaketable.run.campaign import Campaign, Request
from shaketable.run.gate import Asked, gate
from shaketable.run.prepare import judge_again, load_all
from shaketable.surface.gate import gate_lines

pytestmark = pytest.mark.usefixtures("engine")

SITE = Path(__file__).parent / "rollout"
"""One container that answers badly from six seconds after a release on."""
SCENARIO = """\
shaketable: 1
name: small-gate
compression: {times: 1000, because: "a release is looked at for seconds instead of hours"}
topology: {compose: .}
variants: {fixed: {expect: pass}}
load: {locustfile: load.py, target: "http://site:8080", rate: 36 /s}
observers:
  every: 20ms
  max_gap: 1s
  holders:
    site: {kind: http-json, at: "site:8080", path: /pods, lists: {pods: pods}}
steady: {lists: {pods: 3}}
faults:
  - id: release
    kind: deploy
    target: {instance: site}
    with:
      command: [touch, /dev/shm/new-canary]
      undo: [rm, -f, /dev/shm/new-canary]
      check: [ls, /dev/shm]
      shows: new-canary
    after: 200ms
    lasts: 1s
expectations:
  - {id: served, kind: availability, at_least: 99 %}
  - {id: well, kind: recovers, within: 3s}
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A copy of the topology that may be changed, with the scenario."""
    folder = tmp_path / "soak-gate"
    shutil.copytree(SITE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "gate.yaml").write_text(SCENARIO)
    return folder


def asked(table: Path, required: float) -> Judged:
    """What the gate says of the build as it is now; `required` in seconds of life."""
    (judged,) = gate(Asked([table / "gate.yaml"], required, table / "soak.json"), print)
    return judged


def run(table: Path, name: str, trials: int) -> Result:
    """Trials that are counted; an invalid one counts for nothing, and is not what is tested here."""
    loaded = load_all([table / "gate.yaml"])
    request = Request(command="run", scenarios=loaded, out=table.parent / name, trials=trials, soak=table / "soak.json")
    return Campaign(request, Steps()).run().result


def test_a_build_serves_its_time_and_loses_it(table: Path) -> None:
    """Refused with figures, passed when served; another image is another build; a failure sets to zero, with its sentence."""
    day = 86_400.0
    never = asked(table, day)
    assert not never.passed
    assert (never.missing, never.served, never.before) == (day, None, None)

    result = run(table, "good", 2)
    (part,) = result.scenarios
    clean = sum(trial.clean_s for trial in part.trials if trial.outcome == "pass")
    assert clean > 2, [trial.invalid_because or trial.expectations for trial in part.trials]
    build = part.build
    assert isinstance(build, Build)
    assert list(build.images) == ["site"]
    assert build.images["site"].startswith("sha256:")
    assert build.digest == never.build, "what was asked about is what was tried"
    assert judge_again(table.parent / "good").scenarios == result.scenarios

    some = asked(table, day)
    assert some.served is not None
    assert some.served.life_s == pytest.approx(clean * 1000, abs=1)
    assert some.missing == pytest.approx(day - clean * 1000, abs=1)
    (line,) = gate_lines([some])
    assert line.startswith("small-gate: refused: ")
    assert "1,000 times real time declared: a release is looked at for seconds instead of hours" in line
    assert asked(table, clean * 1000 - 1).passed

    server = table / "server.py"
    written = server.read_text()
    server.write_text(f"{written}# another build\n")
    other = asked(table, 1.0)
    assert not other.passed
    assert other.build != build.digest
    assert other.before is not None
    assert (other.before.build, other.changed) == (build.digest, ("the image of site changed",))

    server.write_text(written)
    assert asked(table, clean * 1000 - 1).passed, "the build that comes back has what it had"

    (table / "gate.yaml").write_text(SCENARIO.replace("lasts: 1s", "lasts: 9s"))
    (bad,) = run(table, "bad", 1).scenarios
    assert bad.verdict == "fail", bad.trials
    reset = asked(table, 1.0)
    assert not reset.passed
    assert reset.served is not None
    assert reset.served.life_s == 0.0
    assert reset.served.reset is not None
    assert reset.served.reset.because == next(f.because for f in bad.trials[0].expectations if f.verdict == "fail")
    (line,) = gate_lines([reset])
    assert f"as trial 0 of run {reset.served.reset.run} failed: {reset.served.reset.because}" in line
