"""What was recorded of one trial: the only input of the checks. All times are CLOCK_MONOTONIC seconds of the engine's machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from shaketable.model.audit import AuditFinding

WALL: Final = "wall"
"""What `environment` calls the wall-clock time at which the trial began, by the harness's clock: ISO 8601 with its zone."""


@dataclass(frozen=True, slots=True)
class Request:
    """One arrival: when it was due, when it began and ended, and what became of it."""

    scheduled: float
    started: float
    ended: float
    name: str
    ok: bool
    status: int
    """HTTP status, 0 where there was no answer."""
    error: str
    """Empty, or what went wrong in a few words."""
    served_by: str
    upstreams: tuple[str, ...]
    """`host/service` of every instance called on behalf of this request, tries that failed included."""
    wrote: str = ""
    """What was stored for it, by the answer's word; empty if it stored nothing. With `ok` it is an acknowledged write."""
    cohort: str = ""
    """Who asked, as `app=2.0,plan=free`: pairs of key and value sorted by key; empty if the user did not say."""

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Request:
        """Read a recorded row, whose columns are the fields in order; the last is missing in runs that are older than it."""
        scheduled, started, ended, name, ok, status, error, served_by, upstreams, wrote, *more = row
        seen = (scheduled, started, ended, name, ok, status, error, served_by)
        return cls(*seen, tuple(upstreams or ()), wrote or "", (more[0] if more else None) or "")

    @property
    def labels(self) -> Mapping[str, str]:
        """`cohort` as a mapping of its keys to their values."""
        pairs = (pair.partition("=") for pair in self.cohort.split(",") if pair)
        return {key: value for key, _, value in pairs}

    @property
    def latency(self) -> float:
        """Seconds from the scheduled start to the end."""
        return self.ended - self.scheduled


@dataclass(frozen=True, slots=True)
class LoadBeat:
    """What the load says of itself every 0.2 s: counts since the previous beat."""

    at: float
    planned: int
    not_started: int


@dataclass(frozen=True, slots=True)
class Look:
    """A holder's copy of one list from this moment on. `entries` is None while the holder could not be read.

    A gauge is on record as a list of its own name, whose one entry is the text of its number.
    """

    at: float
    holder: str
    list: str
    entries: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class LookBeat:
    """How closely a holder was watched since the previous beat: number of looks and the largest gap between two, seconds."""

    at: float
    holder: str
    looks: int
    max_gap: float


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What something other than the injector saw of a fault on one target."""

    at: float | None
    """When the claimed effect was first seen; None if it never was."""
    claim: str
    """What had to be seen, in words: "new connections get no answer, and the kernel says FROZEN"."""
    seen: str
    """What was seen, in words."""


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """One fault of a trial, from injection to heal."""

    id: str
    kind: str
    targets: tuple[str, ...]
    """Hosts, as `host-2`."""
    sent: float
    """When the harness asked for it."""
    injected: float
    """When the last member was hit."""
    members: Mapping[str, float]
    """Moment of effect by container name."""
    witness: Witnessed
    heal_began: float
    healed: float
    """When our undo was finished, restarts included."""
    clean: bool
    """Whether a look afterwards found nothing of the fault."""
    notes: tuple[str, ...] = ()
    """What a reader must know, as "the grace ran out, so 2 instances were killed"."""

    @property
    def skew(self) -> float:
        """Seconds between the first member hit and the last."""
        return max(self.members.values()) - min(self.members.values()) if self.members else 0.0

    @property
    def effective(self) -> bool:
        """Whether a witness saw the fault take effect."""
        return self.witness.at is not None


@dataclass(frozen=True, slots=True)
class Tripped:
    """A gate of a roll-out that tripped."""

    stage: str
    """The stage as a fault: `storage-canary`."""
    at: float
    """End of the arrival by which its budget burnt too fast: the gate could not know earlier."""
    bad: int
    arrivals: int
    """How many arrivals the window had by then, and how many of them were bad."""


@dataclass(frozen=True, slots=True)
class TrialHistory:
    """Everything recorded of one trial. A trial that broke off has `broke` set and may lack later parts."""

    scenario: str
    variant: str
    index: int
    seed: str
    axis: Mapping[str, str]
    lane: int
    began: float
    """When the trial began to wait for steady state."""
    steady: float | None
    """When steady state had held for its hold time; None if it never did."""
    faults: tuple[FaultRecord, ...]
    """In the order of the scenario."""
    recovered: float | None
    """Start of the first stretch after heal that stayed steady for the hold time; None if there was none."""
    ended: float
    heard: float
    """Up to when the load had been heard of when the trial was judged; arrivals that ended later are not part of it."""
    requests: Sequence[Request] = ()
    load_beats: Sequence[LoadBeat] = ()
    looks: Sequence[Look] = ()
    """Changes in time order; for each holder and list the first one is its state at or before `began`."""
    look_beats: Sequence[LookBeat] = ()
    broke: str = ""
    """Why the trial could not be carried through (the agent vanished, the engine is gone), or empty."""
    environment: Mapping[str, str] = field(default_factory=dict)
    audit: tuple[AuditFinding, ...] | None = None
    """Everything that an audit found in the variant's configuration before any fault; None if there was none."""
    tripped: Tripped | None = None
    """The gate that stopped the roll-out; None if none did, or there was no roll-out."""

    def fault(self, name: str | None = None) -> FaultRecord | None:
        """The fault with this id, or the first one of the scenario; None if it was not injected."""
        return next((f for f in self.faults if name is None or f.id == name), None)

    def wall(self, moment: float) -> datetime | None:
        """The wall-clock time at a moment of the trial; None in records that do not say when it began."""
        try:
            began = datetime.fromisoformat(self.environment.get(WALL, ""))
        except ValueError:
            return None
        return began + timedelta(seconds=moment - self.began)

    @property
    def targets(self) -> tuple[str, ...]:
        """Everything that any fault was aimed at."""
        return tuple(dict.fromkeys(target for f in self.faults for target in f.targets))

    @property
    def healed(self) -> float:
        """When the last fault was healed."""
        return max((f.healed for f in self.faults), default=0.0)
