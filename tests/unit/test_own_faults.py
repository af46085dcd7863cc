"""Faults that other packages bring through entry points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "example"


def shaketable(*words: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with one more folder of installed packages."""
    code = f"import sys; sys.path.insert(0, {str(path)!r}); from shaketable.surface.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)


def test_the_documented_example_is_in_the_catalogue() -> None:
    """A package that names its faults in the entry point group is all it takes."""
    done = shaketable("faults", "--json", path=EXAMPLE)
    assert done.returncode == 0, done.stderr
    assert '"kind": "hiccup"' in done.stdout


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("HICCUP = 3", "is no FaultKind but int"),
        ("raise RuntimeError('too old')", "cannot be loaded: RuntimeError: too old"),
        ("from shaketable.faults.host import HOST_FAULTS as HICCUP", "the kind 'stop' exists already"),
    ],
)
def test_a_package_that_brings_nonsense_is_named(tmp_path: Path, module: str, expected: str) -> None:
    """What another package does wrong is one message that names it, never a traceback."""
    info = tmp_path / "bad-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[shaketable.faults]\nx = nonsense:HICCUP\n")
    (tmp_path / "nonsense.py").write_text(module)
    done = shaketable("faults", path=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
