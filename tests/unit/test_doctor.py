"""The doctor, and the messages of a machine that lacks something."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from shaketable.adapters.doctor_facts import missing_capabilities
from shaketable.adapters.paths import state_dir
from shaketable.model.errors import EngineError, UsageError
from shaketable.surface.doctor import Finding, diagnose, render


def shown(findings: list[Finding]) -> str:
    """Render as a person sees it on 80 columns."""
    console = Console(file=io.StringIO(), width=80)
    render(findings, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_is_missing_comes_with_advice() -> None:
    """A finding that is not ok says what to do, within 80 columns; one that is ok gives no advice."""
    text = shown(
        [Finding("engine", True, "26.1", "not shown"), Finding("compose", False, "none [v1]", "install it " * 12)]
    )
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "none [v1]" in text
    assert "install it" in text
    assert "not shown" not in text
    assert text.splitlines()[-1] == "not ready: compose"


def test_capabilities_are_read_from_the_kernels_mask() -> None:
    """Docker may grant less than was asked for, without a word: the kernel's own mask counts."""
    every = sum(1 << bit for bit in (1, 2, 5, 6, 7, 12, 18, 19, 21))
    assert missing_capabilities(f"{every:016x}") == []
    assert missing_capabilities(f"{every & ~(1 << 19):016x}") == ["SYS_PTRACE"]
    assert len(missing_capabilities("")) == len(missing_capabilities("nonsense")) == 9


@pytest.mark.parametrize("address", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:9", "nonsense://x", "tcp://"])
def test_an_engine_that_is_gone_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str) -> None:
    """The doctor is asked when things are broken; it never fails itself."""
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path))
    findings = {finding.name: finding for finding in diagnose()}
    assert not findings["engine"].ok
    assert findings["engine"].advice
    assert findings["state folder"].ok


def test_an_engine_that_the_user_named_is_never_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where DOCKER_HOST names an engine that is gone, another one must not be started instead."""
    from shaketable.adapters.host_engine import engine_down, engine_up  # noqa: PLC0415 (imports the docker client)

    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path))
    said: list[str] = []
    with pytest.raises(EngineError, match=r"DOCKER_HOST names .*nowhere.* does not answer"):
        engine_up(said.append)
    assert not engine_down(said.append)
    assert said == []


def test_a_state_folder_that_cannot_be_made_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A full or read-only home is told once, with the way out."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(UsageError, match="SHAKETABLE_STATE"):
        state_dir()
