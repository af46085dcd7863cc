"""`shaketable doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shaketable.adapters.doctor_facts import Finding, examine

__all__ = ["Finding", "diagnose", "render"]


def diagnose() -> list[Finding]:
    """Look at engine, compose and kernel; never raises."""
    return examine()


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print one row for each finding, what to do where something is missing, and a last line that sums up."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        state = "[green]ok[/]" if finding.ok else "[red]missing[/]"
        table.add_row(state, escape(finding.name), escape(finding.found))
        if finding.advice and not finding.ok:
            table.add_row("", "", f"[yellow]→ {escape(finding.advice)}[/]")
    console.print(table)
    missing = [finding.name for finding in findings if not finding.ok]
    summary = f"not ready: {', '.join(missing)}" if missing else "everything that shaketable needs works here"
    console.print(summary, highlight=False, markup=False)
