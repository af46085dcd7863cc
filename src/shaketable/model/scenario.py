"""A scenario as typed, frozen data: the topology, its variants, load, observers, faults and expectations.

Times are seconds (float), rates are per second, shares are 0..1. How the text forms (`200ms`, `99 %`, `24 /s`) are read
is in `units`. The loader in `run.loader` turns a YAML file into a `Scenario` or a list of problems.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from shaketable.model.claims import Expectation
from shaketable.model.parts import Model, NameStr, Number
from shaketable.model.units import Duration, Rate, Share, Window

Expected = Literal["pass", "fail", "any"]


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
    wrote: str = "X-Wrote"
    """Response header naming what the request stored, as the entry of a list: an acknowledged write."""
    max_not_started: Share = 0.01


CONTAINERS: tuple[str, ...] = ("names", "starts")
"""What a list of a holder of the kind `containers` can be."""

CONTAINER_GAUGES: tuple[str, ...] = ("cpu", "throttled", "memory", "processes")
"""What a gauge of a holder of the kind `containers` can be, of one instance: `cpu shared-store`.

`cpu` is the share of its CPU limit that it used since the last look (of the machine, without a limit), `throttled` the
share of time in which it was held back, `memory` and `processes` the share of their limits.
"""

WAITS = "waits"
"""What a list of a holder of the kind `database` can be besides a SELECT: who waits for whose lock."""

DATABASE_GAUGES: tuple[str, ...] = (
    "sessions",
    "used",
    "blocked",
    "idle-transactions",
    "longest-transaction",
    "deadlocks",
    "replicas",
    "replica-lag",
)
"""What a gauge of a holder of the kind `database` can be besides a SELECT of one number.

`sessions` is the number of clients, `used` the share of the connections that the server allows, `blocked` how many wait
for a lock, `idle-transactions` how many have a transaction open and do nothing, `longest-transaction` the age of the
oldest in seconds, `deadlocks` how many there were since the server began to count, `replicas` how many stream from it,
`replica-lag` by how many seconds the last of them (on a replica: itself) is behind.
"""


class Holder(Model):
    """One holder of service lists, and how its copy is read.

    `at` is `host:port` as seen inside the topology's network. `lists` maps a list's name to where it is in the holder:
    for `etcd` a key pattern (`/services/{service}/{host}`), for `haproxy` a `backend/server` pattern
    (`{service}/{host}`), for `http-json` the name of an array of strings in the answer to `GET path`.
    Entries are written `host` or `host/service`, whatever the holder calls them. `gauges` of an `http-json` maps a
    gauge's name to the name of a number in the same answer.

    The kind `containers` is what runs by the kernel's word. It is looked at beside the targets, so it has no `at`; its
    lists are `names` (`host/service`) or `starts` (`host/service` and the second of CLOCK_MONOTONIC it started at). Its
    gauges are what the kernel counts of an instance: CONTAINER_GAUGES.

    The kind `database` is a PostgreSQL or MariaDB server, asked by its own client in `instance`, in a session that is
    kept. A list of it is `waits` or a SELECT of one column, a gauge one of DATABASE_GAUGES or a SELECT of one number.
    """

    kind: Literal["etcd", "haproxy", "http-json", "containers", "database"]
    at: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+:[0-9]{1,5}$")] | None = None
    lists: dict[NameStr, str] = {}
    gauges: dict[NameStr, str] = {}
    path: str = "/"
    instance: str | None = None
    """The instance that a `database` runs in."""
    database: str = ""
    """Which database of the server: `postgres`, or none in MariaDB, when not named."""
    user: str = ""
    """As whom: `postgres`, or `root` in MariaDB, when not named."""
    password: str = ""
    """Where the local socket asks for one."""
    socket: str = ""
    """Its folder (PostgreSQL) or the socket itself (MariaDB), where it is not the usual one."""
    every: Duration | None = None
    """Time between two looks; `observers.every` unless told, for `containers` and `database` 0.1 s."""


class Observers(Model):
    """What is read continuously. A trial whose largest gap between two looks exceeds `max_gap` is invalid."""

    every: Duration = 0.005
    max_gap: Duration = 0.25
    holders: dict[NameStr, Holder] = Field(min_length=1)


class Steady(Model):
    """What must hold for `hold` without a break before a fault and again after: list sizes, gauges, successful arrivals."""

    lists: dict[NameStr, int] = Field(min_length=1)
    """Number of entries of each list, in every holder that has it."""
    gauges: dict[NameStr, Number] = {}
    """What each gauge is at most, in every holder that has it."""
    hold: Duration = 0.3
    within: Duration = 30.0


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
    """The parameters of the kind, as `shaketable faults` lists them."""
    repeat: Repeat | None = None
    escalate: dict[str, tuple[Any, ...]] = {}
    """With `repeat`: a parameter's value for each time; the last one stays."""


class Topology(Model):
    """Where the compose files are, relative to the scenario file."""

    compose: str
    lanes: Annotated[int, Field(ge=1)] | None = None
    """At most so many copies side by side, whatever is asked for: for a topology that fills a small machine."""


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
    faults: tuple[Fault, ...] = Field(min_length=1)
    expectations: tuple[Expectation, ...] = Field(min_length=1)
