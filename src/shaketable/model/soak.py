"""The soak ledger as typed, frozen data: which build has served how much clean trial time, in which scenario.

A *build* is what would be released: the images of all services of a variant's topology, those in nested hosts too, by
content. Real times are seconds of trials; life is what they stand for by the scenario's declared compression.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from json import dumps
from typing import Literal

from pydantic import ConfigDict, Field

from shaketable.model.result import Build, Part
from shaketable.model.scenario import Compression


def build_of(images: Mapping[str, str]) -> Build:
    """The build that consists of these images: their digests by service, `host/service` in nested hosts."""
    ordered = dict(sorted(images.items()))
    return Build(digest=sha256(dumps(ordered).encode()).hexdigest(), images=ordered)


class Strict(Part):
    """Base of what is in the file: what we do not know is not ours to write again."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Reset(Strict):
    """Why a build's time in a scenario was set to zero."""

    run: str
    trial: int
    at: str
    """UTC, ISO 8601: when the trial ended."""
    because: str
    """The sentence of the first expectation that did not hold."""
    lost_s: float
    """Life that had been served by then, seconds."""


class Soaked(Strict):
    """What one build has served in one variant of one scenario since it was last set to zero."""

    scenario: str
    variant: str
    build: str
    real_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    life_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    passed: Mapping[str, int] = {}
    """Trials that passed, by cell: `loop=cpu`, empty where there are no axes."""
    invalid: int = 0
    """Trials that proved nothing: they add nothing, and take nothing away."""
    compressions: tuple[Compression, ...] = ()
    """What was declared of the trials that count, each once; real time is not in it."""
    first: str
    last: str
    """When the first and the latest trial of this build ended, UTC, ISO 8601."""
    resets: int = 0
    reset: Reset | None = None
    """The latest."""


class Ledger(Strict):
    """All of the file."""

    soak: Literal[1] = Field(validation_alias="shaketable-soak", serialization_alias="shaketable-soak")
    """Version of the file's schema."""
    builds: Mapping[str, Mapping[str, str]] = {}
    """Digest of the image by service, by the build's digest."""
    served: tuple[Soaked, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Served(Part):
    """One trial as the ledger counts it."""

    scenario: str
    variant: str
    build: Build
    cell: str
    run: str
    trial: int
    outcome: Literal["pass", "fail", "invalid"]
    seconds: float
    """From steady state to the trial's end."""
    ended: str
    because: str = ""
    compression: Compression | None = None
