"""What every command that injects faults lives in: a journal, a guard and an agent, and at the end nothing left."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.guard_process import Guard
from shaketable.adapters.journal import Journal
from shaketable.model.errors import AgentError, EngineError
from shaketable.model.result import Residue
from shaketable.run.agents import AgentKeeper
from shaketable.run.heal import when_the_engine_answers


def new_run() -> str:
    """A name for a run, unique on this machine: time and two random bytes."""
    return f"{datetime.now(UTC):%m%d%H%M%S}-{secrets.token_hex(2)}"


class Session:
    """A run under way. `close` says goodbye to the agent, removes everything and answers what could not be."""

    def __init__(self, run: str, engine: DockerEngine, journal: Journal, keeper: AgentKeeper) -> None:
        self.run, self.engine, self.keeper = run, engine, keeper
        self._journal = journal

    def close(self) -> list[Residue]:
        """Leave nothing. Raises AgentError, EngineError."""
        self.keeper.leave()
        return _clean(self.run, self.engine, self._journal)


@contextmanager
def session(run: str, engine: DockerEngine, image: str, say: Callable[[str], None]) -> Iterator[Session]:
    """Give a journal, a guard and an agent; whatever happens inside, nothing of the run stays on the engine."""
    journal = Journal.create(run, image=image)
    guard = Guard("shaketable.run.guard", run)
    keeper: AgentKeeper | None = None
    try:
        keeper = AgentKeeper(engine, image, journal)
        yield Session(run, engine, journal, keeper)
    except BaseException:
        say("cleaning up")
        if keeper is not None:  # or it would put another agent in the place of the one that is removed
            with contextlib.suppress(AgentError, EngineError):
                keeper.leave()
        _clean(run, engine, journal)
        raise
    finally:
        guard.dismiss()


def _remove(run: str, engine: DockerEngine) -> list[Residue]:
    engine.remove_run(run)
    return engine.residue(run)


def _clean(run: str, engine: DockerEngine, journal: Journal) -> list[Residue]:
    try:
        residue = when_the_engine_answers(lambda: _remove(run, engine))
    except EngineError as error:
        hint = f"once the engine is back: shaketable heal --run {run}"
        residue = [Residue(what="run", where=f"{run} ({error.message})", hint=hint)]
    if residue:
        journal.abandon()
    else:
        journal.finish()
    return residue
