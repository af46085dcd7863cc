"""What an audit found in each variant's configuration before any fault, where a scenario asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shaketable.checks.audit import chosen
from shaketable.model.audit import AuditFinding
from shaketable.model.claims import Audit
from shaketable.model.history import TrialHistory
from shaketable.model.scenario import Scenario


@dataclass(frozen=True, slots=True)
class AuditView:
    """One variant's findings, as far as the scenario's rules go; the same in all of its trials."""

    variant: str
    findings: tuple[AuditFinding, ...]


def audit_views(scenario: Scenario, histories: Sequence[TrialHistory]) -> list[AuditView]:
    """Gather the findings of each variant that was audited, in the order of the scenario."""
    asked = [e for e in scenario.expectations if isinstance(e, Audit)]
    found: dict[str, tuple[AuditFinding, ...]] = {}
    for history in histories:
        if asked and history.scenario == scenario.name and history.audit is not None:
            counted = {finding for e in asked for finding in chosen(history.audit, e.rules, e.without)}
            found.setdefault(history.variant, tuple(f for f in dict.fromkeys(history.audit) if f in counted))
    return [AuditView(variant, found[variant]) for variant in scenario.variants if variant in found]
