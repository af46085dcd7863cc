"""What every expectation's check comes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from shaketable.model.result import Evidence, Finding


class Identified(Protocol):
    """An expectation: its name in the scenario, and its kind."""

    @property
    def id(self) -> str:
        """Its name in the scenario."""

    @property
    def kind(self) -> str:
        """Its kind, as written there."""


def finding(
    expectation: Identified,
    verdict: Literal["pass", "fail", "unknown"],
    because: str,
    value: float | None = None,
    limit: float | None = None,
    *,
    unit: str = "s",
    evidence: Sequence[Evidence] = (),
) -> Finding:
    """What an expectation came to: `value` and `limit` in `unit`, evidence in seconds after the fault's effect."""
    return Finding(
        id=expectation.id,
        kind=expectation.kind,
        verdict=verdict,
        value=None if value is None else round(value, 6),
        limit=limit,
        unit=unit,
        because=because,
        evidence=tuple(evidence),
    )


def names(hosts: Sequence[str]) -> str:
    """`host-1 and host-2`."""
    return " and ".join(hosts)
