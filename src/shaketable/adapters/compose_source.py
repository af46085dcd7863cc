"""The compose files as they were written: where each part stands, and names in them that stand for nothing.

What a compose file means is compose's own to say (`docker compose config`); this only finds the line to blame.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from shaketable.model.errors import Problem

_MERGE = "<<"
_QUOTED = re.compile(r'"([^"]+)"')
_NAMED_VOLUME = re.compile(r"([A-Za-z0-9][\w.-]*):")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file and its tree; no tree if it is empty or cannot be read."""

    name: str
    text: str
    root: yaml.Node | None

    def place(self, *path: str) -> tuple[int, int] | None:
        """Line and column of the key at the end of `path`, from 1; None if the file has none."""
        mark = _mark(self.root, path)
        return (mark.line + 1, mark.column + 1) if mark else None

    def node(self, *path: str) -> yaml.Node | None:
        """What stands at `path`."""
        return _find(self.root, path)


@dataclass(frozen=True, slots=True)
class ComposeSource:
    """All files of a project. A later file adds to and overrides the earlier ones."""

    files: tuple[SourceFile, ...]

    def names(self, *path: str) -> list[str]:
        """Keys that any file has below `path`."""
        found = [key.value for file in self.files for key, _ in _entries(_find(file.root, path))]
        return list(dict.fromkeys(found))

    def problem(self, message: str, *path: str) -> Problem:
        """Make a problem at the place of `path`, or of its longest part that is in a file; the last such file."""
        for length in range(len(path), -1, -1):
            for file in reversed(self.files):
                mark = _mark(file.root, path[:length])
                if mark is not None:
                    return Problem(file.name, mark.line + 1, mark.column + 1, message)
        return Problem(self.files[0].name, 1, 1, message)

    def problem_at_text(self, message: str, text: str) -> Problem | None:
        """Make a problem where this text first stands; None if no file has it."""
        for file in self.files:
            for number, line in enumerate(file.text.splitlines(), 1):
                if text in line:
                    return Problem(file.name, number, line.index(text) + 1, message)
        return None


