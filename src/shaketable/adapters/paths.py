"""Where shaketable keeps what outlives a command: journals, downloads, the record of an engine it started."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from shaketable.model.errors import UsageError


def state_dir() -> Path:
    """Give the folder, created if need be.

    It is `$SHAKETABLE_STATE`, else `$XDG_STATE_HOME/shaketable`, else `~/.local/state/shaketable`.
    Raises UsageError when it cannot be created.
    """
    own, shared = os.environ.get("SHAKETABLE_STATE"), os.environ.get("XDG_STATE_HOME")
    try:
        base = Path(shared) if shared else Path.home() / ".local" / "state"
        folder = Path(own) if own else base / "shaketable"
        folder = folder.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"the state folder cannot be created: {why}", hint="name a writable one with SHAKETABLE_STATE"
        ) from error
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that no other process of this user can hold at the same time; the kernel drops it with the process.

    Raises UsageError when the state folder cannot be written.
    """
    try:
        folder = state_dir() / "locks"
        folder.mkdir(exist_ok=True)
        lock = (folder / name).open("w")
    except OSError as error:
        raise UsageError(
            f"the state folder cannot be written: {error.strerror}",
            hint="free some space, or name another folder with SHAKETABLE_STATE",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
