"""Carries one trial through: asks `phases` what to do, does it, and writes down what happened."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shaketable.adapters.journal import OpenFault
from shaketable.checks.slices import slice_rows
from shaketable.faults import HOST_FAULTS, HostFault, Seen, witness
from shaketable.faults.witness import Held
from shaketable.model.draw import between, pick
from shaketable.model.errors import ShakeError, TopologyError
from shaketable.model.history import FaultRecord, TrialHistory, Witnessed
from shaketable.model.scenario import Appears, Fault, Leaves, NotCalled, Recovers, Scenario
from shaketable.ports.hosts import HostFacts
from shaketable.run.lane import Lane
from shaketable.run.phases import Situation, Timing, next_step, recovered

_TICK = 0.02
_PROBE_SETTLES = 0.06
"""A probe reported this soon after the injection may have begun before it, seconds."""
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


def timing(scenario: Scenario, fault: Fault, seed: str) -> Timing:
    """The trial's times, with the moment of the fault drawn from the seed."""
    tail = [0.0]
    recover = [scenario.steady.within]
    for expectation in scenario.expectations:
        if isinstance(expectation, Leaves | Appears):
            tail.append(expectation.within)
        elif isinstance(expectation, NotCalled):
            tail.append(expectation.after)
        elif isinstance(expectation, Recovers):
            recover.append(expectation.within)
    return Timing(
        hold=scenario.steady.hold,
        steady_within=scenario.steady.within,
        delay=between(seed, (fault.id, "after"), *fault.after),
        lasts=fault.lasts,
        tail=max(tail),
        recover_within=max(recover[1:] or recover) + 1.0,
    )


