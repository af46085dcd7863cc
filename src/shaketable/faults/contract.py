"""What every fault is: typed parameters, a plan (steps and their undo) and a proof (looks, and what they must show).

All of it is data or pure. The agent carries steps out, another process takes the looks, and what they show is compared
here: before the fault, while it lasts, and after it was undone. A reader who knows one fault knows all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from shaketable.model.errors import TopologyError
from shaketable.model.history import Witnessed
from shaketable.model.parts import Model
from shaketable.ports.targets import Target

Step: TypeAlias = dict[str, Any]
Look: TypeAlias = Mapping[str, Any]
Reading: TypeAlias = Mapping[str, Any]
Family = Literal[
    "process", "host", "network", "resource", "disk", "database", "clock", "dependency", "engine", "release"
]

Revive: TypeAlias = Literal["no", "start", "if-ended"]
"""Afterwards: `start` again what the fault ended, the engine's restart policy suspended meanwhile; or only `if-ended`."""


class Params(Model):
    """Base of every fault's parameters; a fault without any uses this very class."""


class UnfitError(TopologyError):
    """A target that cannot have a fault: the message says why, and what it lacks."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the agent is asked to do, and what undoes it."""

    steps: tuple[Step, ...]
    undo: tuple[Step, ...] = ()
    revive: Revive = "no"
    grace: float | None = None
    """For a goodbye: seconds until what has not ended is killed."""
    returns: float | None = None
    """Seconds after which what was ended comes back by itself, while the fault is still looked at."""
    notes: tuple[str, ...] = ()
    """What a reader must know, as which of two mechanisms is at work."""
    settles: float = 0.0
    """Seconds that undoing it may take once it was asked for; it is healed when nothing of it is left."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Readings by the name of their look: before the fault, and now. `lasting`: the effect was witnessed before."""

    target: Target
    params: Any
    before: Mapping[str, Reading]
    now: Mapping[str, Reading]
    lasting: bool = False


def _nothing(_: Seen) -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Proof:
    """How a fault is witnessed.

    `looks` are taken again and again; `wrong` says what differs from the claim (nothing: witnessed), `says` what was
    seen in words, and `left` what of the fault is still there after heal.
    """

    claim: str
    looks: Callable[[Target, Any], Mapping[str, Look]]
    wrong: Callable[[Seen], list[str]]
    says: Callable[[Seen], str]
    left: Callable[[Seen], list[str]] = _nothing
    lasts: bool = True
    """Whether it must still be seen just before heal; not where the system under test may end it by itself."""


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One entry of the catalogue. `summary` is what a peer sees and `disk` what a disk sees, for people."""

    kind: str
    family: Family
    summary: str
    plan: Callable[[Target, Any], Plan]
    proof: Proof
    params: type[Params] = Params
    disk: str = "untouched"
    needs: tuple[str, ...] = ()
    """Names of what the machine must be able to do (`agent.abilities`)."""
    whole_host: bool = False
    """Whether it acts on a network namespace, which all containers of a host share."""

    example: Mapping[str, Any] = field(default_factory=dict)
    """Parameters as one would write them (`{"delay": "50 ms"}`): shown in the catalogue, and used by `conform`."""
    roles: tuple[str, ...] = ("server",)
    """What a target must be to have this fault: the names of the canary's hosts that `conform` tries it on."""
    speaks_of_peers: bool = False
    """Whether its plan or its looks need `Target.peers`."""

    def plan_for(self, target: Target, params: Params) -> Plan:
        """Make the plan. Raises UnfitError when this target cannot have this fault."""
        if self.whole_host and target.shared_with:
            others = ", ".join(target.shared_with)
            raise UnfitError(
                f"{self.kind} acts on a network namespace, and that of {target.name} is also used by {others}",
                hint=f"name their host as the target of {self.kind}, not the instance",
            )
        plan = self.plan(target, params)
        if plan.revive == "start" and target.shared_with and any(m.holds_namespace for m in target.members):
            others = ", ".join(target.shared_with)
            raise UnfitError(
                f"{target.name} brings the network namespace that {others} also live in: ended alone it would leave "
                "them in one without a link",
                hint=f"name their host as the target of {self.kind}",
            )
        return plan


def _words(differences: list[str]) -> str:
    return "; ".join(differences[:4]) + (f" and {len(differences) - 4} more" if differences[4:] else "")


def witness(kind: FaultKind, seen: Seen) -> Witnessed:
    """Compare. `at` is the time of the last look that completed the picture, or None with the differences in `seen`."""
    wrong = [f"{name} could not be seen: {r['error']}" for name, r in seen.now.items() if r.get("error")]
    wanted = kind.proof.looks(seen.target, seen.params)
    wrong += [f"{name} was not looked at" for name in wanted if name not in seen.now]
    if not wanted:
        wrong.append("nothing was looked at")
    wrong = wrong or kind.proof.wrong(seen)
    if wrong:
        return Witnessed(None, kind.proof.claim, _words(wrong))
    return Witnessed(max(float(r["at"]) for r in seen.now.values()), kind.proof.claim, kind.proof.says(seen))


def residue(kind: FaultKind, seen: Seen) -> list[str]:
    """What of the fault is still to be seen after heal; a look that fails counts, for then nobody knows."""
    wrong = [f"{name} could not be seen: {r['error']}" for name, r in seen.now.items() if r.get("error")]
    return wrong or kind.proof.left(seen)
