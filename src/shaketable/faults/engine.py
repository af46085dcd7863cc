"""Faults of a nested host's Docker engine: engine-stop, engine-kill, engine-restart, engine-upgrade.

What becomes of its containers is not the fault's to say: live-restore and each container's restart policy decide, and
that is what a scenario is to find out. The engine that carries the topology is never a target.
Sources: Docker documentation, "Live restore" and "Start containers automatically".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field

from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError
from shaketable.faults.host import each
from shaketable.ports.targets import Target

_SETTLES = 60.0
"""Seconds that putting an engine's packages back and starting it may take: it waits for its containers to stop."""


class Upgrade(Params):
    """Which engine it becomes."""

    to: Literal["20.10", "26.1"] = Field(description="Debian's packages of that version; an older one is a downgrade")


def _version(target: Target, kind: str) -> str:
    """The engine that a nested host was started with. Raises UnfitError for any other target."""
    if not target.nested:
        raise UnfitError(
            f"{kind} acts on the engine of a nested host, and {target.name} has none of its own",
            hint="name a host of x-shaketable.nested; the engine that carries the topology is never a target",
        )
    return target.nested


def _asking(kind: str, words: str) -> Callable[[Target, Any], Plan]:
    def plan(target: Target, _: Any) -> Plan:
        settle = f"settle {_version(target, kind)}"
        return Plan(each(target, "engine", ask=words), each(target, "engine", ask=settle), settles=_SETTLES)

    return plan


def _kill(target: Target, _: Params) -> Plan:
    settle = f"settle {_version(target, 'engine-kill')}"
    return Plan(each(target, "engine-kill"), each(target, "engine", ask=settle), settles=_SETTLES)


def _upgrade(target: Target, params: Upgrade) -> Plan:
    version = _version(target, "engine-upgrade")
    if version == params.to:
        raise UnfitError(f"the engine of {target.name} is {version} already")
    return Plan(
        each(target, "engine", ask=f"upgrade {params.to}"),
        each(target, "engine", ask=f"settle {version}"),
        settles=_SETTLES,
    )


def _looks(target: Target, _: Any) -> Mapping[str, Look]:
    return {"engine": {"see": "nested-engine", **target.members[0].step}}


def _same(seen: Seen) -> bool:
    """Whether an engine process of before still lives."""
    before = {tuple(one) for one in seen.before["engine"]["engines"]}
    return bool(before & {tuple(one) for one in seen.now["engine"]["engines"]})


def _stop_wrong(seen: Seen) -> list[str]:
    now = seen.now["engine"]
    wrong = [] if seen.before["engine"]["version"] else ["its engine gave no answer before, either"]
    wrong += [f"its engine answers as {now['version']}"] if now["version"] else []
    return wrong + (["the process of its engine is still there"] if now["engines"] else [])


def _kill_wrong(seen: Seen) -> list[str]:
    if not seen.before["engine"]["engines"]:
        return ["no process of its engine was seen before"]
    return ["the engine's process of before is still there"] if _same(seen) else []


def _restart_wrong(seen: Seen) -> list[str]:
    now = seen.now["engine"]
    wrong = _kill_wrong(seen)
    return wrong + ([] if now["version"] and now["engines"] else ["its engine does not answer yet"])


def _upgrade_wrong(seen: Seen) -> list[str]:
    version = seen.now["engine"]["version"]
    if not version.startswith(f"{seen.params.to}."):
        return [f"its engine answers as {version}" if version else "its engine does not answer"]
    return []


def _says(seen: Seen) -> str:
    before, now = seen.before["engine"], seen.now["engine"]
    said = f"{now['version']} answers" if now["version"] else "no answer"
    if now["version"] != before["version"]:
        said += f", before it was {before['version']}"
    lives = [f"{name} {_life(now, before, name)}" for name in sorted(before["containers"])] if now["version"] else []
    return "; ".join([said, *lives])


def _life(now: Mapping[str, Any], before: Mapping[str, Any], name: str) -> str:
    """What became of a container, by the beginning of its first process."""
    old, new = before["containers"][name], now["containers"].get(name)
    if new is None:
        return "is gone"
    if not new["since"]:
        return f"is {new['state']}"
    if new["since"] == old["since"]:
        return "has run on"
    return f"was started again {now['at'] - new['since']:.1f} s ago"


def _left(seen: Seen) -> list[str]:
    before, now = seen.before["engine"]["version"], seen.now["engine"]["version"]
    return [] if now == before else [f"its engine {f'is {now}' if now else 'does not answer'}, and was {before}"]


def _fault(
    kind: str,
    summary: str,
    plan: Callable[[Target, Any], Plan],
    claim: str,
    wrong: Callable[[Seen], list[str]],
    *,
    lasts: bool = True,
    **more: Any,
) -> FaultKind:
    proof = Proof(claim, _looks, wrong, _says, _left, lasts=lasts)
    return FaultKind(kind, "engine", summary, plan, proof, disk="flushed", roles=("machine",), **more)


ENGINE_FAULTS: tuple[FaultKind, ...] = (
    _fault(
        "engine-stop",
        "its containers end with a goodbye, or run on without their engine (live-restore)",
        _asking("engine-stop", "stop"),
        "its engine gives no answer, and its process is gone",
        _stop_wrong,
    ),
    _fault(
        "engine-kill",
        "its containers run on without their engine, until the next one ends or adopts them",
        _kill,
        "the engine's process is gone from the kernel's list",
        _kill_wrong,
        lasts=False,
    ),
    _fault(
        "engine-restart",
        "its containers end and come back by their restart policy, or run on (live-restore)",
        _asking("engine-restart", "restart"),
        "another process of the engine answers",
        _restart_wrong,
        lasts=False,
    ),
    _fault(
        "engine-upgrade",
        "as engine-restart, for as long as the packages take, and then another version of the engine",
        _upgrade,
        "its engine answers with the new version",
        _upgrade_wrong,
        params=Upgrade,
        example={"to": "26.1"},
    ),
)
