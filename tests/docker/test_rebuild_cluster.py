"""The workspace's database cluster, destroyed and re-created under load again and again on the same containers.

`make drill` (`DRILLS=10`) does so ten times in a row, which takes two minutes: too long for all tests together.
"""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from campaigns import ROOT, Steps, trials_of

from shaketable.run.campaign import Campaign, Request
from shaketable.run.prepare import load_all

pytestmark = [
    pytest.mark.usefixtures("engine"),
    pytest.mark.skipif("DRILLS" not in os.environ, reason="a drill of its own: make drill"),
]
WORKSPACE = ROOT / "scenarios" / "workspace"
DRILLS = int(os.environ.get("DRILLS", "0"))


def _scenario(folder: Path, drills: int) -> Path:
    """The scenario with so many drills, each a second after the one before, and each held to the same limits."""
    scenario: dict[str, Any] = yaml.safe_load((WORKSPACE / "rebuild-cluster.yaml").read_text())
    scenario["topology"]["compose"] = str(ROOT / "compose" / "workspace")
    scenario["load"]["locustfile"] = str(WORKSPACE / "load.py")
    first = scenario["faults"][0]
    names = [f"drill-{number}" for number in range(1, drills + 1)]
    scenario["faults"] = [{**first, "id": names[0]}] + [
        {**first, "id": name, "when": {"healed": before}, "after": "1s"} for before, name in pairwise(names)
    ]
    once = [e for e in scenario["expectations"] if e.get("fault") != "rebuild"]
    each = [e for e in scenario["expectations"] if e.get("fault") == "rebuild"]
    scenario["expectations"] = [{**e, "fault": names[-1]} for e in once] + [
        {**e, "id": f"{e['id']}-{name}", "fault": name} for e in each for name in names
    ]
    path = folder / "drills.yaml"
    path.write_text(json.dumps(scenario))
    return path


def test_a_cluster_is_destroyed_and_rebuilt_again_and_again(tmp_path: Path) -> None:
    """Every time other data is there than before, all is well again in time, and no ticket that was acknowledged is gone."""
    scenarios = load_all([_scenario(tmp_path, DRILLS)])
    request = Request(command="run", scenarios=scenarios, out=tmp_path / "run", seed=1, variants=("fixed",))
    (trial,) = trials_of(Campaign(request, Steps()).run())
    said = [f"{f.id}: {f.because}" for f in trial.expectations]
    assert trial.outcome == "pass", [*trial.invalid_because, *said]
    destroyed = [re.search(r"was destroyed: (data of .*?);", fault.seen) for fault in trial.faults]
    assert len({found.group(1) for found in destroyed if found}) == DRILLS, [fault.seen for fault in trial.faults]