def resolved(value: str, axis: Mapping[str, str]) -> str:
    """A field's value, with `$name` replaced by the axis value of this trial."""
    return axis[value[1:]] if value.startswith("$") else value


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
        hosts: Mapping[str, Sequence[str]],
        stop: threading.Event,
        catalogue: Mapping[str, HostFault] = HOST_FAULTS,
    ) -> None:
        self.lane, self.work, self.hosts, self.stop = lane, work, hosts, stop
        self.scenario = lane.scenario
        self.fault = self.scenario.faults[0]
        self.kind = resolved(self.fault.kind, work.axis)
        self.how = catalogue[self.kind]
        self.timing = timing(self.scenario, self.fault, work.seed)
        wanted = resolved(self.fault.target.host, work.axis)
        self.host = pick(work.seed, (self.fault.id, "host"), sorted(hosts)) if wanted == "one of" else wanted
        self.facts: HostFacts | None = None
        self.open: OpenFault | None = None
        self.record: FaultRecord | None = None
        self.broke = ""
        self._held_before: dict[str, Held] = {}
        self._offset = 0.0

    def now(self) -> float:
        """The engine machine's clock, from ours and the measured offset."""
        return time.monotonic() + self._offset

    def run(self) -> TrialHistory:
        """The whole trial. Whatever goes wrong, a fault that was begun is undone and the history says why it broke."""
        agent_now, ours = self.lane.keeper.agent().now(), time.monotonic()
        self._offset = agent_now - ours if abs(agent_now - ours) > 0.01 else 0.0
        began = self.now()
        with self.lane.lock:
            self.lane.recorded.forget_before(began - 5.0)
        situation = Situation(now=began, began=began)
        first_steady: float | None = None
        while True:
            situation = replace(
                situation,
                now=self.now(),
                steady_since=self._steady_since(),
                stop=self.stop.is_set() or bool(self.broke),
            )
            step = next_step(situation, self.timing)
            if step == "finish":
                break
            try:
                situation = self._do(step, situation)
            except Exception as error:  # whatever it is, a fault that is held must still be healed
                self.broke = self.broke or (str(error) if isinstance(error, ShakeError) else _bug(error))
                if step == "heal":
                    situation = replace(situation, healed=self.now())
            if step == "arm":
                first_steady = situation.armed
            elif step == "disarm":
                first_steady = None
            self.broke = self.broke or self.lane.lost()
        if self.open is not None and self.record is None:  # it broke half-way into the injection
            self.lane.keeper.undo(self.open)
        if self.stop.is_set() and not self.broke:
            self.broke = "interrupted"
        self._await_stragglers(situation.now)
        return self._history(began, first_steady, recovered(situation, self.timing) and situation, situation)

    def _do(self, step: str, s: Situation) -> Situation:
        if step == "arm":
            self._prepare()
            return replace(s, armed=self.now())
        if step == "disarm":
            return replace(s, armed=None)
        if step == "inject":
            self._inject()
            return replace(s, injected=self.record.injected if self.record else self.now())
        if step == "heal":
            self._heal()
            return replace(s, healed=self.record.healed if self.record else self.now())
        if s.injected is not None and s.healed is None:
            self._look_for_proof()
        self._pause()
        return s

    def _pause(self) -> None:
        with self.lane.lock:
            self.lane.lock.wait(_TICK)

    def _steady_since(self) -> float | None:
        with self.lane.lock:
            return self.lane.recorded.steady.since()

    def _prepare(self) -> None:
        """Resolve the target, and let a peer begin to knock, so that it holds connections before the fault."""
        containers = self.lane.facts(self.hosts[self.host])
        self.facts = self.lane.keeper.agent().resolve(self.host, containers)
        if not self.facts.addresses:
            raise TopologyError(f"{self.host} listens on no address, so no peer could witness {self.kind}")
        self.lane.probe(self.host, self.facts.addresses)

    def _inject(self) -> None:
        facts = self.facts
        assert facts is not None, "armed before injected"
        plan = self.how.plan(facts, self.fault.grace)
        self.open = OpenFault(
            f"{self.lane.project.name}-{self.work.index}-{self.fault.id}", self.kind, self.host, list(plan.undo)
        )
        with self.lane.lock:
            self._held_before = {a: p.held for a, p in self.lane.recorded.probes.items()}
        for member in facts.members:
            if plan.revive and member.restart_policy != "no":
                self.lane.engine.set_restart_policy(member.container, "no")
        agent = self.lane.keeper.agent()
        self.lane.keeper.open(self.open)
        sent = self.now()
        members = agent.inject(self.open.id, plan)
        self.record = FaultRecord(
            id=self.fault.id,
            kind=self.kind,
            targets=(self.host,),
            sent=sent,
            injected=max(members.values(), default=sent),
            members=members,
            witness=Witnessed(None, self.how.signature.claim, "nothing yet"),
            heal_began=0.0,
            healed=0.0,
            clean=False,
        )
        self.lane.store.event(
            "injected",
            self.record.injected,
            fsync=True,
            lane=self.lane.number,
            fault=self.kind,
            host=self.host,
            sent=sent,
        )

    def _compare(self, *, lasting: bool = False) -> Witnessed:
        assert self.facts is not None
        assert self.record is not None
        view = self.lane.keeper.agent().inspect(self.facts)
        since = self.record.injected + _PROBE_SETTLES
        with self.lane.lock:
            probes = [p for p in self.lane.recorded.probes.values() if p.at > since]
        expected = {f"{ip}:{port}" for ip, port in self.facts.addresses}
        if {p.address for p in probes} != expected:
            return Witnessed(
                None, self.how.signature.claim, f"a peer has looked at {len(probes)} of {len(expected)} addresses"
            )
        return witness(
            self.how.signature,
            Seen(view.at, view.alive, view.frozen, probes, self._held_before),
            lasting=lasting,
        )

    def _look_for_proof(self) -> None:
        if self.record is not None and self.record.witness.at is None:
            self.record = replace(self.record, witness=self._compare())

    def _heal(self) -> None:
        """Prove once more that the fault held until now, then undo it and start again what it ended."""
        assert self.open is not None
        lane, record, facts = self.lane, self.record, self.facts
        if record is not None and record.witness.at is not None and not self.broke:
            last = self._compare(lasting=True)
            if last.at is None:
                record = replace(
                    record, witness=replace(last, seen=f"the effect ended by itself before heal: {last.seen}")
                )
        began = self.now()
        problems = lane.keeper.undo(self.open)
        assert facts is not None
        plan = self.how.plan(facts, self.fault.grace)
        if plan.revive:
            holders = [m.container for m in facts.members if m.holds_namespace]
            lane.engine.in_parallel(lane.engine.start, holders)
            lane.engine.in_parallel(lane.engine.start, [m.container for m in facts.members if not m.holds_namespace])
            for member in facts.members:
                if member.restart_policy != "no":
                    lane.engine.set_restart_policy(member.container, member.restart_policy)
        healed = self.now()
        view = lane.keeper.agent().inspect(facts)
        clean = view.all_thawed and view.links_up and not problems
        clean = clean and all(alive != plan.revive for alive in view.alive.values())
        lane.stop_probing()
        lane.store.event(
            "healed", healed, fsync=True, lane=lane.number, fault=self.kind, host=self.host, problems=problems
        )
        if record is not None:
            self.record = replace(
                record,
                heal_began=began,
                healed=healed,
                clean=clean,
                notes=(*record.notes, *problems, *self._grace_notes(facts)),
            )

    def _grace_notes(self, facts: HostFacts) -> tuple[str, ...]:
        if self.kind != "stop":
            return ()
        killed = self.lane.keeper.killed_after_grace(self.open.id) if self.open else ()
        return (f"the grace ran out: {len(killed)} of {len(facts.members)} instances were killed",) if killed else ()

    def _await_stragglers(self, ended: float) -> None:
        deadline = self.now() + self.scenario.load.timeout + _STRAGGLERS
        while not self.lane.settled(ended) and not self.lane.lost() and self.now() < deadline:
            if self.stop.is_set():
                return
            self._pause()

    def _history(self, began: float, steady: float | None, steady_again: object, s: Situation) -> TrialHistory:
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
        back = max(s.steady_since or 0.0, s.healed or 0.0) if steady_again else None
        return TrialHistory(
            scenario=self.work.scenario,
            variant=self.work.variant,
            index=self.work.index,
            seed=self.work.seed,
            axis=self.work.axis,
            lane=self.lane.number,
            began=began,
            steady=steady,
            fault=self.record,
            recovered=back,
            ended=s.now,
            heard=heard,
            broke=self.broke,
            **rows,
        )
