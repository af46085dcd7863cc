"""What a person sees of a mistake: one message, the right exit code, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCENARIO = ROOT / "scenarios" / "backoffice" / "crashed-host.yaml"


def shaketable(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "shaketable.surface.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
        cwd=ROOT,
    )


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["run", "nowhere.yaml"], 2, "nowhere.yaml:1:1: does not exist"),
        (["run", str(SCENARIO), "--variant", "fixd"], 2, "did you mean fixed?"),
        (["run", str(SCENARIO), "--only", "mode=kil"], 2, "did you mean kill?"),
        (["run", str(SCENARIO), "--only", "mod=kill"], 2, "did you mean mode?"),
        (["run", str(SCENARIO), "--trials", "none"], 2, "--trials"),
        (["check", "/nowhere"], 2, "is not the folder of a run"),
        (["report", "/nowhere"], 2, "is not the folder of a run"),
        (["replay", "/nowhere"], 2, "is not the folder of a run"),
        (["up", "/nowhere"], 2, "there is no folder /nowhere"),
        (["audit", "/nowhere"], 2, "/nowhere/compose.yaml:1:1: does not exist: there is no folder /nowhere"),
        (["audit", "compose/ledger", "--rule", "limit"], 2, "did you mean 'limits'?"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_usage_errors(words: list[str], exit_code: int, message: str) -> None:
    """A command that cannot be carried out says why, with the nearest valid name."""
    done = shaketable(*words)
    assert done.returncode == exit_code, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_engine_that_is_gone(tmp_path: Path) -> None:
    """Without an engine: exit 3, what does not answer and what to do, and nothing is written."""
    gone = f"unix://{tmp_path}/no.sock"
    done = shaketable("run", str(SCENARIO), "--out", str(tmp_path / "run"), DOCKER_HOST=gone)
    assert done.returncode == 3
    assert "the Docker engine does not answer" in done.stderr
    assert "shaketable doctor" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_every_mistake_at_once(tmp_path: Path) -> None:
    """Two mistakes in a scenario are two lines with their places."""
    text = SCENARIO.read_text().replace("../../compose", str(ROOT / "compose"))
    (tmp_path / "load.py").write_text("")
    path = tmp_path / "wrong.yaml"
    path.write_text(text.replace("rate: 20 /s", "rate: 20").replace("kind: recovers", "kind: recover"))
    done = shaketable("lint", str(path))
    assert done.returncode == 2
    places = [line for line in done.stderr.splitlines() if "wrong.yaml:" in line]
    assert len(places) == 2, done.stderr


def test_help_and_lists_need_no_engine(tmp_path: Path) -> None:
    """Whoever has no engine yet can still read what there is."""
    for words in (["--help"], ["faults"], ["schema"], ["run", "--help"], ["audit", "--help"]):
        done = shaketable(*words, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
        assert done.returncode == 0, done.stderr
        assert done.stdout
