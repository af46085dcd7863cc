"""Other programs, run with a time limit and their output passed on line by line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_KEPT_LINES = 400

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """What a program left: exit code, everything on stdout, the last lines on stderr. `late` if its time ran out."""

    code: int
    stdout: str
    errors: tuple[str, ...]
    late: bool = False

    @property
    def ok(self) -> bool:
        """Whether it succeeded in time."""
        return self.code == 0 and not self.late

    def last(self, count: int = 6) -> str:
        """Join the last lines it printed, on stderr if there are any there, for a message."""
        lines = self.errors or tuple(line for line in self.stdout.splitlines() if line.strip())
        return "\n".join(lines[-count:])


def run(
    command: Sequence[str],
    *,
    limit: float,
    stdin: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    on_line: Say = lambda _: None,
) -> Finished:
    """Run a program to its end, or for `limit` seconds; `on_line` hears its stderr as it comes, from another thread.

    Raises FileNotFoundError when there is no such program.
    """
    process = subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env={**os.environ, **environment} if environment else None,
        text=True,
        errors="replace",
        start_new_session=True,  # a Ctrl-C is ours to handle: a child must not die in the middle of taking things down
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    stderr, errors = process.stderr, deque[str](maxlen=_KEPT_LINES)

    def listen() -> None:
        for line in stderr:
            if text := line.rstrip():
                errors.append(text)
                on_line(text)

    late = threading.Event()

    def give_up() -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    listener = threading.Thread(target=listen, name=f"listen-{command[0]}", daemon=True)
    timer = threading.Timer(limit, give_up)
    timer.daemon = True
    listener.start()
    timer.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(stdin)
            process.stdin.close()
        stdout = process.stdout.read()
        code = process.wait()
        listener.join(timeout=5)
    except BaseException:
        give_up()
        process.wait()
        raise
    finally:
        timer.cancel()
    return Finished(code, stdout, tuple(errors), late.is_set())
