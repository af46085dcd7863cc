"""A change of the system's own as a fault: `deploy` runs a command where an instance runs, as its people would.

A release, a switched feature or a changed setting is no failure of anything beneath the system, and still what many
incidents began with. The command, what undoes it, and what shows that it was done are the user's own words. An
instance that was started again since keeps the files of its container, so it is looked at and undone in its present life.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen
from shaketable.faults.host import each
from shaketable.ports.targets import Target

_SETTLES = 15.0
"""Seconds in which an instance that ends again and again must be there once, so that it is seen what is left."""


class Deploy(Params):
    """What is run, each as a list of words."""

    command: tuple[str, ...] = Field(min_length=1, description="what makes the change, run in the instance as its user")
    undo: tuple[str, ...] = Field(min_length=1, description="what takes it back")
    check: tuple[str, ...] = Field(min_length=1, description="what tells whether it was made, and changes nothing")
    shows: str = Field(min_length=1, description="text in what the check prints, once it was made and not before")


def _plan(target: Target, params: Deploy) -> Plan:
    command, undo = (each(target, "command", words=words) for words in (params.command, params.undo))
    return Plan(command, undo, settles=_SETTLES)


def _looks(target: Target, params: Deploy) -> Mapping[str, Look]:
    return {m.name: {"see": "command", "words": list(params.check), **m.step} for m in target.members}


def _wrong(seen: Seen) -> list[str]:
    """It must be shown, and not have been before; an instance that it ended need not run when it is looked at again."""
    text = seen.params.shows
    wrong = [f"in {name} the check already printed {text!r}" for name, r in seen.before.items() if _shows(r, text)]
    failed = {name: r.get("error") or r["output"] for name, r in seen.before.items() if r.get("error") or r.get("away")}
    wrong += [f"in {name} the check failed before: {why}" for name, why in failed.items()]
    return wrong + [
        f"in {name} the check printed {str(r.get('output', ''))[:80]!r}"
        for name, r in seen.now.items()
        if not _shows(r, text) and not (seen.lasting and r.get("away"))
    ]


def _shows(reading: Mapping[str, object], text: str) -> bool:
    return reading.get("code") == 0 and text in str(reading.get("output", ""))


def _says(seen: Seen) -> str:
    return "; ".join(f"{name}: {str(r['output'])[:80]}" for name, r in seen.now.items())


def _left(seen: Seen) -> list[str]:
    away = [f"{name} could not be looked at: {r['output']}" for name, r in seen.now.items() if r.get("away")]
    return away + [f"in {name} it is still made" for name, r in seen.now.items() if _shows(r, seen.params.shows)]


RELEASE_FAULTS: tuple[FaultKind, ...] = (
    FaultKind(
        "deploy",
        "release",
        "another version or setting of the system itself, by a command of its own",
        _plan,
        Proof("the check shows it, and did not before", _looks, _wrong, _says, _left),
        params=Deploy,
        disk="as the command does",
        example={
            "command": ["touch", "/dev/shm/deployed"],
            "undo": ["rm", "-f", "/dev/shm/deployed"],
            "check": ["ls", "/dev/shm"],
            "shows": "deployed",
        },
    ),
)
