"""Carries one trial through: asks `phases` what to do, does it, and writes down what happened."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from shaketable.checks.rollout import first_trip
from shaketable.checks.slices import slice_rows
from shaketable.faults import CATALOGUE, FaultKind
from shaketable.model.errors import ShakeError
from shaketable.model.history import WALL, TrialHistory, Tripped
from shaketable.ports import Places
from shaketable.run.injection import Injection, Order, undo_quietly
from shaketable.run.lane import Lane
from shaketable.run.phases import Situation, next_step, recovered, unreached
from shaketable.run.schedule import Planned, plan_trial, timing

_TICK = 0.02
_STRAGGLERS = 6.0
"""How long to wait for arrivals that were due before the end, beyond the load's own time-out, seconds."""


@dataclass(frozen=True, slots=True)
class Work:
    """One trial to run. `seed` names its draws; it is the same for every variant, so that variants are compared in pairs."""

    scenario: str
    variant: str
    index: int
    axis: Mapping[str, str]
    seed: str


def _bug(error: Exception) -> str:
    """An error that nobody expected, with the place it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"internal error at {Path(frame.filename).name}:{frame.lineno}: {type(error).__name__}: {error}"


class TrialRunner:
    """One trial in one lane."""

    def __init__(
        self,
        lane: Lane,
        work: Work,
        places: Places,
        stop: threading.Event,
        catalogue: Mapping[str, FaultKind] = CATALOGUE,
    ) -> None:
        self.lane, self.work, self.places, self.stop = lane, work, places, stop
        self.scenario = lane.scenario
        self.planned = {p.id: p for p in plan_trial(self.scenario, work.seed, work.axis, places, catalogue)}
        self.timing = timing(self.scenario, [p.event for p in self.planned.values()], work.variant)
        self.injections: dict[str, Injection] = {}
        self.broke = ""
        self.tripped: Tripped | None = None
        self._offset = 0.0
        self._wall = datetime.now(UTC)

    def now(self) -> float:
        """The engine machine's clock, from ours and the measured offset."""
        return time.monotonic() + self._offset

    def run(self) -> TrialHistory:
        """The whole trial. Whatever goes wrong, a fault that was begun is undone and the history says why it broke."""
        agent_now, ours = self.lane.keeper.agent().now(), time.monotonic()
        self._offset = agent_now - ours if abs(agent_now - ours) > 0.01 else 0.0
        began, self._wall = self.now(), datetime.now(UTC)
        with self.lane.lock:
            self.lane.recorded.forget_before(began - 5.0)
        situation = Situation(now=began, began=began)
        while True:
            heard = self._gates(situation)
            situation = replace(
                situation,
                now=self.now(),
                heard=heard,
                tripped=self.tripped is not None,
                steady_since=self._steady_since(),
                markers=self._markers(situation),
                stop=self.stop.is_set() or bool(self.broke),
            )
            step = next_step(situation, self.timing)
            if step.do == "finish":
                break
            try:
                situation = self._do(step.do, step.faults, situation)
            except Exception as error:  # whatever it is, a fault that is held must still be healed
                self._break(error)
            self.broke = self.broke or self.lane.lost()
        for injection in self.injections.values():  # what broke half-way into its injection
            undo_quietly(injection)
        if self.stop.is_set() and not self.broke:
            self.broke = "interrupted"
        begun = set(situation.injected) | unreached(situation, self.timing)
        if not self.broke and situation.injected and (never := set(self.planned) - begun):
            self.broke = f"{', '.join(sorted(never))} never began: what it was to wait for did not happen"
        self._await_stragglers(situation.now)
        return self._history(began, situation)

    def _do(self, do: str, faults: Sequence[str], s: Situation) -> Situation:
        if do == "arm":
            for planned in self.planned.values():
                if planned.when is None and not self._follows(planned.id):
                    self._prepare(planned)
            self.lane.mark()
            return replace(s, armed=self.now())
        if do == "disarm":
            return replace(s, armed=None)
        if do == "inject":
            for name in faults:
                try:
                    s = replace(s, injected={**s.injected, name: self._inject(self.planned[name])})
                except Exception as error:  # those that were injected with it are held, and healed as any other
                    self._break(error)
                    break
            return s
        if do == "heal":
            return replace(s, healed={**s.healed, **{name: self._heal(name) for name in faults}})
        for name in s.injected.keys() - s.healed.keys():
            self.injections[name].witnessed()
        self._pause()
        return s

    def _follows(self, fault: str) -> bool:
        """Whether it is a stage that another one comes before."""
        return self.timing.course is not None and self.timing.course.before(fault) is not None

    def _break(self, error: Exception) -> None:
        self.broke = self.broke or (str(error) if isinstance(error, ShakeError) else _bug(error))

    def _gates(self, s: Situation) -> float:
        """Let the gates look at what has been heard of since they looked last; up to when that is."""
        rollout, course = self.scenario.rollout, self.timing.course
        if rollout is None or course is None or s.armed is None:
            return s.heard
        with self.lane.lock:
            beats = self.lane.recorded.load_beats
            heard = beats[-1].at if beats else s.heard
            news = heard > s.heard and any(name in s.injected for name in course.stages)
            requests = list(self.lane.recorded.requests) if news and self.tripped is None else []
        if requests:
            self.tripped = trip = first_trip(rollout, course.soak, s.injected, heard, requests)
            if trip is not None:
                self.lane.event("tripped", trip.at, fsync=True, stage=trip.stage, bad=trip.bad, arrivals=trip.arrivals)
        return heard

    def _pause(self) -> None:
        with self.lane.lock:
            self.lane.lock.wait(_TICK)

    def _steady_since(self) -> float | None:
        with self.lane.lock:
            return self.lane.recorded.steady.since()

    def _markers(self, s: Situation) -> Mapping[str, float]:
        """The markers seen so far, those that have just come about among them."""
        if s.armed is None:
            return s.markers
        waiting = [p for p in self.planned.values() if p.when is not None and p.id not in s.markers]
        found = {p.id: self._marker(p, s) for p in waiting}
        return {**s.markers, **{name: moment for name, moment in found.items() if moment is not None}}

    def _marker(self, planned: Planned, s: Situation) -> float | None:
        when = planned.when
        assert when is not None, "only what waits has a marker"
        if when.healed is not None:
            return s.healed.get(when.healed)
        if when.effective is not None:
            record = self.injections[when.effective].record if when.effective in self.injections else None
            return record.witness.at if record is not None else None
        if when.changes is not None:
            return self.lane.changed(when.changes)
        return self.lane.answered(when.answered or 1)

    def _prepare(self, planned: Planned) -> None:
        order = Order(
            id=f"{self.lane.project.name}-{self.work.index}-{planned.id}",
            event=planned.id,
            kind=planned.kind,
            params=planned.params,
            hosts=self.places.everything,
            targets=planned.targets,
        )
        self.injections[planned.id] = Injection(self.lane, order, self.now)
        self.injections[planned.id].prepare()

    def _inject(self, planned: Planned) -> float:
        if planned.id not in self.injections:  # what waits for a marker is resolved as the system is by then
            self._prepare(planned)
        return self.injections[planned.id].inject().injected

    def _heal(self, name: str) -> float:
        try:
            record = self.injections[name].heal(prove=not self.broke)
        except Exception as error:  # whatever it is, the others are to be healed, too
            self._break(error)
            record = None
        return record.healed if record is not None else self.now()

    def _await_stragglers(self, ended: float) -> None:
        deadline = self.now() + self.scenario.load.timeout + _STRAGGLERS
        while not self.lane.settled(ended) and not self.lane.lost() and self.now() < deadline:
            if self.stop.is_set():
                return
            self._pause()

    def _history(self, began: float, s: Situation) -> TrialHistory:
        with self.lane.lock:
            recorded = self.lane.recorded
            heard = recorded.load_beats[-1].at if recorded.load_beats else s.now
            rows = slice_rows(
                began,
                s.now,
                heard,
                requests=recorded.requests,
                load_beats=recorded.load_beats,
                looks=recorded.looks,
                look_beats=recorded.look_beats,
            )
        records = [self.injections[name].record for name in self.planned if name in self.injections]
        return TrialHistory(
            scenario=self.work.scenario,
            variant=self.work.variant,
            index=self.work.index,
            seed=self.work.seed,
            axis=self.work.axis,
            lane=self.lane.number,
            began=began,
            steady=s.armed,
            faults=tuple(record for record in records if record is not None),
            recovered=recovered(s, self.timing),
            ended=s.now,
            heard=heard,
            broke=self.broke,
            environment={WALL: self._wall.isoformat(timespec="milliseconds")},
            tripped=self.tripped,
            **rows,
        )
