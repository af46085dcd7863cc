"""What happens, as it happens: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections import Counter

from rich.console import Console
from rich.status import Status

from shaketable.model.result import Trial


class TerminalProgress:
    """Prints each step once and every trial that did not simply pass; on a terminal a live line counts the rest."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._total = 0
        self._counts: Counter[str] = Counter()
        self._status: Status | None = None
        self._last = ""

    def say(self, text: str) -> None:
        """A step of the preparation or clean-up."""
        with self._lock:
            if text == self._last:
                return
            self._last = text
            elapsed = time.monotonic() - self._began
            self._console.print(f"[dim]{elapsed:7.1f} s[/dim]  {text}", highlight=False)

    def begin(self, total: int) -> None:
        """Trials of one variant start."""
        with self._lock:
            self._total += total
            if self._console.is_terminal and self._status is None:
                self._status = self._console.status("waiting for the first topology to be steady")
                self._status.start()

    def trial(self, variant: str, trial: Trial) -> None:
        """A trial has its outcome."""
        with self._lock:
            self._counts[trial.outcome] += 1
            done = sum(self._counts.values())
            cell = " ".join(trial.axis.values())
            counts = "  ".join(f"{self._counts[o]} {o}" for o in ("pass", "fail", "invalid") if self._counts[o])
            if self._status is not None:
                self._status.update(f"{done} of {self._total} trials   {counts}")
            colour = {"pass": "green", "fail": "red", "invalid": "yellow"}[trial.outcome]
            elapsed = time.monotonic() - self._began
            why = trial.invalid_because or tuple(f.because for f in trial.expectations if f.verdict == "fail")
            text = f"[dim]{elapsed:7.1f} s[/dim]  [{colour}]{trial.outcome:7}[/] {variant} {cell} #{trial.index}"
            if not self._console.is_terminal or trial.outcome != "pass":
                self._console.print(text + (f"  [dim]{_escape(why[0])}[/dim]" if why else ""), highlight=False)

    def end(self) -> None:
        """Give the terminal back."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
