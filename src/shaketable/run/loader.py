"""From a scenario file to a typed `Scenario`, or to every problem in it at once, each as file:line:col."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Final

from shaketable.model.errors import Problem, ScenarioError
from shaketable.model.faults import SELECTORS
from shaketable.model.scenario import Scenario
from shaketable.ports import Places
from shaketable.run.scenario_faults import own_faults
from shaketable.run.scenario_meaning import check_meaning
from shaketable.run.scenario_rollout import stages_as_faults
from shaketable.run.scenario_schema import scenario_schema
from shaketable.run.scenario_shape import check_shape, suggestion
from shaketable.run.scenario_tree import axis_of, named_values
from shaketable.run.yaml_source import Node, read_yaml

__all__ = ["LoadedScenario", "check_targets", "load_scenario", "parse_scenario", "scenario_schema"]

MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A flawless scenario and the file it came from. Paths in it are relative to `folder`."""

    scenario: Scenario
    path: Path
    text: str
    folder: Path

    @property
    def locustfile(self) -> Path:
        """Path of the user's locustfile."""
        return self.folder / self.scenario.load.locustfile

    @property
    def topology(self) -> Path:
        """Path of the folder with the compose files."""
        return self.folder / self.scenario.topology.compose


def load_scenario(path: Path) -> LoadedScenario:
    """Read a scenario and check that the files it names exist. Raises ScenarioError with every problem."""
    text = _read_text(path)
    folder = path.parent
    return LoadedScenario(parse_scenario(text, file=str(path), folder=folder), path, text, folder)


def parse_scenario(text: str, *, file: str, folder: Path | None = None) -> Scenario:
    """Read a scenario's text; without `folder` the files it names are not looked for, as for a stored run.

    Raises ScenarioError with every problem.
    """
    root, problems = read_yaml(text, file)
    scenario = None
    if root is not None:
        scenario, root, wrong_shape = check_shape(root, file)
        problems += wrong_shape
        problems += check_meaning(root, file)
        if folder is not None:
            problems += [Problem(file, node.line, node.col, message) for node, message in _files(root, folder)]
    if scenario is None or problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    return scenario


def check_targets(loaded: LoadedScenario, places: Places) -> list[Problem]:
    """Check the faults' targets against the hosts that the compose files define."""
    file = str(loaded.path)
    root, _ = read_yaml(loaded.text, file)
    faults = [*own_faults(root), *stages_as_faults(root)] if root else []
    if root is None or not faults:
        return []
    if not places.hosts:
        part = "faults" if root.get("faults") else "rollout"
        message = f"{part}: there is nothing to act on: the topology {loaded.topology} has no hosts"
        return [Problem(file, *root.key_at(part), message)]
    problems: list[Problem] = []
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


def _read_text(path: Path) -> str:
    """Read the file. Raises ScenarioError saying why it cannot be a scenario."""
    try:
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "is not a file" if path.exists() else _missing(path)
            raise ScenarioError([Problem(str(path), 1, 1, state)])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ScenarioError([Problem(str(path), 1, 1, f"cannot be read: {why}")]) from error
    if len(data) > MAX_BYTES:
        raise ScenarioError([Problem(str(path), 1, 1, f"is larger than {MAX_BYTES // 1024} KiB; is it a scenario?")])
    if b"\0" in data:
        raise ScenarioError([Problem(str(path), 1, 1, "is not text; is it a scenario?")])
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        col = len(data[data.rfind(b"\n", 0, error.start) + 1 : error.start].decode("utf-8", "replace")) + 1
        problem = Problem(str(path), line, col, f"is not UTF-8: byte 0x{data[error.start]:02x} cannot be read")
        raise ScenarioError([problem]) from error


def _missing(path: Path) -> str:
    return f"does not exist{_similar(path.parent, path.name)}"


def _similar(folder: Path, name: str) -> str:
    """Say which name in the folder was probably meant, if there is one."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())[:1000]
    except (OSError, ValueError):
        return ""
    hint = suggestion(name, names)
    return f"; {hint}" if hint.startswith("did you mean") else ""


def _files(root: Node, folder: Path) -> Iterator[tuple[Node, str]]:
    """Find the files and folders that the scenario names and that are not there."""
    locustfile = root.get("load", "locustfile")
    if locustfile and isinstance(locustfile.value, str):
        yield from _absent(locustfile, "load.locustfile", folder, locustfile.value, want_folder=False)
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
        yield node, f"{where}: there is no {what} {shown}{_similar(path.parent, path.name)}"
