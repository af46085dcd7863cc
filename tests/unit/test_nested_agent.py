"""Beside a nested host: requests to what supervises its engine, what the engine says, and what the kernel says of lives.

This process stands in for the host's first one, whose root is then the machine's own: paths in it are moved to a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shaketable.agent import kernel, witness
from shaketable.agent.changes import engines as changes
from shaketable.agent.looks import engines as looks

STEP = {
    "member": "host-3",
    "pid": os.getpid(),
    "start": kernel.started(os.getpid()),
    "cgroup": "freezer/docker/h",
    "netns": 1,
}
ENDED = {**STEP, "start": 1}
"""The same, whose first process is another one than it was."""
WEB, DB = "a" * 64, "0123456789abcdef" * 4
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the host's files are; its name is short, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="st-") as name:
        path = Path(name)
        for module, constant, file in (
            (changes, "_REQUESTS", "requests"),
            (changes, "_ENGINE", "engine"),
            (looks, "_SOCKET", "docker.sock"),
        ):
            monkeypatch.setattr(module, constant, f"{name}/{file}".lstrip("/"))
        monkeypatch.setattr(kernel, "CGROUPS", path / "cgroup")
        monkeypatch.setattr(kernel, "cgroup_of", lambda _: STEP["cgroup"])
        cgroup(path, STEP["cgroup"])
        yield path


def cgroup(folder: Path, name: str, *pids: int) -> None:
    """A cgroup with these processes in it."""
    path = folder / "cgroup" / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


@contextlib.contextmanager
def program(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the kernel knows by this name."""
    words = f"open('/proc/self/comm', 'w').write({name!r}); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-S", "-c", words], stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


@contextlib.contextmanager
def supervised(folder: Path) -> Iterator[int]:
    """The reader's end of the pipe that requests are handed in by."""
    os.mkfifo(folder / "requests")
    reader = os.open(folder / "requests", os.O_RDONLY | os.O_NONBLOCK)
    yield reader
    os.close(reader)


def test_a_request_is_a_line(folder: Path) -> None:
    """Each is whole and by itself, however many come before they are read."""
    with supervised(folder) as reader:
        for words in ("stop", "upgrade 26.1", "settle 20.10"):
            changes.ask({**STEP, "ask": words})
        assert os.read(reader, 4096) == b"stop\nupgrade 26.1\nsettle 20.10\n"


def test_a_request_that_nobody_takes_is_said_to_be_so(folder: Path) -> None:
    """Without the pipe, without a reader, or with one that does not read any more: never a wait, always the reason."""
    with pytest.raises(kernel.KernelError, match="nobody looks after the engine of host-3: No such file"):
        changes.ask({**STEP, "ask": "stop"})
    with supervised(folder):
        writer = os.open(folder / "requests", os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"stop\n" * 800)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n")
        with pytest.raises(kernel.KernelError, match="nobody looks after the engine of host-3: Resource"):
            changes.ask({**STEP, "ask": "settle 20.10"})
        os.close(writer)
    with pytest.raises(kernel.KernelError, match="nobody looks after the engine of host-3: No such device"):
        changes.ask({**STEP, "ask": "stop"})


@pytest.mark.parametrize("change", [changes.ask, changes.kill, changes.engine])
def test_a_host_that_has_ended_gets_no_request(folder: Path, change: Any) -> None:
    """Its process id may be anybody's by now."""
    with supervised(folder) as reader:
        with pytest.raises(kernel.KernelError, match="host-3 has ended since it was resolved"):
            change({**ENDED, "ask": "stop"})
        assert os.read(reader, 10) == b""


def test_only_the_engines_own_process_is_killed(folder: Path) -> None:
    """It is the one that the host names, below the host's cgroup, and an engine by its name; a second kill finds none."""
    with program("dockerd") as engine, program("containerd-shim") as other:
        cgroup(folder, STEP["cgroup"], other.pid)
        cgroup(folder, f"{STEP['cgroup']}/init", engine.pid)
        for text in ("", "x", "1", str(other.pid)):
            (folder / "engine").write_text(text)
            assert changes.engine(STEP) is None, text
            with pytest.raises(kernel.KernelError, match="no engine runs in host-3"):
                changes.kill(STEP)
        (folder / "engine").write_text(f"{engine.pid}\n")
        assert changes.engine(STEP) == (engine.pid, kernel.started(engine.pid))
        changes.kill(STEP)
        assert engine.wait(5) == -signal.SIGKILL
        assert other.poll() is None
        with pytest.raises(kernel.KernelError, match="no engine runs in host-3"):
            changes.kill(STEP)


def test_an_engine_elsewhere_is_out_of_reach(folder: Path) -> None:
    """An engine that does not run below the host's own cgroup is not the host's, whatever a file in it says."""
    with program("dockerd") as engine:
        (folder / "engine").write_text(str(engine.pid))
        with pytest.raises(kernel.KernelError, match="no engine runs in host-3"):
            changes.kill(STEP)
        assert engine.poll() is None


class Engine:
    """Answers on the host's socket as its engine does: what `answers` has for a path, whole or not, and then the end."""

    def __init__(self, folder: Path) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / "docker.sock"))
        self._listener.listen(8)
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                request = stream.recv(4096)
                self.asked.append(request)
                answer = self.answers.get(request.split()[1].decode())
                if answer is None:
                    self._kept.append(stream)  # no answer, and no end either
                    continue
                stream.sendall(answer)
                stream.close()

    def close(self) -> None:
        """Answer no more."""
        for stream in (self._listener, *self._kept):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()


def http(body: object, status: str = "200 OK") -> bytes:
    """An answer as engines give it to a client that does not keep the connection."""
    return f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}\n".encode()


