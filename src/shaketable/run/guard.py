"""`python -m shaketable.run.guard RUN`: wait for the harness to end; unless it said "done", heal its run."""

from __future__ import annotations

import sys

from shaketable.run.heal import heal_when_orphaned


def main() -> None:
    """Everything is imported before the wait, so that nothing has to be read from disk when it matters."""
    heal_when_orphaned(sys.argv[1], lambda: sys.stdin.readline().strip() == "done")


if __name__ == "__main__":
    main()