def read_source(folder: Path, files: Sequence[str]) -> tuple[ComposeSource, list[Problem]]:
    """Read all files of a project, and what keeps them from being read."""
    read: list[SourceFile] = []
    problems: list[Problem] = []
    for file in files:
        name = shown(folder / file)
        try:
            text = (folder / file).read_text(encoding="utf-8")
            read.append(SourceFile(name, text, yaml.compose(text, Loader=yaml.SafeLoader)))
            continue
        except FileNotFoundError:
            beside = sorted(path.name for path in folder.glob("*.y*ml")) if folder.is_dir() else []
            state = "does not exist" if folder.is_dir() else f"does not exist: there is no folder {shown(folder)}"
            problems.append(Problem(name, 1, 1, state + nearest(file, beside)))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(name, 1, 1, f"cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, col = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            problems.append(Problem(name, line, col, f"is not YAML: {error.problem or error.context}"))
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            problems.append(Problem(name, 1, 1, f"is not YAML: {str(error).splitlines()[0]}"))
        read.append(SourceFile(name, "", None))
    return ComposeSource(tuple(read)), problems


def shown(path: Path) -> str:
    """Write a path as a person in this folder would."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def nearest(name: str, names: Sequence[str]) -> str:
    """Say which of `names` was probably meant, or which there are, as the end of a message."""
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(sorted(names)[:12])}" if names else ""


def unresolved(source: ComposeSource) -> list[Problem]:
    """Every service, network and volume that is referred to and is in no file. Nothing where files include others."""
    if any(_find(file.root, ("include",)) is not None for file in source.files):
        return []
    return [problem for file in source.files for problem in _unresolved_in(file, source)]


def _unresolved_in(file: SourceFile, source: ComposeSource) -> Iterator[Problem]:
    known = {
        "service": source.names("services"),
        "network": [*source.names("networks"), "default"],
        "volume": source.names("volumes"),
    }
    for service, node in _entries(_find(file.root, ("services",))):
        for kind, name, at in _references(node):
            if name not in known[kind] and "$" not in name:
                where = f"services.{service.value}"
                message = f"{where}: there is no {kind} {name!r}{nearest(name, known[kind])}"
                yield Problem(file.name, at.start_mark.line + 1, at.start_mark.column + 1, message)
    for host, node in _entries(_find(file.root, ("x-shaketable", "hosts"))):
        for at in _listed(node):
            if at.value not in known["service"]:
                message = (
                    f"the host {host.value!r}: there is no service {at.value!r}{nearest(at.value, known['service'])}"
                )
                yield Problem(file.name, at.start_mark.line + 1, at.start_mark.column + 1, message)


def _references(service: yaml.Node) -> Iterator[tuple[str, str, yaml.Node]]:
    """Everything a service refers to by name: (kind, name, where)."""
    for name in _listed(_find(service, ("depends_on",))):
        yield "service", name.value, name
    mode = _find(service, ("network_mode",))
    if isinstance(mode, yaml.ScalarNode) and mode.value.startswith("service:"):
        yield "service", mode.value.removeprefix("service:"), mode
    for name in _listed(_find(service, ("networks",))):
        yield "network", name.value, name
    volumes = _find(service, ("volumes",))
    for entry in volumes.value if isinstance(volumes, yaml.SequenceNode) else ():
        if isinstance(entry, yaml.ScalarNode):
            if named := _NAMED_VOLUME.match(entry.value):
                yield "volume", named[1], entry
        elif (kind := _find(entry, ("type",))) is not None and kind.value == "volume":
            named_by = _find(entry, ("source",))
            if isinstance(named_by, yaml.ScalarNode):
                yield "volume", named_by.value, named_by


def blame(source: ComposeSource, message: str) -> Problem:
    """Turn compose's own words of refusal into a problem at the most likely place."""
    text = re.sub(r"^validating [^:]*: ", "", message.strip()).removesuffix(": invalid compose project")
    text = re.sub(r"^(?:error while interpolating |yaml: unmarshal errors:\s+)", "", text)
    if variable := re.search(r"required variable (\w+)", text):
        for form in (f"${{{variable[1]}", f"${variable[1]}"):
            if problem := source.problem_at_text(text, form):
                return problem
    if path := re.match(r"(services|networks|volumes|secrets|configs)\.\S+", text):
        steps = path[0].rstrip(":").split(".")
        extra = re.search(r"Additional property (\S+) is not allowed", text)
        return source.problem(_plainer(text), *steps, *([extra[1]] if extra else []))
    if extra := re.match(r"\(root\) Additional property (\S+) is not allowed", text):
        return source.problem(_plainer(text), extra[1])
    services = source.names("services")
    for name in [*_QUOTED.findall(text), *re.findall(r"\b(?:service|detected:) ([\w.-]+)", text)]:
        if name in services:
            return source.problem(text, "services", name)
    for name in re.findall(r"/([^/\s:]+)(?=[\s:]|$)", text):
        if problem := source.problem_at_text(text, name):
            return problem
    line = re.search(r"line (\d+)", text)
    return Problem(source.files[-1].name, int(line[1]) if line else 1, 1, text)


def _plainer(text: str) -> str:
    """Say `unknown key` where compose's schema speaks of additional properties."""
    return re.sub(r"^(\S+) Additional property (\S+) is not allowed$", r"\1: unknown key '\2'", text).replace(
        "(root): ", ""
    )


def _find(node: yaml.Node | None, path: Sequence[str]) -> yaml.Node | None:
    for step in path:
        node = next((value for key, value in _entries(node) if key.value == step), None)
        if node is None:
            return None
    return node


def _mark(root: yaml.Node | None, path: Sequence[str]) -> yaml.Mark | None:
    """Position of the key at the end of `path`; of the first entry with that text, where the path ends in a list."""
    if root is None:
        return None
    if not path:
        return root.start_mark
    parent = _find(root, path[:-1])
    for name in _listed(parent):
        if name.value == path[-1]:
            return name.start_mark
    return None


def _entries(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values of a mapping, its own before those that `<<` brings in."""
    if not isinstance(node, yaml.MappingNode):
        return
    merged: list[yaml.Node] = []
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
            yield key, value
        elif isinstance(key, yaml.ScalarNode):
            merged += value.value if isinstance(value, yaml.SequenceNode) else [value]
    for other in merged:
        if other is not node:
            yield from _entries(other)


def _listed(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Names in a list of names, or the keys of a mapping: compose often takes either."""
    if isinstance(node, yaml.SequenceNode):
        yield from (entry for entry in node.value if isinstance(entry, yaml.ScalarNode))
    else:
        yield from (key for key, _ in _entries(node) if isinstance(key, yaml.ScalarNode))