ROWS = [
    {"Id": WEB, "Names": ["/web", "/db/alias"], "State": "running"},
    {"Id": DB, "Names": ["/db"], "State": "exited"},
]
GOOD = {"/version": http({"Version": "20.10.24+dfsg1"}), "/containers/json?all=1": http(ROWS)}


@pytest.fixture
def engine(folder: Path) -> Iterator[Engine]:
    """An engine that answers."""
    engine = Engine(folder)
    engine.answers = dict(GOOD)
    yield engine
    engine.close()


def see() -> dict[str, Any]:
    """What the witness sees, as it is handed on."""
    return witness.take({"see": "nested-engine", **STEP})


def test_what_the_engine_says_is_joined_with_what_the_kernel_says(folder: Path, engine: Engine) -> None:
    """States are the engine's word; lives, and the processes of the engine, are the kernel's."""
    cgroup(folder, f"{STEP['cgroup']}/docker/{WEB}", os.getpid())
    with program("dockerd") as process, program("dockerd-other") as other:
        cgroup(folder, STEP["cgroup"], process.pid, other.pid)
        seen = see()
        assert seen["engines"] == [[process.pid, kernel.started(process.pid)]]
    assert seen["version"] == "20.10.24+dfsg1"
    assert seen["containers"] == {
        "web": {"state": "running", "id": WEB, "since": STEP["start"] / TICKS},
        "db": {"state": "exited", "id": DB, "since": 0.0},
    }
    assert all(b" HTTP/1.0\r\n" in request for request in engine.asked), "it is to end when all is said"


def test_a_container_without_a_name_is_passed_over(folder: Path, engine: Engine) -> None:
    """One that is being removed has none any more, and the others are still there."""
    rows = [*ROWS, {"Id": "x", "Names": [], "State": "removing"}, {"Id": "y", "Names": None, "State": "dead"}]
    engine.answers["/containers/json?all=1"] = http(rows)
    assert set(see()["containers"]) == {"web", "db"}


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.0 200 OK\r\n",
        http(ROWS)[:-40],
        http({"message": "starting"}, "503 Service Unavailable"),
        http({"message": "starting"}),
        http(None),
        http([1]),
        http("text"),
        http([{"Names": ["/web"]}]),
        http([{"Names": [5], "Id": WEB, "State": "running"}]),
        b"\xff\xfe\x00" * 99,
        b"HTTP/1.0 200 OK\r\n\r\n\xff\xfe\x00",
    ],
    ids=[
        *("nothing", "a head", "cut off", "not ready", "another object", "null", "a list", "a text", "half", "numbers"),
        *("garbage", "a garbled body"),
    ],
)
def test_what_is_no_answer_is_silence(folder: Path, engine: Engine, path: str, answer: bytes) -> None:
    """An engine that is coming up or going down says anything; it answers when all of an answer is there."""
    engine.answers[path] = answer
    seen = see()
    assert (seen.get("version"), seen.get("containers"), seen.get("error")) == ("", {}, None)


def test_an_engine_that_hangs_is_silent(folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing: the look ends in its time, and says which processes are there."""
    monkeypatch.setattr(looks, "_LIMIT", 0.05)
    engine.answers.clear()
    with program("dockerd") as process:
        cgroup(folder, STEP["cgroup"], process.pid)
        seen = see()
        assert (seen["version"], [pid for pid, _ in seen["engines"]]) == ("", [process.pid])


def test_a_stopped_engine_is_silent(folder: Path) -> None:
    """Without the socket, or with one that nobody listens on any more."""
    assert see()["version"] == ""
    Engine(folder).close()
    assert see()["version"] == ""


def test_a_host_that_has_ended_is_not_looked_at(folder: Path, engine: Engine) -> None:
    """That is not silence: nobody knows what became of its engine."""
    assert witness.take({"see": "nested-engine", **ENDED})["error"] == "host-3 has ended"
    assert engine.asked == []


def test_lives_are_those_of_the_hosts_own_containers(folder: Path) -> None:
    """By container id, wherever the engine's driver puts them; what is empty, ended or no container does not live."""
    host, mine = "docker/h", STEP["start"] / TICKS
    with program("old") as one, program("new") as other:
        since = min(kernel.started(one.pid), kernel.started(other.pid)) / TICKS
        cgroup(folder, f"{host}/docker/{WEB}", one.pid, other.pid)
        cgroup(folder, f"{host}/system.slice/docker-{DB}.scope", os.getpid())
        cgroup(folder, f"{host}/docker/{'e' * 64}")
        cgroup(folder, f"{host}/docker/buildkit", os.getpid())
        cgroup(folder, f"{host}/init", os.getpid())
        cgroup(folder, f"docker/{'f' * 64}", os.getpid())
        assert looks._lives(host) == {WEB: since, DB: mine}
    cgroup(folder, f"{host}/docker/{WEB}", one.pid)
    assert looks._lives(host) == {DB: mine}
    assert looks._lives("docker/gone") == {}


def test_what_runs_is_told_by_container_and_by_host(folder: Path) -> None:
    """A container that does not run is not there; a host with nothing running in it is, and so is one that is gone."""
    cgroup(folder, "docker/front", os.getpid())
    cgroup(folder, "docker/back")
    cgroup(folder, f"docker/h/docker/{WEB}", os.getpid())
    look = {
        "see": "running",
        "containers": {"front": "docker/front", "back": "docker/back", "gone": "docker/x"},
        "hosts": {"host-3": "docker/h", "host-4": "docker/y"},
    }
    mine = STEP["start"] / TICKS
    seen = witness.take(look)
    assert seen.pop("at") > 0
    assert seen == {"running": {"front": mine}, "inside": {"host-3": {WEB: mine}, "host-4": {}}}
