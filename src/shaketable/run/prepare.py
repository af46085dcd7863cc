"""Between what a user names on the command line and what a campaign needs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.images import ensure_tools_image
from shaketable.adapters.store import WRITTEN, read_histories, read_result
from shaketable.checks.judge import judge
from shaketable.checks.verdict import campaign_verdict, scenario_result
from shaketable.faults import CATALOGUE
from shaketable.model.errors import ScenarioError, UsageError
from shaketable.model.history import TrialHistory
from shaketable.model.result import Result
from shaketable.model.scenario import Scenario
from shaketable.run.campaign import Request, works
from shaketable.run.loader import LoadedScenario, check_targets, load_scenario, load_stored, parse_scenario
from shaketable.run.schedule import begins_and_ends, gate_in_words, plan_trial


def _files(paths: Sequence[Path]) -> list[Path]:
    """Scenario files: those named, and every `*.yaml` of a folder that is named."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")])
            if not inside:
                raise UsageError(f"{path} holds no scenario (*.yaml)")
            found += inside
        else:
            found.append(path)
    return found


def project_of(loaded: LoadedScenario, variant: str, name: str, run: str, lane: str) -> ComposeProject:
    """The compose project of one variant."""
    folder = (loaded.folder / loaded.scenario.topology.compose).resolve()
    return ComposeProject(folder, loaded.scenario.variants[variant].files, name, run, lane)


def load_all(paths: Sequence[Path], *, check_compose: bool = False) -> list[LoadedScenario]:
    """Load scenarios; the problems of all files at once. Raises ScenarioError, UsageError."""
    loaded: list[LoadedScenario] = []
    problems = []
    for path in _files(paths):
        try:
            one = load_scenario(path)
            if check_compose:
                for variant in one.scenario.variants:
                    places = project_of(one, variant, "st-lint", "lint", "0").model().places
                    problems += check_targets(one, places)
            loaded.append(one)
        except ScenarioError as error:
            problems += error.problems
    if problems:
        raise ScenarioError(sorted(set(problems)))
    return loaded


def _nearest(word: str, choices: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, choices, 1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(choices)}"


def check_choices(
    scenarios: Sequence[LoadedScenario], variants: Sequence[str], only: Sequence[str]
) -> dict[str, list[str]]:
    """Check `--variant` and `--only` against the scenarios; axis values by axis. Raises UsageError naming the nearest."""
    known = sorted({v for s in scenarios for v in s.scenario.variants})
    wrong = [f"no scenario has a variant {v!r}{_nearest(v, known)}" for v in variants if v not in known]
    cells: dict[str, list[str]] = {}
    for choice in only:
        axis, equals, value = choice.partition("=")
        axes = {a: values for s in scenarios for a, values in s.scenario.axes.items()}
        if not equals or axis not in axes:
            wrong.append(f"--only {choice}: no axis {axis!r}{_nearest(axis, sorted(axes))}")
        elif value not in axes[axis]:
            wrong.append(f"--only {choice}: {axis} has no value {value!r}{_nearest(value, axes[axis])}")
        else:
            cells.setdefault(axis, []).append(value)
    if wrong:
        raise UsageError("\n".join(wrong))
    return cells


def run_folder(scenarios: Sequence[LoadedScenario]) -> Path:
    """A new folder's name for a run: `runs/<time>-<scenario>`."""
    return Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{scenarios[0].scenario.name}"


def prepare_images(paths: Sequence[Path], say: Callable[[str], None]) -> None:
    """Build whatever is missing for these scenarios. Raises EngineError, ScenarioError."""
    ensure_tools_image(say)
    for loaded in load_all(paths) if paths else []:
        for variant in loaded.scenario.variants:
            project_of(loaded, variant, "st-build", "build", "0").build(say)


