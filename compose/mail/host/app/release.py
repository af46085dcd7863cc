#!/usr/bin/python3 -ISE
"""release [VERSION [LOOP]]: install a release of the mailer, and end the runs of the one before; or say which it is.

    release             mailer 1.0
    release 1.1 cpu     also: memory, fork, leak, and later: cpu, five days after the release was installed
    release 1.2

Starts no process: it must get in when there is no room for another one.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

RELEASES, INSTALLED, WORKER = Path("/releases"), Path("/var/lib/mailer/release"), Path("/tmp/worker")
_LIMIT = 8.0
"""Seconds until the new release must be at work."""


def main(words: list[str]) -> str:
    """What to say at the end with 1, or nothing."""
    wanted = "-".join(words)
    if wanted:
        known = sorted(folder.name for folder in RELEASES.iterdir())
        if wanted not in known:
            return f"there is no release {' '.join(words)}; there are {', '.join(known).replace('-', ' ')}"
        link = INSTALLED.with_suffix(".new")
        link.unlink(missing_ok=True)
        link.symlink_to(RELEASES / wanted)
        link.replace(INSTALLED)
        if trouble := replace_worker():
            return trouble
    print("mailer", INSTALLED.resolve().name.replace("-", " "))
    return ""


def replace_worker() -> str:
    """End the worker with its runs, and wait for the next one; what went wrong, or nothing."""
    before = WORKER.read_text(encoding="ascii") if WORKER.exists() else ""
    if before:
        with contextlib.suppress(ProcessLookupError):  # it has just left, and the next one comes with the new release
            os.kill(int(before.split()[0]), signal.SIGTERM)
    until = time.monotonic() + _LIMIT
    while time.monotonic() < until:
        if WORKER.exists() and WORKER.read_text(encoding="ascii") != before:
            return ""
        time.sleep(0.05)
    return f"the worker did not come back within {_LIMIT:.0f} s"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) or 0)
