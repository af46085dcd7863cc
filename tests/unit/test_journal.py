"""The undo journal: on disk before it happens, readable after any end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shaketable.adapters.journal import Journal, OpenFault, journals, take_over
from shaketable.model.errors import UsageError

FAULT = OpenFault("f1", "cut", "host-2", [{"do": "link", "name": "veth1", "index": 7, "up": True}])


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHAKETABLE_STATE", str(tmp_path / "state"))


def test_open_faults_are_what_was_opened_and_not_closed() -> None:
    """After an abrupt end the journal names exactly the faults whose undo is not known to be done."""
    journal = Journal.create("r1", image="tools:1")
    journal.opened(FAULT)
    journal.opened(OpenFault("f2", "freeze", "host-1", []))
    journal.closed("f2")
    journal.abandon()
    with take_over("r1") as left:
        assert left is not None
        assert left.faults == [FAULT]
        assert left.image == "tools:1"
    assert journals() == []


def test_a_living_run_is_not_taken_over() -> None:
    """As long as the harness holds its lock nobody else heals its run."""
    journal = Journal.create("r1", image="")
    with take_over("r1") as left:
        assert left is None
    journal.finish()
    assert journals() == []


def test_the_lock_ends_with_the_process_however_it_ends() -> None:
    """A harness that is killed lets go of its run without doing anything for it."""
    code = (
        "import os, signal\n"
        "from shaketable.adapters.journal import Journal, OpenFault\n"
        "j = Journal.create('r2', image='x')\n"
        "j.opened(OpenFault('f1', 'freeze', 'host-1', []))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == -9
    with take_over("r2") as left:
        assert left is not None
        assert [fault.kind for fault in left.faults] == ["freeze"]


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """A line that a power cut tore was never acted upon, and does not hide the others."""
    journal = Journal.create("r1", image="")
    journal.opened(FAULT)
    journal.abandon()
    with (tmp_path / "state/runs/r1/journal.jsonl").open("a") as file:
        file.write('{"open":"f9","kind":"fre')
    with take_over("r1") as left:
        assert left is not None
        assert [fault.id for fault in left.faults] == ["f1"]


def test_a_heal_that_fails_keeps_the_journal() -> None:
    """What could not be undone is still written down for the next attempt."""
    Journal.create("r1", image="").abandon()
    with pytest.raises(RuntimeError), take_over("r1"):
        raise RuntimeError
    assert journals() == ["r1"]


def test_an_unwritable_state_folder_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a journal there is no run: the message names the folder and what to do."""
    monkeypatch.setenv("SHAKETABLE_STATE", "/proc/nowhere")
    with pytest.raises(UsageError, match="cannot be"):
        Journal.create("r1", image="")
