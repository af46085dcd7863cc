"""What people see of an audit: what would stay down, and the findings by rule, each with its place and what mends it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from shaketable.adapters.audit import audited_topology, compose_files
from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.compose_source import shown
from shaketable.checks.audit import audit_findings, chosen, survival
from shaketable.model.audit import RULES, AuditedTopology, AuditFinding, AuditRule
from shaketable.model.errors import UsageError
from shaketable.run.scenario_shape import suggestion

_NAMED = 12
"""So many services are named where they have the same finding at the same place, or stay down together."""


@dataclass(frozen=True, slots=True)
class Audited:
    """A topology, the compose files it was read from (as people write them), and what was found."""

    files: tuple[str, ...]
    topology: AuditedTopology
    findings: tuple[AuditFinding, ...]


def audit(topology: Path, files: Sequence[str], rules: Sequence[str], without: Sequence[str]) -> Audited:
    """Read and judge a topology, and ask its engine if one answers. Raises UsageError, ScenarioError, EngineError."""
    only, never = _rules(rules), _rules(without)
    folder, names = compose_files(topology, files)
    found = audited_topology(ComposeProject(folder, names, "st-audit", "audit"), ask=True)
    return Audited(tuple(shown(folder / name) for name in names), found, chosen(audit_findings(found), only, never))


def _rules(names: Sequence[str]) -> tuple[AuditRule, ...]:
    if wrong := [name for name in names if name not in RULES]:
        raise UsageError("\n".join(f"there is no rule {name!r}; {suggestion(name, list(RULES))}" for name in wrong))
    return tuple(rule for rule in RULES if rule in names)


def audit_json(audited: Audited) -> dict[str, Any]:
    """The audit as one JSON object: files, number of services, what stays down, and every finding."""
    stays = survival(audited.topology)
    return {
        "schema": 1,
        "files": list(audited.files),
        "services": len(audited.topology.services),
        "stays_down": {
            "engine_restarted": list(stays.restarted),
            "engine_restarted_if_it_ends_well": list(stays.restarted_perhaps),
            "engine_killed": [*stays.restarted, *stays.killed],
        },
        "findings": [
            {
                "rule": finding.rule,
                "service": finding.service,
                "file": finding.at.file,
                "line": finding.at.line,
                "col": finding.at.col,
                "text": finding.sentence,
                "mend": finding.mend,
            }
            for finding in audited.findings
        ],
    }


def show_audit(audited: Audited, console: Console) -> None:
    """Print what would stay down, then the findings by rule; services with the same finding stand together."""
    for style, line in _lines(audited, console.width):
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def _lines(audited: Audited, width: int) -> Iterator[tuple[str, str]]:
    """Everything in lines of at most `width`, each with its style."""
    hosts = [engine for engine in audited.topology.engines if engine.nested]
    inside = f" with those in {_counted(len(hosts), 'nested host')}" if hosts else ""
    yield (
        "",
        _indented(f"{', '.join(audited.files)}: {_counted(len(audited.topology.services), 'service')}{inside}", width),
    )
    for line in _survival(audited.topology):
        yield "", _indented(line, width)
    for rule, reason in RULES.items():
        found = [finding for finding in audited.findings if finding.rule == rule]
        if found:
            yield "", ""
            yield "bold", _indented(f"{rule}: {reason}", width)
        for (text, mend), same in _grouped(found).items():
            yield "", _indented(text, width, by=2)
            yield from (("cyan", line) for line in _places(same, width))
            yield "green", _indented(f"→ {mend}", width, by=4, more=2)
    yield "", ""
    rules = [f"{rule} {count}" for rule in RULES if (count := sum(f.rule == rule for f in audited.findings))]
    total = f"{_counted(len(audited.findings), 'finding')}: {', '.join(rules)}" if rules else "nothing to object to"
    yield "bold", _indented(total, width)


def _survival(topology: AuditedTopology) -> Iterator[str]:
    """Say first what the audit is for: what does not come back by itself."""
    stays = survival(topology)
    when = "after a restart or upgrade of the engine"
    if stays.restarted:
        yield f"{when} these stay down: {_names(stays.restarted)}"
    if stays.restarted_perhaps:
        yield f"{when} these stay down if they end well when stopped: {_names(stays.restarted_perhaps)}"
    if not stays.restarted and not stays.restarted_perhaps:
        yield f"{when} every service runs again"
    if stays.killed:
        yield f"after a kill of the engine these stay down too: {_names(stays.killed)}"


def _grouped(findings: Sequence[AuditFinding]) -> dict[tuple[str, str], list[AuditFinding]]:
    groups: dict[tuple[str, str], list[AuditFinding]] = {}
    for finding in findings:
        groups.setdefault((finding.text, finding.mend), []).append(finding)
    return groups


def _places(findings: Sequence[AuditFinding], width: int) -> Iterator[str]:
    """A line for each place, with the services it is about."""
    by_place: dict[str, list[str]] = {}
    for finding in findings:
        by_place.setdefault(str(finding.at), []).append(finding.service)
    column = min(max(map(len, by_place)), width // 2)
    for place, services in by_place.items():
        yield _indented(f"{place:<{column}}  {_names(services)}", width, by=4, more=2)


def _names(services: Sequence[str]) -> str:
    more = f" and {len(services) - _NAMED} more" if len(services) > _NAMED else ""
    return ", ".join(services[:_NAMED]) + more


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _indented(text: str, width: int, *, by: int = 0, more: int = 2) -> str:
    """Wrap a text to a width, `by` columns in and its further lines `more` than that; names are never broken."""
    return textwrap.fill(
        text,
        width,
        initial_indent=" " * by,
        subsequent_indent=" " * (by + more),
        break_long_words=False,
        break_on_hyphens=False,
    )
