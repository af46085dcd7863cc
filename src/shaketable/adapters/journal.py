"""The undo journal: what a run has on the engine and how to undo it, on disk before it happens.

One folder for each run under the state folder: `journal.jsonl`, fsynced line by line, and `owner`, locked for as long
as the harness lives (the kernel drops the lock with the process, however it ends). A run that ends cleanly removes both.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from shaketable.adapters.paths import state_dir
from shaketable.model.errors import UsageError

Entry = dict[str, Any]


def _runs() -> Path:
    return state_dir() / "runs"


@dataclass(frozen=True, slots=True)
class OpenFault:
    """A fault that was begun and not yet known to be undone."""

    id: str
    kind: str
    host: str
    undo: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """What a journal says of a run whose harness may be gone."""

    run: str
    docker_host: str
    image: str
    faults: list[OpenFault] = field(default_factory=list)


class Journal:
    """The journal of this process's own run."""

    def __init__(self, run: str, folder: Path, lock: IO[str]) -> None:
        self.run = run
        self._folder = folder
        self._lock = lock
        self._file = (folder / "journal.jsonl").open("a", buffering=1)

    @classmethod
    def create(cls, run: str, *, image: str) -> Journal:
        """Begin a journal and lock it. Raises UsageError when the state folder cannot be written."""
        folder = _runs() / run
        try:
            folder.mkdir(parents=True, mode=0o700)  # an undo may need a password
            lock = (folder / "owner").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            journal = cls(run, folder, lock)
            journal.write({"run": run, "docker_host": os.environ.get("DOCKER_HOST", ""), "image": image})
        except OSError as error:
            raise UsageError(
                f"the undo journal cannot be written: {error.strerror} ({folder})",
                hint="free some space, or name another folder with SHAKETABLE_STATE",
            ) from error
        return journal

    def write(self, entry: Entry) -> None:
        """Append one line and wait until it is on disk."""
        self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def opened(self, fault: OpenFault) -> None:
        """A fault is about to be injected."""
        self.write({"open": fault.id, "kind": fault.kind, "host": fault.host, "undo": fault.undo})

    def closed(self, fault: str) -> None:
        """A fault is undone."""
        self.write({"closed": fault})

    def finish(self) -> None:
        """Nothing is left: forget the run."""
        self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    def abandon(self) -> None:
        """Something is left: let go of the lock so that `heal` can take over."""
        self._file.close()
        self._lock.close()


def journals() -> list[str]:
    """Runs that have a journal on this machine, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        folders = [f for f in _runs().iterdir() if f.is_dir()]
        return [f.name for f in sorted(folders, key=lambda f: f.stat().st_mtime)]
    return []


@contextlib.contextmanager
def take_over(run: str) -> Any:
    """Hold the run's lock for a block: yields Abandoned, or None when its harness is alive or the journal is gone.

    The journal is removed when the block ends without an exception.
    """
    folder = _runs() / run
    try:
        lock = (folder / "owner").open("r+")
    except OSError:
        yield None
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        yield _read(run, folder / "journal.jsonl")
        shutil.rmtree(folder, ignore_errors=True)


def _read(run: str, path: Path) -> Abandoned:
    """Everything a journal says; a line torn by a power cut was never acted upon and is passed over."""
    head: Entry = {}
    faults: dict[str, OpenFault] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "run" in entry:
                head = entry
            elif "open" in entry:
                faults[entry["open"]] = OpenFault(entry["open"], entry["kind"], entry["host"], entry["undo"])
            elif "closed" in entry:
                faults.pop(entry["closed"], None)
    return Abandoned(run, head.get("docker_host", ""), head.get("image", ""), list(faults.values()))
