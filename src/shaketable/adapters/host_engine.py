"""Bring up a Docker engine with compose v2 on this machine, and stop the one that we started.

An engine that answers is used as it is. Only where there is none, and only as root on Debian or Ubuntu, is one
installed and started; everybody else is told in one message what is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tenacity

from shaketable.adapters import apt
from shaketable.adapters.command import Say
from shaketable.adapters.compose_command import compose_version
from shaketable.adapters.engine_client import adopt_context, reach
from shaketable.adapters.paths import locked, state_dir
from shaketable.model.errors import EngineError

_START_LIMIT = 60.0
_STOP_LIMIT = 60.0
_BY_HAND = "install Docker Engine 24 or newer and its compose plugin (or Docker Desktop), start it, and try again"


@dataclass(frozen=True, slots=True)
class Started:
    """An engine process that we started. `start` is its start time in clock ticks, so that a reused pid is noticed."""

    pid: int
    start: int

    @property
    def runs(self) -> bool:
        """Whether this very process still exists."""
        return _start_time(self.pid) == self.start


def engine_up(say: Say) -> None:
    """See to it that an engine and compose v2 answer. Raises EngineError saying what is missing and how to get it."""
    adopt_context()
    with locked("engine"):
        found = reach()
        if not found.version:
            _refuse_if_not_ours_to_start(found.problem)
            _install_engine(say)
            _start(say)
            found = reach()
        if not compose_version():
            _install_compose(say)
    say(f"Docker engine {found.version} and compose {compose_version()} answer")


def engine_down(say: Say) -> bool:
    """Stop the engine that `engine_up` started. False, and nothing done, when there is no such engine."""
    with locked("engine"):
        return stop_engine(_folder(), say)


def _refuse_if_not_ours_to_start(problem: str) -> None:
    """Raise EngineError unless this machine is one whose engine we may install and start."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        raise EngineError(
            f"the engine that DOCKER_HOST names ({named}) does not answer: {problem}",
            hint="start that engine, or unset DOCKER_HOST to use the one of this machine",
        )
    if sys.platform != "linux":
        raise EngineError(f"the Docker engine does not answer: {problem}", hint="start Docker Desktop, and try again")
    if "permission" in problem.lower():
        raise EngineError(
            "this user may not use the Docker engine of this machine",
            hint="sudo usermod -aG docker $USER, log in again, and try again",
        )
    if os.geteuid() != 0:
        installed = shutil.which("dockerd") or Path("/usr/sbin/dockerd").exists()
        raise EngineError(
            f"the Docker engine does not answer: {problem}",
            hint="sudo systemctl start docker" if installed else f"{_BY_HAND}; as root, shaketable does it by itself",
        )


def _install_engine(say: Say) -> None:
    if _dockerd():
        return
    _install(("docker.io", "docker-cli"), say)
    if not _dockerd():
        raise EngineError("there is no dockerd on this machine, even after installing it", hint=_BY_HAND)


def _install_compose(say: Say) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineError(
            "the Docker engine answers, but the docker command has no compose v2",
            hint="install the compose plugin (docker-compose-plugin, docker-compose-v2, or Docker Desktop)",
        )
    _install(("docker-cli",), say)
    compose_version.cache_clear()
    if not compose_version():
        raise EngineError("compose v2 does not run, even after installing it", hint=_BY_HAND)


def _install(engine_packages: Sequence[str], say: Say) -> None:
    """Install these packages and compose as this distribution has them. Raises EngineError."""
    release = apt.this_release()
    if not packages_for(release, engine_packages) or not shutil.which("apt-get"):
        which = release.id or "an unknown system"
        raise EngineError(f"no way is known to install Docker on this machine ({which})", hint=_BY_HAND)
    apt.update(say)
    if (release.id, release.codename) == ("debian", "bookworm"):
        # Debian 12 has an engine, but no compose v2; both are taken from Debian 13, which leaves its libc alone.
        mirror = apt.debian_mirror("bookworm", apt.sources())
        if mirror is None:
            raise EngineError("apt has no source of Debian 12 to derive that of Debian 13 from", hint=_BY_HAND)
        apt.install(["debian-archive-keyring"], say)  # an old one lacks the newer release's keys
        apt.add_newer_release("trixie", mirror)
        apt.update(say)
    apt.install(packages_for(release, engine_packages), say)


