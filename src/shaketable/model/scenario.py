"""A scenario as typed, frozen data: the topology, its variants, load, observers, faults and expectations.

Times are seconds (float), rates are per second, shares are 0..1. How the text forms (`200ms`, `99 %`, `24 /s`) are read
is in `units`. The loader in `run.loader` turns a YAML file into a `Scenario` or a list of problems.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shaketable.model.claims import Expectation
from shaketable.model.faults import Fault, Rollout
from shaketable.model.parts import Model, NameStr, Number
from shaketable.model.spans import show_parts
from shaketable.model.units import Duration, Rate, Share

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
    soak: Annotated[Duration, Field(gt=0)] | None = None
    """How long each stage of the roll-out is looked at in this variant, where that is what was corrected."""


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


CONTAINERS: tuple[str, ...] = ("names", "starts", "ends", "limits")
"""What a list of a holder of the kind `containers` can be.

`ends` and `limits` are of one instance or nested host when it is named (`ends web`); `limits` always is. Their entries
are JSON texts: model.kernel has their shape.
"""

CONTAINER_GAUGES: tuple[str, ...] = (
    "cpu",
    "throttled",
    "memory",
    "processes",
    "files",
    "disk",
    "oom-kills",
    "failed-forks",
)
"""What a gauge of a holder of the kind `containers` can be, of one instance or nested host: `cpu shared-store`.

`cpu` is the share of its CPU limit that it used in the last second, `throttled` the share of that second in which it was
held back, `memory`, `processes` and `files` (open ones, of the process nearest to its limit) the share of their limits,
`disk` how full the fullest file system is that it writes to and that has a size of its own. A limit is the tightest that
holds the instance: its own, that of its nested host, or the machine. `oom-kills` and `failed-forks` count up: processes
killed for want of memory, and forks that the limit of processes refused.
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


_FROM_BESIDE = 0.1
"""Seconds between two looks of a holder that is looked at from beside the targets, unless it says otherwise."""


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

    @property
    def pace(self) -> float | None:
        """Time between two looks; None for as often as all are looked at that say nothing."""
        return self.every or (_FROM_BESIDE if self.kind in {"containers", "database"} else None)


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


class Topology(Model):
    """Where the compose files are, relative to the scenario file."""

    compose: str
    lanes: Annotated[int, Field(ge=1)] | None = None
    """At most so many copies side by side, whatever is asked for: for a topology that fills a small machine."""


class Compression(Model):
    """How much faster than life the scenario lets time pass, declared: whatever counts real time says so beside it."""

    times: Annotated[float, Field(allow_inf_nan=False, gt=1)]
    """Seconds of life in each second of a trial."""
    because: Annotated[str, Field(min_length=1)]
    """What was made faster, and how: `each run leaks 4 MiB instead of 4 KiB`."""

    @property
    def words(self) -> str:
        """`1 s here is 10 min of life: each run leaks 4 MiB instead of 4 KiB`."""
        return f"1 s here is {show_parts(self.times)} of life: {self.because}"

    def life(self, seconds: float) -> str:
        """What so many seconds of a trial stand for: `1 h 20 min of life`."""
        return f"{show_parts(seconds * self.times)} of life"


class Scenario(Model):
    """One executable incident."""

    shaketable: Literal[1]
    name: NameStr
    story: str = ""
    compression: Compression | None = None
    topology: Topology
    variants: dict[NameStr, Variant] = Field(min_length=1)
    axes: dict[NameStr, tuple[str, ...]] = {}
    """Trials are run for every combination of these values; each combination is a cell of the matrix."""
    load: Load
    observers: Observers
    steady: Steady
    faults: tuple[Fault, ...] = ()
    rollout: Rollout | None = None
    """Its stages are faults, too: there is one, or a fault at least."""
    expectations: tuple[Expectation, ...] = Field(min_length=1)

    def soak(self, variant: str) -> float:
        """How long each stage of the roll-out is looked at in a variant, seconds; 0 without a roll-out."""
        if self.rollout is None:
            return 0.0
        own = self.variants[variant].soak if variant in self.variants else None
        return self.rollout.soak if own is None else own
