"""How clean trial time adds up for a build, and whether it is enough: pure functions over the soak ledger.

A trial that passes adds its time, one that fails sets the build back to zero in that scenario, and one that is invalid
does neither. Another build begins at zero; an earlier one that comes back has what it had.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shaketable.checks.verdict import expected_of
from shaketable.model.result import Build, Trial
from shaketable.model.scenario import Scenario
from shaketable.model.soak import Ledger, Reset, Served, Soaked

_SHORT = 12
_KEPT = 50
"""So many builds are kept of a variant of a scenario, the latest: the file stays small."""
_NAMED = 4
"""So many services are named of those whose image changed: many are often made from one."""


def cell_of(axis: Mapping[str, str]) -> str:
    """The cell of a trial: `loop=cpu`; empty where there are no axes."""
    return ", ".join(f"{name}={value}" for name, value in sorted(axis.items()))


def cells_that_must_pass(scenario: Scenario, variant: str) -> list[str]:
    """Cells in which the variant is expected to pass; elsewhere a trial says nothing about a build."""
    axes = (dict(zip(scenario.axes, values, strict=True)) for values in itertools.product(*scenario.axes.values()))
    return [cell_of(axis) for axis in axes if expected_of(scenario.variants[variant], axis) == "pass"]


def as_served(scenario: Scenario, variant: str, build: Build, run: str, trial: Trial) -> Served | None:
    """What the ledger counts of a trial; None where a pass was not expected of it."""
    if scenario.variants[variant].expect != "pass" or cell_of(trial.axis) not in cells_that_must_pass(
        scenario, variant
    ):
        return None
    return Served(
        scenario=scenario.name,
        variant=variant,
        build=build,
        cell=cell_of(trial.axis),
        run=run,
        trial=trial.index,
        outcome=trial.outcome,
        seconds=trial.clean_s,
        ended=trial.ended,
        because=next((f.because for f in trial.expectations if f.verdict == "fail"), ""),
        compression=scenario.compression,
    )


def accumulate(ledger: Ledger, served: Served) -> Ledger:
    """The ledger with one more trial."""
    digest = served.build.digest
    old = entry(ledger, served.scenario, served.variant, digest) or Soaked(
        scenario=served.scenario, variant=served.variant, build=digest, first=served.ended, last=served.ended
    )
    new = _counted(old, served).model_copy(update={"last": max(old.last, served.ended)})
    others = [one for one in ledger.served if _key(one) != _key(new)]
    same = sorted((one for one in others if _key(one)[:2] == _key(new)[:2]), key=lambda one: one.last)
    dropped = {_key(one) for one in same[: max(0, len(same) + 1 - _KEPT)]}
    kept = (*(one for one in others if _key(one) not in dropped), new)
    images = {**ledger.builds, digest: dict(served.build.images)}
    used = {one.build for one in kept}
    return Ledger(soak=1, builds={name: images[name] for name in sorted(used) if name in images}, served=kept)


def _counted(old: Soaked, served: Served) -> Soaked:
    if served.outcome == "invalid":
        return old.model_copy(update={"invalid": old.invalid + 1})
    if served.outcome == "fail":
        because = served.because or "an expectation did not hold"
        reset = Reset(run=served.run, trial=served.trial, at=served.ended, because=because, lost_s=old.life_s)
        zero = {"real_s": 0.0, "life_s": 0.0, "passed": {}, "invalid": 0, "compressions": ()}
        return old.model_copy(update={**zero, "resets": old.resets + 1, "reset": reset})
    times = served.compression.times if served.compression else 1.0
    declared = () if served.compression is None else (served.compression,)
    return old.model_copy(
        update={
            "real_s": round(old.real_s + served.seconds, 3),
            "life_s": round(old.life_s + served.seconds * times, 3),
            "passed": {**old.passed, served.cell: old.passed.get(served.cell, 0) + 1},
            "compressions": tuple(dict.fromkeys((*old.compressions, *declared))),
        }
    )


def _key(one: Soaked) -> tuple[str, str, str]:
    return one.scenario, one.variant, one.build


def entry(ledger: Ledger, scenario: str, variant: str, build: str) -> Soaked | None:
    """What a build has served in a variant of a scenario; None if no trial of it is on record."""
    return next((one for one in ledger.served if _key(one) == (scenario, variant, build)), None)


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether a build has served its time in a variant of a scenario. Times in seconds of life."""

    scenario: str
    variant: str
    build: str
    required: float
    served: Soaked | None
    untried: tuple[str, ...]
    """Cells of which no trial has passed since."""
    before: Soaked | None
    """The build that was tried last before this one, where this one is new."""
    changed: tuple[str, ...]
    """What makes it another: `the image of mailer`, `mailer is new`."""

    @property
    def missing(self) -> float:
        """How much is missing; 0 where it is enough."""
        return max(0.0, self.required - (self.served.life_s if self.served else 0.0))

    @property
    def passed(self) -> bool:
        """Whether it may be released: the time is served, and in each cell some of it."""
        return self.served is not None and self.missing <= 0 and not self.untried


def judge_soak(ledger: Ledger, scenario: Scenario, variant: str, build: str, required: float) -> Judged:
    """Hold what a build has served against what is required, seconds of life."""
    found = entry(ledger, scenario.name, variant, build)
    others = [one for one in ledger.served if _key(one)[:2] == (scenario.name, variant) and one.build != build]
    before = max((one for one in others if found is None or one.last <= found.first), key=_last, default=None)
    passed = found.passed if found else {}
    return Judged(
        scenario=scenario.name,
        variant=variant,
        build=build,
        required=required,
        served=found,
        untried=tuple(cell for cell in cells_that_must_pass(scenario, variant) if not passed.get(cell)),
        before=before,
        changed=() if before is None else changes(ledger.builds.get(before.build), ledger.builds.get(build)),
    )


def _last(one: Soaked) -> str:
    return one.last


def changes(before: Mapping[str, str] | None, now: Mapping[str, str] | None) -> tuple[str, ...]:
    """What tells one build from another, service by service; nothing where one of them is not known."""
    if before is None or now is None:
        return ()
    images = [name for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]
    said = [f"the image of {_several(images)} changed"] if images else []
    said += [f"{name} is new" for name in sorted(now.keys() - before.keys())]
    return (*said, *(f"{name} is gone" for name in sorted(before.keys() - now.keys())))


def _several(names: Sequence[str]) -> str:
    if len(names) > _NAMED:
        names = [*names[: _NAMED - 1], f"{len(names) - _NAMED + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def short(build: str) -> str:
    """A build's digest as people are shown it."""
    return build[:_SHORT]
