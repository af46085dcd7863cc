"""A fault of one's own, outside the package: the target's first process is stopped by SIGSTOP, and continued by SIGCONT.

Unlike `freeze` it stops one process of a container, not all, and the application's parent can see it. Everything needed
is in the contract: parameters (none here), a plan of the agent's steps with their undo, and a proof, here by a look of
the witness and by what a peer sees.
"""

from __future__ import annotations

from collections.abc import Mapping

from shaketable.faults import FaultKind, Look, Params, Plan, Proof, Seen, Target

STOPPED = "T"


def _plan(target: Target, _: Params) -> Plan:
    pause = tuple({"do": "signal", **member.step, "signal": 19} for member in target.members)
    go_on = tuple({"do": "signal", **member.step, "signal": 18} for member in target.members)
    return Plan(pause, go_on)


def _looks(target: Target, _: Params) -> Mapping[str, Look]:
    return {"states": {"see": "states", "members": [member.step for member in target.members]}}


def _wrong(seen: Seen) -> list[str]:
    return [
        f"{name} is {state}, not stopped" for name, state in seen.now["states"]["states"].items() if state != STOPPED
    ]


def _left(seen: Seen) -> list[str]:
    return [f"{name} is still stopped" for name, state in seen.now["states"]["states"].items() if state == STOPPED]


HICCUP = FaultKind(
    kind="hiccup",
    family="process",
    summary="handshakes are answered by the kernel, the app is silent, its children run on",
    plan=_plan,
    proof=Proof("the kernel says that the first process is stopped", _looks, _wrong, lambda _: "stopped", _left),
)
