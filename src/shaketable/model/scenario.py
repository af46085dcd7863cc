"""A scenario as typed, frozen data: the topology, its variants, load, observers, faults and expectations.

Times are seconds (float), rates are per second, shares are 0..1. How the text forms (`200ms`, `99 %`, `24 /s`) are read
is in `units`. The loader in `run.loader` turns a YAML file into a `Scenario` or a list of problems.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from shaketable.model.units import Duration, Rate, Share, Window

FaultKind = Literal["stop", "kill", "freeze", "power-off", "cut"]
FAULT_KINDS: tuple[FaultKind, ...] = ("stop", "kill", "freeze", "power-off", "cut")
Expected = Literal["pass", "fail", "any"]
NameStr = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Model(BaseModel):
    """Base of every scenario part: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FailsAtLeast(Model):
    """The variant is expected to fail in this cell, in at least this share of the valid trials."""

    fails_at_least: Share
    fails_at_most: Share = 1.0


class Variant(Model):
    """The system as it was, or as corrected: compose files (relative to the topology folder) and the expected verdict."""

    files: tuple[str, ...] = Field(default=("compose.yaml",), min_length=1)
    expect: Literal["pass", "fail"] = "pass"
    cells: dict[str, Expected | FailsAtLeast] = {}
    """Expected verdict by value of the first axis (`kill: pass`); a value not named may do either."""


class Load(Model):
    """Scheduled arrivals of an open model, made by Locust in the topology's network with the user's own locustfile."""

    locustfile: str
    target: str
    rate: Rate
    arrivals: Literal["poisson", "constant"] = "poisson"
    timeout: Duration = 5.0
    served_by: str = "X-Served-By"
    """Response header naming the instance that answered."""
    upstreams: str = "X-Upstreams"
    """Response header naming the instances called on behalf of the request: `host-1/orders, host-2/billing`."""
    max_not_started: Share = 0.01


class Holder(Model):
    """One holder of service lists, and how its copy is read.

    `at` is `host:port` as seen inside the topology's network. `lists` maps a list's name to where it is in the holder:
    for `etcd` a key pattern (`/services/{service}/{host}`), for `haproxy` a `backend/server` pattern
    (`{service}/{host}`), for `http-json` the name of an array of strings in the answer to `GET path`.
    Entries are written `host` or `host/service`, whatever the holder calls them.
    """

    kind: Literal["etcd", "haproxy", "http-json"]
    at: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+:[0-9]{1,5}$")]
    lists: dict[NameStr, str] = Field(min_length=1)
    path: str = "/"
    every: Duration | None = None
    """Time between two looks; `observers.every` unless told."""


class Observers(Model):
    """What is read continuously. A trial whose largest gap between two looks exceeds `max_gap` is invalid."""

    every: Duration = 0.005
    max_gap: Duration = 0.25
    holders: dict[NameStr, Holder] = Field(min_length=1)


class Steady(Model):
    """What must hold for `hold` without a break before a fault and again after: list sizes, and arrivals that succeed."""

    lists: dict[NameStr, int] = Field(min_length=1)
    """Number of entries of each list, in every holder that has it."""
    hold: Duration = 0.3
    within: Duration = 30.0


class Target(Model):
    """What a fault acts on: `host: host-2`, `host: one of` (drawn from the seed), or `host: $axis`."""

    host: str


class Fault(Model):
    """One fault of the schedule. `kind` is a fault kind or `$axis`; `after` is a moment, or a window to draw one from."""

    id: NameStr
    kind: str
    target: Target
    after: Window = (0.0, 0.0)
    lasts: Duration = Field(gt=0)
    grace: Duration = 2.0
    """For `stop`: how long the instances have to say goodbye before they are killed."""


class Leaves(Model):
    """Every entry of the target leaves `list` in every holder within the limit, and none comes back before heal."""

    kind: Literal["leaves"]
    id: NameStr
    list: NameStr
    within: Duration


class Stays(Model):
    """No entry of a bystander leaves `list` in any holder, from the fault until the end of the trial."""

    kind: Literal["stays"]
    id: NameStr
    list: NameStr


class NotCalled(Model):
    """No request that starts later than `after` the fault, and before heal, is sent on to the target."""

    kind: Literal["not-called"]
    id: NameStr
    after: Duration


class Availability(Model):
    """Share of arrivals that succeed, from the fault until steady again, without the first `except_first` seconds."""

    kind: Literal["availability"]
    id: NameStr
    at_least: Share
    except_first: Duration = 0.0


class Latency(Model):
    """A quantile of the latency from the scheduled start, in the same window as `availability`."""

    kind: Literal["latency"]
    id: NameStr
    quantile: Share = 0.99
    at_most: Duration
    except_first: Duration = 0.0


class Appears(Model):
    """An entry with the text `contains` (`{target}` stands for the target's name) newly appears in `list` within the limit."""

    kind: Literal["appears"]
    id: NameStr
    list: NameStr
    contains: str = "{target}"
    within: Duration


class Recovers(Model):
    """Steady state is reached, and held, within the limit after heal."""

    kind: Literal["recovers"]
    id: NameStr
    within: Duration


Expectation = Annotated[
    Leaves | Stays | NotCalled | Availability | Latency | Appears | Recovers, Field(discriminator="kind")
]


class Topology(Model):
    """Where the compose files are, relative to the scenario file."""

    compose: str


class Scenario(Model):
    """One executable incident."""

    shaketable: Literal[1]
    name: NameStr
    story: str = ""
    topology: Topology
    variants: dict[NameStr, Variant] = Field(min_length=1)
    axes: dict[NameStr, tuple[str, ...]] = {}
    """Trials are run for every combination of these values; each combination is a cell of the matrix."""
    load: Load
    observers: Observers
    steady: Steady
    faults: tuple[Fault, ...] = Field(min_length=1, max_length=1)
    expectations: tuple[Expectation, ...] = Field(min_length=1)
