"""Verdicts and the result of a campaign; `Result` is `result.json`, schema version 1, the contract with CI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from shaketable.model.scenario import Compression

Outcome = Literal["pass", "fail", "invalid"]
Verdict = Literal["pass", "fail", "inconclusive"]


class Part(BaseModel):
    """Base of every part of a result."""

    model_config = ConfigDict(frozen=True)


class Evidence(Part):
    """An interval or moment that a finding rests on, for the report: seconds relative to the fault's effect."""

    where: str
    """The lane of the timeline: a holder's name, `pages`, or a fault id."""
    start: float
    end: float
    text: str


class Finding(Part):
    """What one expectation came to in one trial. `because` is a sentence naming who, what and how long."""

    id: str
    kind: str
    verdict: Literal["pass", "fail", "unknown"]
    value: float | None
    limit: float | None
    unit: str
    because: str
    evidence: tuple[Evidence, ...] = ()


class FaultOutcome(Part):
    """One fault of one trial. Times are seconds since the trial began."""

    id: str
    kind: str
    targets: tuple[str, ...]
    effective: bool
    sent_s: float
    injected_s: float
    witnessed_s: float | None
    healed_s: float
    skew_s: float
    clean: bool
    claim: str
    seen: str
    notes: tuple[str, ...] = ()


class Watch(Part):
    """How closely a holder was watched during the trial."""

    holder: str
    looks: int
    max_gap_s: float


class Trial(Part):
    """One run of one variant with one seed."""

    index: int
    lane: int
    outcome: Outcome
    axis: Mapping[str, str]
    seed: str
    seconds: float
    invalid_because: tuple[str, ...] = ()
    arrivals: int = 0
    not_started: int = 0
    clean_s: float = 0.0
    """From steady state to the trial's end: what counts for a soak, if it passed."""
    ended: str = ""
    """When it ended, UTC, ISO 8601; empty in records that do not say."""
    detection_s: float | None = None
    """Fault effective until the last holder dropped the target's last entry."""
    recovery_s: float | None = None
    """Heal until steady, and held."""
    faults: tuple[FaultOutcome, ...] = ()
    expectations: tuple[Finding, ...] = ()
    watch: tuple[Watch, ...] = ()


class Counts(Part):
    """How the trials of a cell came out; `failed` counts among `valid`."""

    valid: int
    failed: int
    invalid: int


class Cell(Part):
    """All trials of one variant with the same axis values."""

    axis: Mapping[str, str]
    expected: str
    verdict: Verdict
    as_expected: bool
    trials: Counts
    failure_rate: float | None
    interval95: tuple[float, float]


class Build(Part):
    """What was tried: the images of all services of the variant's topology, those in nested hosts too."""

    digest: str
    """64 hexadecimal digits that change with any service or image."""
    images: Mapping[str, str]
    """Digest of the image's layers and configuration by service, `host/service` in nested hosts."""


class ScenarioResult(Part):
    """One variant of one scenario."""

    name: str
    variant: str
    expected: Literal["pass", "fail"]
    verdict: Verdict
    as_expected: bool
    cells: tuple[Cell, ...]
    trials: tuple[Trial, ...]
    compression: Compression | None = None
    """How much faster than life time passes in it, if it says so: all its times are of trials, not of life."""
    build: Build | None = None


class EngineFacts(Part):
    """The engine the campaign ran on."""

    version: str
    api: str
    compose: str
    kernel: str
    cgroup: str
    cpus: int


class Requested(Part):
    """What was asked for on the command line, so that it can be run again."""

    trials: int
    variants: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    """Cells, as `mode=kill`."""


class Residue(Part):
    """Something of ours found after heal."""

    what: str
    where: str
    hint: str


class Result(Part):
    """One campaign: `verdict` over all variants; `proved` is set by `prove` (every variant gave its expected verdict)."""

    schema_: Literal[1] = 1
    run: str
    command: str
    verdict: Verdict
    proved: bool | None = None
    seed: int
    lanes: int
    request: Requested = Requested(trials=1)
    began: str
    """UTC, ISO 8601."""
    seconds: float
    interrupted: bool = False
    problems: tuple[str, ...] = ()
    """What broke the campaign off before all its trials were run."""
    engine: EngineFacts
    residue: tuple[Residue, ...] = ()
    scenarios: tuple[ScenarioResult, ...]

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    def to_json(self) -> str:
        """The text of `result.json`."""
        return self.model_dump_json(indent=1).replace('"schema_": 1', '"schema": 1', 1)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read `result.json`. Raises pydantic.ValidationError."""
        return cls.model_validate_json(text.replace('"schema": 1', '"schema_": 1', 1))
