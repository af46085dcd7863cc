"""All trials of one command: lanes side by side, a store, a journal and a guard, and at the end a result with nothing left."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from shaketable.adapters.audit import audited_topology
from shaketable.adapters.compose import ComposeProject, compose_version
from shaketable.adapters.docker_engine import DockerEngine
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.soak_file import SoakLedger
from shaketable.adapters.store import RunStore
from shaketable.checks.audit import audit_findings
from shaketable.checks.judge import judge
from shaketable.checks.soak import as_served
from shaketable.checks.verdict import campaign_verdict, scenario_result
from shaketable.faults import CATALOGUE, FaultKind
from shaketable.model.audit import AuditFinding
from shaketable.model.errors import ScenarioError, ShakeError
from shaketable.model.history import TrialHistory
from shaketable.model.result import Build, EngineFacts, Requested, Result, Trial
from shaketable.model.scenario import Scenario
from shaketable.model.soak import build_of
from shaketable.ports import Places
from shaketable.run.lane import Equipment, Lane
from shaketable.run.loader import LoadedScenario, check_targets
from shaketable.run.session import new_run, session
from shaketable.run.trial import TrialRunner, Work


class Progress(Protocol):
    """Who is told what happens, from several threads."""

    def say(self, text: str) -> None:
        """A step of the preparation or clean-up."""

    def begin(self, total: int) -> None:
        """The first trial starts; there will be `total`."""

    def trial(self, variant: str, trial: Trial) -> None:
        """A trial has its outcome."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    command: Literal["run", "prove", "replay"]
    scenarios: Sequence[LoadedScenario]
    out: Path
    trials: int = 1
    seed: int = 1
    lanes: int = 1
    variants: Sequence[str] = ()
    """Only these; all of a scenario's when empty."""
    cells: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Only these axis values, by axis."""
    only: Sequence[int] = ()
    """Only these trial indices."""
    choices: Sequence[str] = ()
    """`cells` as the user wrote them, kept in the result."""
    soak: Path | None = None
    """The soak ledger that counts the trials; none where nothing is to be counted, as of a replay."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What a campaign came to."""

    result: Result
    folder: Path
    histories: Sequence[TrialHistory]


class _Shift:
    """The work that lanes share: they come up one after another, begin together, and take trials as they are free."""

    def __init__(self, wanted: Sequence[Work], *, lanes: int) -> None:
        self.starting = threading.Lock()
        """Held while a topology starts: side by side they would only starve each other, and the trials under way."""
        self.all_up = threading.Barrier(lanes)
        self._todo: queue.SimpleQueue[Work] = queue.SimpleQueue()
        for work in wanted:
            self._todo.put(work)

    def await_the_others(self) -> None:
        """Wait until all lanes are up, or one has failed to come up."""
        with contextlib.suppress(threading.BrokenBarrierError):
            self.all_up.wait()

    def next(self) -> Work | None:
        """The next trial, None when there is none left."""
        try:
            return self._todo.get_nowait()
        except queue.Empty:
            return None


def works(loaded: LoadedScenario, variant: str, request: Request) -> list[Work]:
    """The trials of one variant, cell by cell within each index, so that time favours no cell."""
    axes = {
        name: [v for v in values if v in request.cells.get(name, values)]
        for name, values in loaded.scenario.axes.items()
    }
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    name = loaded.scenario.name
    all_of_them = [
        Work(name, variant, index * len(cells) + number, cell, f"{request.seed}/{name}/{sorted(cell.items())}/{index}")
        for index in range(request.trials)
        for number, cell in enumerate(cells)
    ]
    return [work for work in all_of_them if not request.only or work.index in request.only]