def _plain(value: object) -> str:
    return " and ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def plan_lines(loaded: LoadedScenario, seed: int, trials: int) -> list[str]:
    """What would be done, trial by trial, in words."""
    scenario = loaded.scenario
    lines = [f"{scenario.name}: {len(scenario.variants)} variants"]
    lines += [f"  {scenario.compression.words}"] if scenario.compression else []
    for variant in scenario.variants:
        places = project_of(loaded, variant, "st-plan", "plan", "0").model().places
        request = Request(command="run", scenarios=[loaded], out=Path(), trials=trials, seed=seed)
        lines.append(f"{variant} (expected: {scenario.variants[variant].expect})")
        for work in works(loaded, variant, request):
            for number, planned in enumerate(plan_trial(scenario, work.seed, work.axis, places, CATALOGUE)):
                where = "; ".join(f"{name} ({', '.join(services)})" for name, services in planned.targets.items())
                said = ", ".join(f"{k} {_plain(v)}" for k, v in planned.written.items())
                lines.append(
                    f"  {f'#{work.index}:' if not number else ' ' * len(f'#{work.index}:')} {planned.kind.kind}"
                    f"{f' ({said})' if said else ''} {where} {begins_and_ends(planned, scenario, variant)};"
                    f" witnessed when {planned.kind.proof.claim}"
                )
        if scenario.rollout is not None:
            lines.append(f"  {gate_in_words(scenario.rollout)}")
    return lines


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run folder read back."""

    result: Result
    histories: Sequence[TrialHistory]
    scenarios: Mapping[str, Scenario]
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """What a run folder holds even if the run was killed: its scenarios, and the trials that were over."""

    histories: Sequence[TrialHistory]
    scenarios: Mapping[str, Scenario]
    paths: tuple[Path, ...]


def read_record(folder: Path) -> Record:
    """Read the trials of a run folder. Raises UsageError when it is none."""
    paths = tuple(sorted((folder / "scenarios").glob("*/*.yaml")))
    if not paths:
        raise UsageError(
            f"{folder} is not the folder of a run", hint="name the folder given with --out, or one in runs/"
        )
    scenarios = {one.name: one for one in (parse_scenario(p.read_text(), file=str(p)) for p in paths)}
    return Record(read_histories(folder), scenarios, paths)


def read_run(folder: Path) -> StoredRun:
    """Read a run folder. Raises UsageError when it is none, or the run was killed."""
    record = read_record(folder)
    return StoredRun(read_result(folder), record.histories, record.scenarios, record.paths)


def judge_again(folder: Path) -> Result:
    """The result of a stored run, judged afresh from its record alone."""
    stored = read_run(folder)
    trials = [(history, judge(history, stored.scenarios[history.scenario])) for history in stored.histories]
    results = [
        scenario_result(
            stored.scenarios[old.name],
            old.variant,
            sorted((t for h, t in trials if (h.scenario, h.variant) == (old.name, old.variant)), key=lambda t: t.index),
            old.build,
        )
        for old in stored.result.scenarios
    ]
    proved = all(r.as_expected for r in results) if stored.result.proved is not None else None
    return stored.result.model_copy(
        update={"scenarios": tuple(results), "verdict": campaign_verdict(results), "proved": proved}
    )


def stored_request(folder: Path) -> tuple[StoredRun, list[LoadedScenario]]:
    """A stored run and the scenarios to run again: as they were run, in their own folders.

    Raises UsageError, ScenarioError.
    """
    stored = read_run(folder)
    origins = tuple(Path(line) for line in (folder / "scenarios" / "origins").read_text().splitlines())
    for origin, copy in zip(origins, stored.paths, strict=True):
        written = copy.parent / WRITTEN
        if not origin.is_file() or origin.read_text() != (written if written.is_file() else copy).read_text():
            raise UsageError(
                f"{origin} is not the scenario that was run: it was changed or moved since",
                hint=f"put {copy} back in its place, or run the new one with --seed {stored.result.seed}",
            )
    return stored, [load_stored(copy, origin) for origin, copy in zip(origins, stored.paths, strict=True)]


def _lasting(topology: Path) -> ComposeProject:
    """The project of `up` and `down`: one for each topology folder, outside any run."""
    if not topology.is_dir():
        raise UsageError(f"there is no folder {topology}", hint="name the folder of a topology, as compose/backoffice")
    name = f"st-up-{topology.resolve().name}"
    return ComposeProject(topology.resolve(), ("compose.yaml",), name, name, "0")


def topology_up(topology: Path, say: Callable[[str], None]) -> str:
    """Bring a topology up outside any run; where its parts are, in words. Raises TopologyError."""
    project = _lasting(topology)
    project.build(say)
    project.up(say)
    hosts = project.model().hosts
    lines = [f"{topology} is up as {project.name}; take it down with: shaketable down {topology}"]
    return "\n".join(lines + [f"  {host}: {', '.join(members)}" for host, members in sorted(hosts.items())])


def topology_down(topology: Path, say: Callable[[str], None]) -> None:
    """Take down what `topology_up` brought up."""
    say(f"taking {topology} down")
    _lasting(topology).down()