def packages_for(release: apt.Release, engine_packages: Sequence[str]) -> list[str]:
    """Names of the packages to ask apt for; none where no way is known."""
    match release:
        case apt.Release(id="debian", codename="bookworm"):
            return [f"{package}/trixie" for package in (*engine_packages, "docker-compose")]
        case apt.Release(id="debian", number=number) if number == 0 or number > 12:
            return [*engine_packages, "docker-compose"]
        case apt.Release(id="ubuntu"):
            return ["docker.io", "docker-compose-v2"]
    return []


def _dockerd() -> str:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin:/usr/local/sbin"
    return shutil.which("dockerd", path=path) or ""


def _folder() -> Path:
    return state_dir() / "engine"


def _start(say: Say) -> None:
    if reach().version:  # installing it may have started it
        return
    if Path("/run/systemd/system").exists():
        say("starting the Docker engine by systemd")
        with contextlib.suppress(FileNotFoundError):
            subprocess.run(["systemctl", "start", "docker"], check=False, capture_output=True, timeout=_START_LIMIT)
        _await_answer(None, "", None)
        return
    start_engine(_folder(), (_dockerd(),), "", say)


def start_engine(folder: Path, words: Sequence[str], address: str, say: Say) -> Started:
    """Start an engine by these words, detached, and wait until it answers at `address`, or where DOCKER_HOST says.

    Its log and record are kept in `folder`. Raises EngineError, with the process ended again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "dockerd.log"
    say(f"starting the Docker engine (log: {log})")
    with log.open("w") as output:
        process = subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it outlives this command and its terminal
            cwd="/",
        )
    started = Started(process.pid, _start_time(process.pid) or 0)
    (folder / "engine.json").write_text(json.dumps({"pid": started.pid, "start": started.start}))
    try:
        _await_answer(process, address, log)
    except BaseException:
        stop_engine(folder, lambda _: None)
        process.wait()
        raise
    return started


def _await_answer(process: subprocess.Popen[bytes] | None, address: str, log: Path | None) -> None:
    """Wait until the engine answers. Raises EngineError when it ends, or is silent for too long."""

    def waiting_makes_sense(version: str) -> bool:
        return not version and (process is None or process.poll() is None)

    wait = tenacity.Retrying(
        retry=tenacity.retry_if_result(waiting_makes_sense),
        wait=tenacity.wait_fixed(0.1),
        stop=tenacity.stop_after_delay(_START_LIMIT),
        retry_error_callback=lambda _: "",
    )
    if not wait(lambda: reach(address).version):
        why = "ended at once" if process is not None and process.poll() is not None else "does not answer"
        raise EngineError(
            f"the Docker engine was started but {why}{_last_error(log)}",
            hint=f"look at {log}" if log else "look at: journalctl -u docker",
        )


def _last_error(log: Path | None) -> str:
    """Pick the line of the engine's log that says why it gave up, as the end of a message."""
    if log is None:
        return ""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    telling = [line for line in lines if "level=fatal" in line or "level=error" in line or "failed to start" in line]
    return f": {(telling[-1] if telling else ' / '.join(lines[-3:]))[:300]}" if lines else ""


def stop_engine(folder: Path, say: Say) -> bool:
    """Stop the engine recorded in `folder`; False when there is none. Raises EngineError when it does not end."""
    record = folder / "engine.json"
    started = _recorded(record)
    if started is None or not started.runs:
        record.unlink(missing_ok=True)
        return False
    say("stopping the Docker engine that shaketable started")
    with contextlib.suppress(ProcessLookupError), _handle(started.pid) as handle:
        if started.runs:  # asked again with the handle in hand: it is this process that gets the signal, or none
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not select.select([handle], [], [], _STOP_LIMIT)[0]:
                raise EngineError(
                    f"the engine (pid {started.pid}) was told to stop {_STOP_LIMIT:.0f} s ago and still runs",
                    hint=f"look at {folder / 'dockerd.log'}",
                )
    record.unlink(missing_ok=True)
    return True


@contextlib.contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def _recorded(record: Path) -> Started | None:
    try:
        entry = json.loads(record.read_text())
        return Started(int(entry["pid"]), int(entry["start"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_time(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None when it does not run."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
