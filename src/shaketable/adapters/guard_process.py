"""Start the guard: a small process of its own that outlives the harness just long enough to clean up after it."""

from __future__ import annotations

import contextlib
import subprocess
import sys

from shaketable.adapters.paths import state_dir


class Guard:
    """Watches this process through a pipe; when the pipe closes without a goodbye it heals the run."""

    def __init__(self, module: str, run: str) -> None:
        with (state_dir() / "guard.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, run],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C or a closed terminal must not reach it
            )

    def dismiss(self) -> None:
        """The run has cleaned up after itself."""
        stdin = self._process.stdin
        if stdin is not None:
            with contextlib.suppress(OSError):
                stdin.write(b"done\n")
                stdin.close()
        self._process.wait()