class Campaign:
    """Runs a request. `stop` may be set at any time: faults are healed, everything is taken down, and the rest reported."""

    def __init__(self, request: Request, progress: Progress, catalogue: Mapping[str, FaultKind] = CATALOGUE) -> None:
        self.request, self.progress, self.catalogue = request, progress, catalogue
        self.stop = threading.Event()
        self.run_id = new_run()
        self._lock = threading.Lock()
        self._errors: list[ShakeError] = []
        self._trials: dict[tuple[str, str], list[Trial]] = {}
        self._histories: list[TrialHistory] = []
        self._audits: dict[tuple[str, str], tuple[AuditFinding, ...]] = {}
        """By scenario and variant: what was found in its configuration, where an expectation is about that."""
        self._builds: dict[tuple[str, str], Build] = {}
        """By scenario and variant: what is tried."""
        self._ledger = None if request.soak is None else SoakLedger(request.soak)

    def run(self) -> Finished:
        """Everything. Raises ScenarioError, EngineError, TopologyError, UsageError; nothing is left behind then."""
        began, clock = datetime.now(UTC), time.monotonic()
        if self._ledger is not None:
            self._ledger.check()
        engine = DockerEngine()
        facts = engine.version()
        image = ensure_tools_image(self.progress.say)
        places = {loaded.path: self._check(loaded) for loaded in self.request.scenarios}
        store = RunStore.create(
            self.request.out,
            [(one.path, one.text) for one in self.request.scenarios],
            {one.path: one.written for one in self.request.scenarios if one.written is not None},
        )
        with session(self.run_id, engine, image, self.progress.say) as live:
            equipment = Equipment(self.run_id, str(self.request.seed), engine, live.keeper, image, store)
            for loaded in self.request.scenarios:
                for variant in self._variants(loaded):
                    self._run_variant(loaded, variant, places[loaded.path][variant], equipment)
            self.progress.say("cleaning up")
            residue = live.close()
        if self._errors and not self._histories:
            store.abandon()
            raise self._errors[0]
        results = [
            scenario_result(
                loaded.scenario,
                variant,
                sorted(self._trials.get(key, []), key=lambda t: t.index),
                self._builds.get(key),
            )
            for loaded in self.request.scenarios
            for variant in self._variants(loaded)
            if (key := (loaded.scenario.name, variant))
        ]
        result = Result(
            run=self.run_id,
            command=self.request.command,
            verdict=campaign_verdict(results),
            proved=all(r.as_expected for r in results) if self.request.command == "prove" else None,
            seed=self.request.seed,
            lanes=self.request.lanes,
            request=Requested(
                trials=self.request.trials, variants=tuple(self.request.variants), only=tuple(self.request.choices)
            ),
            began=began.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 3),
            interrupted=self.stop.is_set(),
            engine=EngineFacts(
                version=facts["version"],
                api=facts["api"],
                compose=compose_version(),
                kernel=facts["kernel"],
                cgroup=facts["cgroup"],
                cpus=int(facts["cpus"]),
            ),
            residue=tuple(residue),
            problems=tuple(str(error) for error in self._errors),
            scenarios=tuple(results),
        )
        store.close(result)
        engine.close()
        return Finished(result, store.folder, tuple(self._histories))

    def _variants(self, loaded: LoadedScenario) -> list[str]:
        return [v for v in loaded.scenario.variants if not self.request.variants or v in self.request.variants]

    def _project(self, loaded: LoadedScenario, variant: str, lane: int) -> ComposeProject:
        return ComposeProject(
            (loaded.folder / loaded.scenario.topology.compose).resolve(),
            loaded.scenario.variants[variant].files,
            f"st-{self.run_id}-{variant}-{lane}",
            self.run_id,
            str(lane),
        )

    def _check(self, loaded: LoadedScenario) -> dict[str, Places]:
        """Hosts by variant; every compose file is read and every target found before anything starts."""
        found: dict[str, Places] = {}
        problems = []
        for variant in self._variants(loaded):
            project = self._project(loaded, variant, 0)
            found[variant] = project.model().places
            problems += check_targets(loaded, found[variant])
            if any(expectation.kind == "audit" for expectation in loaded.scenario.expectations):
                self._audits[loaded.scenario.name, variant] = audit_findings(audited_topology(project))
        if problems:
            raise ScenarioError(sorted(set(problems)))
        return found

    def _run_variant(
        self,
        loaded: LoadedScenario,
        variant: str,
        places: Places,
        equipment: Equipment,
    ) -> None:
        wanted = works(loaded, variant, self.request)
        if not wanted or self.stop.is_set() or self._errors:
            return
        self._prepare(loaded, variant, equipment.store)
        lanes = [
            Lane(
                number,
                self._project(loaded, variant, number),
                loaded.scenario,
                loaded.locustfile.read_text(),
                equipment=equipment,
                logs=equipment.store.folder / "logs" / f"{loaded.scenario.name}-{variant}",
            )
            for number in range(1, self._lanes(loaded, wanted) + 1)
        ]
        self.progress.begin(len(wanted))
        shift = _Shift(wanted, lanes=len(lanes))
        threads = [
            threading.Thread(target=self._work_off, args=(lane, shift, places), name=f"lane-{lane.number}")
            for lane in lanes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _prepare(self, loaded: LoadedScenario, variant: str, store: RunStore) -> None:
        """Build its images, and put on record which they are: what is tried is what a soak counts for."""
        project = self._project(loaded, variant, 0)
        project.build(self.progress.say)
        build = build_of(project.built())
        self._builds[loaded.scenario.name, variant] = build
        store.event("build", 0.0, fsync=True, scenario=loaded.scenario.name, variant=variant, **build.model_dump())
        if (compression := loaded.scenario.compression) is not None:
            self.progress.say(f"{loaded.scenario.name}: {compression.words}")

    def _lanes(self, loaded: LoadedScenario, wanted: Sequence[Work]) -> int:
        return min(self.request.lanes, len(wanted), loaded.scenario.topology.lanes or len(wanted))

    def _work_off(self, lane: Lane, shift: _Shift, places: Places) -> None:
        """A lane's life. A lane that cannot be brought up ends the campaign; one that a trial left unsteady is rebuilt."""
        try:
            with shift.starting:
                if not self._over():
                    lane.start(self.progress.say)
            shift.await_the_others()
            while not self._over() and (work := shift.next()) is not None:
                if not lane.up:
                    with shift.starting:
                        lane.start(self.progress.say)
                history = TrialRunner(lane, work, places, self.stop, self.catalogue).run()
                self._keep(lane, replace(history, audit=self._audits.get((work.scenario, work.variant))))
                if (history.broke or history.recovered is None) and not self.stop.is_set():
                    lane.stop()
        except ShakeError as error:
            self._failed(error)
        finally:
            shift.all_up.abort()
            try:
                lane.stop()
            except ShakeError as error:
                self._failed(error)

    def _over(self) -> bool:
        return self.stop.is_set() or bool(self._errors)

    def _failed(self, error: ShakeError) -> None:
        with self._lock:
            self._errors.append(error)

    def _keep(self, lane: Lane, history: TrialHistory) -> None:
        if self.stop.is_set() and history.broke:
            return  # cut short by the user: not a trial
        trial = judge(history, lane.scenario)
        lane.store.trial(history)
        lane.store.check()
        with self._lock:
            self._trials.setdefault((history.scenario, history.variant), []).append(trial)
            self._histories.append(history)
            self.progress.trial(history.variant, trial)
        self._count(lane.scenario, history.variant, trial)

    def _count(self, scenario: Scenario, variant: str, trial: Trial) -> None:
        """Count the trial for its build at once: a failure is on record however the campaign ends."""
        build = self._builds.get((scenario.name, variant))
        if self._ledger is None or build is None:
            return
        if (served := as_served(scenario, variant, build, self.run_id, trial)) is not None:
            self._ledger.add(served)
