"""Where a setting of a service stands, wherever compose has it from: its own files, included ones, extended services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from shaketable.adapters.compose_source import ComposeSource, SourceFile, read_source
from shaketable.model.audit import Place


class ComposePlaces:
    """The places in a project's `files` (relative to `folder`), which were read as `source`."""

    def __init__(self, folder: Path, files: Sequence[str], source: ComposeSource) -> None:
        self._files = [(file, (folder / name).parent) for file, name in zip(source.files, files, strict=True)]
        seen = {(folder / name).resolve() for name in files}
        for file, beside in list(self._files):
            self._files[:0] = _included(file, beside, seen)

    def setting(self, service: str, *paths: Sequence[str]) -> Place:
        """Where the service has the last of these settings (as `deploy.restart_policy` after `restart`), else the service."""
        for path in reversed(paths):
            for place in self._set(service, tuple(path)):
                return place
        return self.service(service)

    def service(self, service: str) -> Place:
        """Where the service is first declared."""
        return self.extension("services", service, first=True)

    def extension(self, *path: str, first: bool = False) -> Place:
        """Where the longest part of `path` stands that is in a file: in the last such file, or in the first one."""
        files = self._files if first else list(reversed(self._files))
        for length in range(len(path), 0, -1):
            for file, _ in files:
                if at := file.place(*path[:length]):
                    return Place(file.name, *at)
        return Place(self._files[-1][0].name, 1, 1)

    def in_block(self, service: str, path: Sequence[str], line: int, col: int) -> Place:
        """Where line and col of a setting's text stand; where the text is not written as it is (`|`), where it begins."""
        for file, _ in reversed(self._files):
            node = file.node("services", service, *path)
            if not isinstance(node, yaml.ScalarNode):
                continue
            begins = node.start_mark.line + 1
            if node.style != "|":
                return Place(file.name, begins, node.start_mark.column + 1)
            first = file.text.splitlines()[begins]
            return Place(file.name, begins + line, len(first) - len(first.lstrip()) + col)
        return self.service(service)

    def _set(self, service: str, path: tuple[str, ...]) -> Iterator[Place]:
        for file, beside in reversed(self._files):
            yield from _set_in(file, beside, service, path, depth=8)


def _set_in(file: SourceFile, beside: Path, service: str, path: tuple[str, ...], depth: int) -> Iterator[Place]:
    """Yield where a file, or what its service extends there or elsewhere, has this setting of the service."""
    if at := file.place("services", service, *path):
        yield Place(file.name, *at)
    extends = file.node("services", service, "extends")
    if extends is None or not depth:
        return
    named = _texts(extends)
    other = named.get("service", service)
    if "file" not in named:
        yield from _set_in(file, beside, other, path, depth - 1)
    elif (read := _read(beside / named["file"])) is not None:
        yield from _set_in(read, (beside / named["file"]).parent, other, path, depth - 1)


def _texts(extends: yaml.Node) -> dict[str, str]:
    """Read `extends: name`, or its mapping with `service` and `file`."""
    if isinstance(extends, yaml.ScalarNode):
        return {"service": str(extends.value)}
    pairs = extends.value if isinstance(extends, yaml.MappingNode) else ()
    return {str(key.value): str(value.value) for key, value in pairs if isinstance(value, yaml.ScalarNode)}


def _included(file: SourceFile, beside: Path, seen: set[Path]) -> Iterator[tuple[SourceFile, Path]]:
    """Yield the files that a file includes, and those that they include; what cannot be read was compose's to say."""
    include = file.node("include")
    for entry in include.value if isinstance(include, yaml.SequenceNode) else ():
        for name in _paths(entry):
            path = beside / name
            if path.resolve() in seen or (read := _read(path)) is None:
                continue
            seen.add(path.resolve())
            yield from _included(read, path.parent, seen)
            yield read, path.parent


def _paths(entry: yaml.Node) -> list[str]:
    if isinstance(entry, yaml.ScalarNode):
        return [str(entry.value)]
    found: list[str] = []
    for key, value in entry.value if isinstance(entry, yaml.MappingNode) else ():
        if key.value == "path":
            nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
            found += [str(node.value) for node in nodes if isinstance(node, yaml.ScalarNode)]
    return found


def _read(path: Path) -> SourceFile | None:
    source, problems = read_source(path.parent, [path.name])
    return None if problems else source.files[0]
