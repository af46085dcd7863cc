"""What an audit of a topology's configuration looks at, and what it finds, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

T = TypeVar("T")

AuditRule = Literal["restart-policy", "live-restore", "held-packages", "pinned-versions", "limits", "health-check"]

RULES: Final[Mapping[AuditRule, str]] = {
    "restart-policy": "what its policy does not bring back stays down when the engine restarts",
    "live-restore": "without it every container stops whenever its engine does",
    "held-packages": "an engine that upgrades itself restarts when nobody is looking",
    "pinned-versions": "what has no version is another one after the next pull or upgrade",
    "limits": "one service without limits can take the whole machine, its engine included",
    "health-check": "without one, what hangs looks as if it were well",
}
"""Each rule and, in a line, why it is one; in the order of a report."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file; line and col count from 1."""

    file: str
    line: int
    col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"


@dataclass(frozen=True, slots=True)
class Setting(Generic[T]):
    """What is set, and where; where nothing is set, `at` is what it would be set for."""

    value: T
    at: Place


@dataclass(frozen=True, slots=True)
class AuditedService:
    """What the files say of one service. `name` is `web`, or `host-3/web` on a nested host."""

    name: str
    restart: Setting[str]
    """`no`, `on-failure`, `unless-stopped` or `always`; empty if the files say nothing."""
    memory: Setting[bool]
    """Whether its memory is limited."""
    pids: Setting[bool]
    """Whether the number of its processes is limited."""
    health: Setting[Literal["", "checked", "disabled"]]
    """By the compose files, or by the Dockerfile where it is built from one; empty if neither says anything."""
    images: tuple[Setting[str], ...] = ()
    """Images from outside that it runs, or is built from, as they were written."""
    built: bool = False
    """Whether `images` are what its Dockerfile begins from."""
    stop_signal: str = ""
    """As the compose files say; empty if they do not."""
    job: bool = False
    """It is meant to end: another service waits for it to complete."""
    deployed: bool = False
    """Its limits are those of `deploy`; compose refuses both forms beside each other."""
    live_restore: bool = False
    """Whether its engine is known to have live-restore."""


@dataclass(frozen=True, slots=True)
class AuditedEngine:
    """What the files say of a nested host's engine; of the topology's own engine, what it says itself."""

    name: str
    live_restore: Setting[bool]
    version: Setting[str] | None = None
    """Empty if none is named; None if that is not the files' business."""
    hold: Setting[bool] | None = None
    """Whether its packages are held; None if that is not known."""

    @property
    def nested(self) -> bool:
        """Whether it is a nested host's."""
        return self.version is not None


@dataclass(frozen=True, slots=True)
class AuditedTopology:
    """Everything that the rules are about."""

    services: tuple[AuditedService, ...]
    engines: tuple[AuditedEngine, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that a rule objects to."""

    rule: AuditRule
    service: str
    """`web`, `host-3/web`, or the name of a nested host or engine."""
    at: Place
    """The offending place: what sets it, else where it should be set."""
    text: str
    """What is wrong, as the rest of a sentence that begins with the service's name."""
    mend: str
    """What to write."""

    @property
    def sentence(self) -> str:
        """What is wrong, as a sentence for people."""
        return f"{self.service} {self.text}"


@dataclass(frozen=True, slots=True)
class Survival:
    """Services that do not come back by themselves, by what happens to their engine."""

    restarted: tuple[str, ...]
    """These stay down when it restarts or is upgraded."""
    restarted_perhaps: tuple[str, ...]
    """These stay down then if they end without an error when they are stopped."""
    killed: tuple[str, ...]
    """These come back then, but stay down when it was killed and starts again."""
