"""A session with a database that is kept: late answers, servers that go."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shaketable.agent import kernel
from shaketable.agent.changes import clients
from shaketable.agent.kernel import KernelError
from shaketable.agent.looks import databases

CLIENT = """
import pathlib, re, sys, time
folder, turn = pathlib.Path(sys.argv[1]), 0
for line in sys.stdin:
    if found := re.match(r"EXECUTE \\w+\\('(\\d+) - '\\)", line):
        turn += 1
        while (folder / "hang").exists():
            time.sleep(0.005)
        if (folder / "end").exists():
            sys.exit("FATAL: the server closed the connection unexpectedly")
        print(found[1], "-", '{"blocked": %d}' % turn, flush=True)
    elif line.startswith("\\\\echo "):
        print(line.split()[1], flush=True)
"""
LOOK = {"holder": "h", "member": "db", "cgroup": "c", "lists": {}, "gauges": {"b": "blocked"}}


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> databases.Session:
    """A session with a server of which one can say that it hangs, or ends, by a file."""

    def opened(*_: object, **__: object) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        words = [sys.executable, "-S", "-c", CLIENT, str(tmp_path)]
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    own = (os.getpid(), kernel.started(os.getpid()), "c")
    monkeypatch.setattr(clients, "open_client", opened)
    monkeypatch.setattr(clients, "dialect", lambda _: "postgresql")
    monkeypatch.setattr(databases, "first_process", lambda *_: own)
    return databases.Session("h")


def until(session: databases.Session, found: Callable[[str], bool]) -> str:
    """Look until what is seen, or why nothing is, is such."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            said = str(session.look(LOOK)[0]["b"])
        except KernelError as error:
            said = str(error)
        if found(said):
            return said
    raise AssertionError(said)


def test_an_answer_that_is_late_is_that_of_its_own_look(session: databases.Session, tmp_path: Path) -> None:
    """While it hangs each look fails in time and asks nothing more; then the answer to what was asked is taken, once."""
    assert until(session, lambda said: said.startswith("[")) == "['1']"
    (tmp_path / "hang").touch()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(KernelError, match=r"the database of db did not answer within 0\.2 s"):
            session.look(LOOK)
        assert time.monotonic() - began < 2 * databases.LIMIT + 1
    (tmp_path / "hang").unlink()
    assert until(session, lambda said: said.startswith("[")) == "['2']"
    assert session.look(LOOK)[0] == {"b": ["3"]}
    session.close()


def test_a_session_that_ends_is_opened_anew(session: databases.Session, tmp_path: Path) -> None:
    """With the server's words for why; what the next one answers is its own."""
    until(session, lambda said: said == "['1']")
    (tmp_path / "end").touch()
    assert until(session, lambda said: "FATAL" in said) == "FATAL: the server closed the connection unexpectedly"
    (tmp_path / "end").unlink()
    assert until(session, lambda said: said.startswith("[")) == "['1']"
    session.close()
    session.close()  # is harmless


def test_another_life_of_the_container_is_another_session(
    session: databases.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first process is another one, though its old client may still be there."""
    until(session, lambda said: said == "['2']")
    with subprocess.Popen(["sleep", "60"]) as other:
        monkeypatch.setattr(databases, "started", lambda pid: kernel.started(pid) if pid != os.getpid() else 0)
        monkeypatch.setattr(databases, "first_process", lambda *_: (other.pid, kernel.started(other.pid), "c"))
        assert until(session, lambda said: said.startswith("[")) == "['1']"
        other.kill()
    session.close()


def test_the_first_process_is_the_oldest_that_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the container's own cgroup, or of one in a nested host below that host's."""
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path)
    mine = os.getpid()
    with subprocess.Popen(["sleep", "60"]) as child:
        for folder in ("plain", "host/docker/abc"):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / "cgroup.procs").write_text(f"{child.pid}\n{mine}\n")
        assert databases.first_process("plain") == (mine, kernel.started(mine), "plain")
        assert databases.first_process("host", "abc")[2] == "host/docker/abc"
        child.kill()
    with pytest.raises(KernelError, match="nothing runs in it"):
        databases.first_process("gone")
