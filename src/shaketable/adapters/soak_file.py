"""The soak ledger as a file: read whole, replaced whole, and never by two at once.

JSON with the version of its schema. A lock beside it (`<name>.lock`) is held from reading to replacing, and the kernel
drops it with the process; the new text is on disk under another name before it takes the place of the old.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from shaketable.adapters.paths import state_dir
from shaketable.checks.soak import accumulate
from shaketable.model.errors import UsageError
from shaketable.model.soak import Ledger, Served


def default_ledger() -> Path:
    """The ledger of this user's machine, in the state folder. Raises UsageError."""
    return state_dir() / "soak.json"


def read_ledger(path: Path) -> Ledger:
    """Read the ledger; empty where there is no file. Raises UsageError for what is none, or of another version."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Ledger(soak=1)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"the soak ledger {path} cannot be read: {why}", hint=_HINT) from error
    try:
        return Ledger.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        why = f"{where}: {first['msg']}" if where else first["msg"]
        raise UsageError(f"{path} is not a soak ledger of this version: {why}", hint=_HINT) from error


_HINT = "name another file with --soak, or move this one away: every build then begins at zero"


class SoakLedger:
    """One ledger that trials are added to, from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def check(self) -> None:
        """See to it that it can be read and written, before any trial. Raises UsageError."""
        with self._held():
            ledger = read_ledger(self.path)
            if not self.path.exists():
                self._replace(ledger)

    def add(self, served: Served) -> None:
        """Count one trial; it is on disk when this returns. Raises UsageError."""
        with self._held():
            self._replace(accumulate(read_ledger(self.path), served))

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = self.path.with_name(f"{self.path.name}.lock").open("w")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, ledger: Ledger) -> None:
        text = ledger.model_dump_json(indent=1, by_alias=True)
        try:
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).chmod(0o644)
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"the soak ledger {self.path} cannot be written: {error.strerror}", hint=_WRITE)


_WRITE = "free some space, or name another file with --soak"
