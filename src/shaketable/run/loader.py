"""From a scenario file to a typed `Scenario`, or to every problem in it at once, each as file:line:col."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path

from shaketable.model.errors import Problem, ScenarioError
from shaketable.model.faults import SELECTORS
from shaketable.model.scenario import Scenario
from shaketable.ports import Places
from shaketable.run.scenario_base import expand
from shaketable.run.scenario_faults import own_faults
from shaketable.run.scenario_holders import check_instances
from shaketable.run.scenario_meaning import check_meaning
from shaketable.run.scenario_rollout import stages_as_faults
from shaketable.run.scenario_schema import scenario_schema
from shaketable.run.scenario_shape import check_shape, suggestion
from shaketable.run.scenario_text import locustfile_path, read_text, similar
from shaketable.run.scenario_tree import axis_of, named_values
from shaketable.run.yaml_source import Node, read_yaml
from shaketable.run.yaml_text import write_yaml

__all__ = ["LoadedScenario", "check_targets", "load_scenario", "load_stored", "parse_scenario", "scenario_schema"]


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A flawless scenario and the file it came from. Paths in it are relative to `folder`."""

    scenario: Scenario
    path: Path
    text: str
    """The scenario as it is run: on its own, with the base that it extends worked in."""
    folder: Path
    written: str | None = None
    """What stands in the file, where that is something else: a scenario that extends another."""

    @property
    def locustfile(self) -> Path:
        """Path of the user's locustfile."""
        return locustfile_path(self.folder, self.scenario.load.locustfile)

    @property
    def topology(self) -> Path:
        """Path of the folder with the compose files."""
        return self.folder / self.scenario.topology.compose


def load_scenario(path: Path) -> LoadedScenario:
    """Read a scenario and check that the files it names exist. Raises ScenarioError with every problem."""
    return _loaded(read_text(path), path)


def load_stored(copy: Path, origin: Path) -> LoadedScenario:
    """Read the scenario of a stored run, to be run again where it was: in the folder of `origin`. Raises ScenarioError."""
    return _loaded(read_text(copy), origin)


def parse_scenario(text: str, *, file: str, folder: Path | None = None) -> Scenario:
    """Read a scenario's text; without `folder` the files it names are not looked for, as for a stored run.

    Raises ScenarioError with every problem.
    """
    return _parse(text, file, folder)[0]


def _loaded(text: str, path: Path) -> LoadedScenario:
    scenario, root, extends = _parse(text, str(path), path.parent)
    if not extends:
        return LoadedScenario(scenario, path, text, path.parent)
    return LoadedScenario(scenario, path, write_yaml(root.plain()), path.parent, text)


def _parse(text: str, file: str, folder: Path | None) -> tuple[Scenario, Node, bool]:
    """The scenario, its tree with what it extends worked in, and whether it extends anything. Raises ScenarioError."""
    written, problems = read_yaml(text, file)
    if written is None:
        raise ScenarioError(list(dict.fromkeys(problems)))
    expanded = expand(written, folder or Path(file).parent)
    scenario, root, wrong_shape = check_shape(expanded.root, file)
    found = [*wrong_shape, *check_meaning(root, file)]
    if folder is not None:
        found += [Problem(file, node.line, node.col, message) for node, message in _files(root, folder)]
    problems += [Problem(file, *at, message) for at, message in expanded.problems]
    problems += [problem for problem in found if (problem.line, problem.col) not in expanded.unsure]
    if scenario is None or problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    return scenario, expanded.root, expanded.root is not written


def check_targets(loaded: LoadedScenario, places: Places) -> list[Problem]:
    """Check the faults' targets against the hosts that the compose files define."""
    file = str(loaded.path)
    root, _ = read_yaml(loaded.written or loaded.text, file)
    root = expand(root, loaded.folder).root if root else None
    faults = [*own_faults(root), *stages_as_faults(root)] if root else []
    if root is None:
        return []
    problems = [Problem(file, *spot, message) for spot, message in check_instances(root, places.instances)]
    if not faults:
        return problems
    if not places.hosts:
        part = "faults" if root.get("faults") else "rollout"
        message = f"{part}: there is nothing to act on: the topology {loaded.topology} has no hosts"
        return [Problem(file, *root.key_at(part), message)]
    for place, fault in faults:
        for what, choices in (("host", list(places.everything)), ("instance", places.instances)):
            target = fault.get("target", what)
            for node in named_values(root, target) if target else ():
                name = node.value
                if not isinstance(name, str) or name in choices or axis_of(name) is not None:
                    continue
                where = f"{place}.target.{what}"
                if name not in SELECTORS:
                    hint = suggestion(name, [*sorted(choices), *SELECTORS])
                    problems.append(Problem(file, node.line, node.col, f"{where}: no {what} {name[:60]!r}; {hint}"))
                elif name == "minority" and len(places.hosts if what == "host" else choices) < 3:
                    message = f"{where}: the minority of {len(choices)} is nobody; it takes three"
                    problems.append(Problem(file, node.line, node.col, message))
    return sorted(set(problems))


def _files(root: Node, folder: Path) -> Iterator[tuple[Node, str]]:
    """Find the files and folders that the scenario names and that are not there."""
    locustfile = root.get("load", "locustfile")
    if locustfile and isinstance(locustfile.value, str):
        path = locustfile_path(folder, locustfile.value)
        yield from _absent(locustfile, "load.locustfile", path.parent, path.name, want_folder=False)
    compose = root.get("topology", "compose")
    if compose is None or not isinstance(compose.value, str):
        return
    missing = list(_absent(compose, "topology.compose", folder, compose.value, want_folder=True))
    yield from missing
    variants = root.get("variants")
    for name, variant in variants.items() if variants and not missing else ():
        files = variant.get("files")
        for node in files.elements() if files else ():
            if isinstance(node.value, str):
                where = f"variants.{name}.files"
                yield from _absent(node, where, folder / compose.value, node.value, want_folder=False)
        if files is None:
            yield from _absent(variant, f"variants.{name}", folder / compose.value, "compose.yaml", want_folder=False)


def _absent(node: Node, where: str, folder: Path, name: str, *, want_folder: bool) -> Iterator[tuple[Node, str]]:
    """Check one name of a file or folder."""
    path = Path(normpath(folder / name))  # as a person would write it; the files themselves are used by their own path
    try:
        if path.is_dir() if want_folder else path.is_file():
            return
        exists = path.exists()
    except (OSError, ValueError):
        exists = False
    what = "folder" if want_folder else "file"
    shown = str(path) if len(str(path)) <= 300 else f"...{str(path)[-100:]}"
    if exists:
        yield node, f"{where}: {shown} is not a {what}"
    else:
        yield node, f"{where}: there is no {what} {shown}{similar(path.parent, path.name)}"
