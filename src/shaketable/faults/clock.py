"""The wall clock of an instance, moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen
from shaketable.faults.host import each
from shaketable.model.units import Duration, show_duration
from shaketable.ports.targets import Target

_NEAR = 0.05
"""Seconds within which the witness measures a skew."""


class Skew(Params):
    """How far, and which way."""

    offset: Duration = Field(gt=0, le=10 * 365 * 86400, description="from the true time")
    direction: Literal["ahead", "behind"] = "ahead"

    @property
    def seconds(self) -> float:
        """With its sign."""
        return self.offset if self.direction == "ahead" else -self.offset


def _skew(target: Target, params: Skew) -> Plan:
    return Plan(each(target, "skew", offset_ns=round(params.seconds * 1e9)), each(target, "no-skew"))


def _looks(target: Target, _: Skew) -> Mapping[str, Look]:
    return {"clocks": {"see": "clocks", "members": [m.step for m in target.members]}}


def _wrong(seen: Seen) -> list[str]:
    wrong = []
    for name, clock in seen.now["clocks"]["clocks"].items():
        if clock["skew"] is None:
            wrong.append(f"{name} has ended")
        elif abs(clock["skew"] - seen.params.seconds) > _NEAR:
            wrong.append(
                f"the clock of {name} is {show_duration(clock['skew'])} off, not {show_duration(seen.params.seconds)}"
            )
        elif abs(clock["monotonic"]) > _NEAR:
            wrong.append(f"the monotonic clock of {name} is {show_duration(clock['monotonic'])} off")
    return wrong


def _says(seen: Seen) -> str:
    clocks = seen.now["clocks"]["clocks"].items()
    return "; ".join(
        f"{name}: {show_duration(c['skew'] or 0.0)} off, {c['others']} processes beside it" for name, c in clocks
    )


def _left(seen: Seen) -> list[str]:
    return [
        f"the clock of {name} is still off"
        for name, clock in seen.now["clocks"]["clocks"].items()
        if clock["skew"] or clock["others"]
    ]


CLOCK_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "clock",
        "clock",
        "time stamps, certificates and expiries that disagree with everybody else's",
        _skew,
        Proof(
            "the code that tells the target the time says so; its monotonic clock is true", _looks, _wrong, _says, _left
        ),
        params=Skew,
        needs=("clock",),
        example={"offset": "1 h"},
    ),
)
