"""What a scenario injects, as typed, frozen data: faults, and a roll-out whose stages are faults.

Times are seconds (float), shares are 0..1.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from shaketable.model.parts import Label, Model, NameStr
from shaketable.model.units import Duration, Share, Window

SELECTORS: tuple[str, ...] = ("one of", "all", "minority", "majority")
"""What a selector can say besides a name: one drawn from the seed, all, or the smaller or larger part, drawn too."""


class Selector(Model):
    """What a fault acts on: a `host` or an `instance` (one container), by name, `$axis` or one of SELECTORS."""

    host: str | None = None
    instance: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Selector:
        if (self.host is None) == (self.instance is None):
            raise ValueError("name either a host or an instance")
        return self

    @property
    def name(self) -> str:
        """What stands there."""
        return self.host or self.instance or ""


class When(Model):
    """The marker that a fault's `after` counts from, instead of steady state: exactly one of these."""

    effective: NameStr | None = None
    """Another fault, once it was witnessed."""
    healed: NameStr | None = None
    """Another fault, once it was undone."""
    changes: NameStr | None = None
    """A list, once its copy in any holder differs from what it was in steady state."""
    answered: Annotated[int, Field(ge=1)] | None = None
    """So many requests answered well since steady state."""

    @model_validator(mode="after")
    def _one(self) -> When:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("name exactly one of effective, healed, changes and answered")
        return self


class Repeat(Model):
    """The same fault again and again: `times` in all, the next one `every` after the heal of the one before."""

    times: Annotated[int, Field(ge=2, le=1000)]
    every: Duration = 1.0


class Fault(Model):
    """One fault of the schedule. `kind` is a fault kind or `$axis`; `after` is a moment, or a window to draw one from."""

    id: NameStr
    kind: str
    target: Selector
    when: When | None = None
    after: Window = (0.0, 0.0)
    lasts: Duration = Field(gt=0)
    parameters: dict[str, Any] = Field(default={}, alias="with")
    """The parameters of the kind, as `shaketable faults` lists them; `$axis` in any text of them is the trial's value."""
    repeat: Repeat | None = None
    escalate: dict[str, tuple[Any, ...]] = {}
    """With `repeat`: a parameter's value for each time; the last one stays."""


class Stage(Model):
    """One stage of a roll-out: where the release comes next."""

    id: NameStr
    target: Selector


class Gate(Model):
    """What stops a roll-out: the error budget of the stages that have the release burns too fast.

    It looks at the arrivals that were due after a stage took effect, when they have ended: those by users of the cohort
    `by=<stage id>`, or all if `by` is absent. The burn of a window is the share of bad arrivals (failed, or slower than
    `at_most`) divided by the share that `objective` allows. Above `burn` it trips.
    """

    by: Label | None = None
    """The key of the cohort whose value is the stage's id."""
    objective: Annotated[Share, Field(gt=0, lt=1)] = 0.99
    at_most: Duration | None = None
    burn: Annotated[float, Field(allow_inf_nan=False, gt=0)] = 10.0
    window: Annotated[Duration, Field(gt=0)] = 2.0
    arrivals: Annotated[int, Field(ge=1)] = 10
    """So many must have ended in a window: of fewer, one that is bad by chance would be a large share."""
    requests: tuple[str, ...] = ()
    """Names of the requests that count; all unless told."""


class Rollout(Model):
    """A release that comes to one stage after another, each a fault named `<id>-<stage>`.

    The next stage begins when the one before has soaked and no gate has tripped. When one trips, no stage follows and
    all are undone at once, the last first. If none trips until the last stage has soaked, nobody looks any more: it
    stays for `lasts`, then all are undone.
    """

    id: NameStr
    kind: str
    parameters: dict[str, Any] = Field(default={}, alias="with")
    """The parameters of the kind; in any text of them `{stage}` is the stage's id, and `$axis` the trial's value."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    when: When | None = None
    after: Window = (0.0, 0.0)
    """From steady state, or from the marker, to the first stage."""
    soak: Annotated[Duration, Field(gt=0)]
    """How long each stage is looked at before the next."""
    gate: Gate = Gate()
    lasts: Annotated[Duration, Field(gt=0)]
    """How long all stay after the last stage's soak."""

    @property
    def names(self) -> tuple[str, ...]:
        """The stages as faults, in order."""
        return tuple(f"{self.id}-{stage.id}" for stage in self.stages)
