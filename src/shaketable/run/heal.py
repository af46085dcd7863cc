"""Undo whatever a run that is gone has left: faults from its journal first, then its containers and networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity

from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.fault_agent import FaultAgent
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.journal import Abandoned, journals, take_over
from shaketable.model.errors import EngineError, ResidueError
from shaketable.model.result import Residue

T = TypeVar("T")
ENGINE_RETURNS = 60.0
"""Seconds that an engine has to come back before clean-up is left to `shaketable heal`."""


@dataclass(frozen=True, slots=True)
class Healed:
    """What `heal` did for one run, in words, and what it could not."""

    run: str
    undone: tuple[str, ...]
    left: tuple[Residue, ...]
    alive: bool = False
    """The run's harness is at work, so nothing of it was touched."""


def heal_abandoned(engine: DockerEngine, left: Abandoned) -> Healed:
    """Undo one run whose harness is gone. Raises EngineError when the engine is gone too."""
    undone: list[str] = []
    problems: list[Residue] = []
    if left.faults:
        agent = FaultAgent(engine, left.image, left.run)
        for fault in reversed(left.faults):
            wrong = agent.undo(fault.undo)
            problems += [Residue(what="fault", where=f"{fault.kind} on {fault.host}", hint=text) for text in wrong]
            if not wrong:
                undone.append(f"{fault.kind} on {fault.host}")
        agent.leave()
    undone += engine.remove_run(left.run)
    return Healed(left.run, tuple(undone), (*problems, *engine.residue(left.run)))


def heal(run: str | None = None, say: Callable[[str], None] = lambda _: None) -> list[Healed]:
    """Heal one run, or all whose harness is gone. Runs that are alive are told of and left alone. Raises EngineError."""
    engine = DockerEngine()
    seen = engine.runs_seen()
    known = journals()
    results: list[Healed] = []
    wanted = [run] if run else list(dict.fromkeys([*known, *seen]))
    for name in wanted:
        say(f"run {name}")
        with take_over(name) as left:
            if left is not None:
                healed = heal_abandoned(engine, left)
                results.append(healed)
                if healed.left:
                    raise_residue(healed)
            elif name in known:
                results.append(Healed(name, (), (), alive=True))
            elif run and name in seen:
                results.append(_without_journal(engine, name, say))
            elif name in seen:
                hint = f"started elsewhere or its journal is lost; if nobody uses it: shaketable heal --run {name}"
                results.append(Healed(name, (), (Residue(what="run", where=name, hint=hint),), alive=True))
    engine.close()
    return results


def _without_journal(engine: DockerEngine, run: str, say: Callable[[str], None]) -> Healed:
    """Remove what carries a run's label, and its disks; a fault that only the journal knew of ended with its target."""
    agent = FaultAgent(engine, ensure_tools_image(say), run)
    problems = [Residue(what="disk", where=run, hint=text) for text in agent.sweep(run)]
    agent.leave()
    removed = engine.remove_run(run)
    return Healed(run, tuple(removed), (*problems, *engine.residue(run)))


def raise_residue(healed: Healed) -> None:
    """Raise for what could not be undone; the journal stays for the next attempt."""
    what = "; ".join(f"{r.what} {r.where} ({r.hint})" for r in healed.left)
    raise ResidueError(f"run {healed.run} could not be undone completely: {what}", hint="shaketable heal again")


def when_the_engine_answers(work: Callable[[], T]) -> T:
    """Do it, again if the engine does not answer: one that restarts is back within seconds. Raises the last EngineError."""
    again = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(EngineError),
        wait=tenacity.wait_fixed(0.2),
        stop=tenacity.stop_after_delay(ENGINE_RETURNS),
        reraise=True,
    )
    return again(work)


def heal_when_orphaned(run: str, wait_for_end: Callable[[], bool]) -> None:
    """The guard's whole life: wait until the harness ends, then heal its run unless it said goodbye."""
    if not wait_for_end():
        for healed in when_the_engine_answers(lambda: heal(run)):
            print(f"run {healed.run}: {', '.join(healed.undone) or 'nothing was left'}")  # noqa: T201  (its own log)
