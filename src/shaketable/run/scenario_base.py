"""A scenario that `extends` another: the base, its parameters filled in from `with`, and the user's keys over it.

The base is a stock scenario by its name, or a file by its path. All that comes from it has the place of the user's
`extends`, and what was filled in the place of the value in `with`: so every problem is one in the user's file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os.path import normpath, relpath
from pathlib import Path
from typing import Final

from shaketable.model.errors import ScenarioError
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_text import OURS, read_text, similar, stock_folder
from shaketable.run.scenario_tree import at
from shaketable.run.yaml_source import Node, read_yaml

Place = tuple[int, int]
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_USE: Final = re.compile(r"\$(?:\{([a-z][a-z0-9_]*)\}|([a-z][a-z0-9_]*))")
_SURE: Final = 0.7
"""Likeness from which a misspelt parameter is taken for the valid one, as elsewhere."""
_LIKE: Final = 0.8
_DECLARED: Final = ("required", "default", "about")


@dataclass(frozen=True, slots=True)
class Expanded:
    """The scenario's tree on its own: the very tree that was given where it extends nothing and has no parameters.

    `unsure` are places whose other problems mean nothing, for a part of the base is missing there.
    """

    root: Node
    problems: list[tuple[Place, str]]
    unsure: frozenset[Place]


def expand(root: Node, folder: Path) -> Expanded:
    """Work the base in. Paths of the user are relative to `folder`; those of the base become so."""
    root, misspelt = _repaired(root)
    if not {"extends", "with", "parameters"} & set(root.keys):
        return Expanded(root, [], frozenset())
    if "extends" not in root.keys and "parameters" not in root.keys:
        message = "with: there is no 'extends', so nothing is filled in"
        return Expanded(_without(root, ("with",)), [(root.key_at("with"), message)], frozenset())
    work = _Work(folder)
    work.problems += misspelt
    done = work.whole(root, folder, given=None, place=at(root), name="", chain=())
    unsure = {at(root), *work.unsure} if work.unsure else set()
    return Expanded(done, work.problems, frozenset(unsure))


def stock_names() -> list[str]:
    """Names of the scenarios that come with the package."""
    return sorted(path.stem for path in stock_folder().glob("*.yaml"))


@dataclass(slots=True)
class _Work:
    """Knows where it began, and collects what is wrong on the way."""

    top: Path
    """The folder of the user's file."""
    problems: list[tuple[Place, str]] = field(default_factory=list)
    unsure: set[Place] = field(default_factory=set)

    def whole(
        self, root: Node, folder: Path, *, given: Node | None, place: Place, name: str, chain: tuple[str, ...]
    ) -> Node:
        """One scenario, with its parameters filled in and what it extends below it."""
        values = self.values(root, given, place, name)
        own = self.filled(_without(root, ("extends", "parameters")), values) or root
        extends = root.get("extends")
        if extends is None:
            return _without(own, ("with",)) if "with" in own.keys else own
        found = self.base(extends, folder, chain)
        if found is None:
            self.unsure |= {at(root), at(extends)}
            return _without(own, ("with",))
        base, base_folder, link = found
        moved = _placed(base, at(extends))
        moved = _with_paths(moved, base_folder, self.top)
        label = str(extends.value)
        below = self.whole(
            moved,
            base_folder,
            given=own.get("with"),
            place=root.key_at("with") if "with" in root.keys else at(extends),
            name=label,
            chain=(*chain, link),
        )
        if "with" in root.keys and not isinstance((own.get("with") or own).value, Mapping):
            self.problems.append((root.key_at("with"), "with: must be a mapping (name: value)"))
        merged = _merged(below, _without(own, ("with",)))
        return replace(merged, line=root.line, col=root.col)

    def base(self, extends: Node, folder: Path, chain: tuple[str, ...]) -> tuple[Node, Path, str] | None:
        """The tree of a base, its folder, and what it is known by."""
        name = extends.value
        if not isinstance(name, str) or not name:
            self.problems.append((at(extends), "extends: must be the name of a stock scenario or the path of a file"))
            return None
        by_path = "/" in name or name.endswith((".yaml", ".yml"))
        path = Path(normpath(folder / name)) if by_path else stock_folder() / f"{name}.yaml"
        if not by_path and name not in stock_names():
            hint = suggestion(name, stock_names())
            self.problems.append((at(extends), f"extends: no stock scenario is called {name[:60]!r}; {hint}"))
            return None
        if by_path and not path.is_file():
            hint = similar(path.parent, path.name)
            self.problems.append((at(extends), f"extends: there is no file {path}{hint}"))
            return None
        if str(path) in chain:
            self.problems.append((at(extends), f"extends: {name} extends itself, through {' and '.join(chain)}"))
            return None
        try:
            root, wrong = read_yaml(read_text(path), name)
        except ScenarioError as error:
            root, wrong = None, list(error.problems)
        self.problems += [(at(extends), f"extends: {problem}") for problem in wrong]
        return None if root is None else (root, path.parent, str(path))

    def values(self, root: Node, given: Node | None, place: Place, name: str) -> Mapping[str, Node]:
        """What each parameter comes to; a null node where it is left out."""
        values: dict[str, Node] = {}
        needed: dict[str, str] = {}
        declared = root.get("parameters")
        if declared is not None and not isinstance(declared.value, Mapping):
            self.problems.append((at(declared), f"{_of(name)}parameters: must be a mapping (name: default)"))
        for parameter, node in declared.items() if declared else ():
            default, why = self.declared(parameter, node, name)
            if default is None:
                needed[parameter] = why
            else:
                values[parameter] = default
        for meant, node in self.told(given, [*needed, *values], name):
            values[meant] = node
            needed.pop(meant, None)
        for parameter, why in needed.items():
            what = f": {why}" if why else ""
            if name:
                self.problems.append((place, f"with: {name} needs the parameter {parameter!r}{what}"))
            elif declared is not None:
                message = f"parameters: {parameter!r} has no value; this scenario is for others to extend"
                self.problems.append((declared.key_at(parameter), message))
        if needed:
            self.unsure |= {at(root), *([place] if name else [])}
        return values

    def told(self, given: Node | None, known: list[str], name: str) -> Iterator[tuple[str, Node]]:
        """What was given for each parameter; a misspelt one is taken for the one that was meant."""
        for key, node in given.items() if given else ():
            assert given is not None, "it has entries"
            meant = key
            if key not in known:
                hint = suggestion(key, known)
                self.problems.append((given.key_at(key), f"with.{key[:60]}: no parameter of {name}; {hint}"))
                free = [one for one in known if one not in dict(given.items())]
                meant = nearest(key, free, likeness=_SURE) or ""
            if meant in known:
                yield meant, node

    def declared(self, parameter: str, node: Node, name: str) -> tuple[Node | None, str]:
        """Default of a parameter, or None and what it is for where it has to be given."""
        where = f"{_of(name)}parameters.{parameter[:60]}"
        if not _NAME.fullmatch(parameter):
            self.problems.append((at(node), f"{where}: a parameter has a name of a-z, 0-9 and _"))
        if not isinstance(node.value, Mapping):
            return node, ""
        keys = set(node.value)
        if not keys <= set(_DECLARED) or len(keys & {"required", "default"}) != 1:
            message = "must be a default, {default: ..., about: text} or {required: what it is}"
            self.problems.append((at(node), f"{where}: {message}"))
            return node, ""
        default = node.get("default")
        return default, node.text("required") or ""

    def filled(self, node: Node, values: Mapping[str, Node]) -> Node | None:
        """The node with its parameters filled in; None for one that is exactly a parameter which is left out."""
        if isinstance(node.value, Mapping):
            below = {key: self.filled(child, values) for key, child in node.value.items()}
            kept = {key: child for key, child in below.items() if child is not None}
            return replace(node, value=kept, keys={key: where for key, where in node.keys.items() if key in kept})
        if isinstance(node.value, tuple):
            elements = (self.filled(child, values) for child in node.value)
            return replace(node, value=tuple(child for child in elements if child is not None))
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        used = [match for match in _USE.finditer(node.value) if _used(match) in values]
        if not used:
            return node
        if len(used) == 1 and used[0].group() == node.value:
            value = values[_used(used[0])]
            return None if value.value is None else value
        for match in used:
            if isinstance(values[_used(match)].value, tuple | Mapping):
                value = values[_used(match)]
                self.problems.append((at(value), f"with.{_used(match)}: must be text, for it is a part of a text"))
        text = _USE.sub(lambda m: _text(values[_used(m)]) if _used(m) in values else m.group(), node.value)
        value = values[_used(used[0])]
        return Node(text, value.line, value.col)


def _repaired(root: Node) -> tuple[Node, list[tuple[Place, str]]]:
    """Read a misspelt `extends` as what it was meant to be: without it nearly every key would be missing."""
    key = nearest("extends", list(root.keys), likeness=_LIKE) if "extends" not in root.keys else None
    if key is None or not isinstance(root.value, Mapping):
        return root, []
    value = {"extends" if name == key else name: node for name, node in root.value.items()}
    keys = {"extends" if name == key else name: place for name, place in root.keys.items()}
    return replace(root, value=value, keys=keys), [(root.key_at(key), f"{key}: unknown key; did you mean 'extends'?")]


def _used(match: re.Match[str]) -> str:
    return match[1] or match[2]


def _text(node: Node) -> str:
    if node.value is None or isinstance(node.value, tuple | Mapping):
        return ""
    return str(node.value).lower() if isinstance(node.value, bool) else str(node.value)


def _of(name: str) -> str:
    return f"extends: {name}: " if name else ""


def _without(node: Node, keys: tuple[str, ...]) -> Node:
    value = {key: child for key, child in node.items() if key not in keys}
    return replace(node, value=value, keys={key: where for key, where in node.keys.items() if key not in keys})


def _placed(node: Node, place: Place) -> Node:
    """The tree as if all of it stood at one place."""
    line, col = place
    if isinstance(node.value, Mapping):
        below = {key: _placed(child, place) for key, child in node.value.items()}
        return Node(below, line, col, dict.fromkeys(node.keys, place))
    if isinstance(node.value, tuple):
        return Node(tuple(_placed(child, place) for child in node.value), line, col)
    return Node(node.value, line, col)


def _with_paths(root: Node, base: Path, folder: Path) -> Node:
    """Its paths as they are from the folder of who extends it; what is filled in is the user's own, and so from there."""
    for part, key in (("topology", "compose"), ("load", "locustfile")):
        node = root.get(part, key)
        if node is None or not isinstance(node.value, str) or "$" in node.value or node.value.startswith(OURS):
            continue
        stock = base == stock_folder() and key == "locustfile"
        path = f"{OURS}{node.value}" if stock else relpath(base / node.value, folder)
        root = _merged(root, Node({part: Node({key: replace(node, value=path)}, *at(node))}, *at(root)))
    return root


def _merged(base: Node, own: Node) -> Node:
    """The user's over the base: mappings by key, anything else replaced, and what is given as nothing is left out."""
    if not isinstance(base.value, Mapping) or not isinstance(own.value, Mapping):
        return own
    value = dict(base.value)
    for key, child in own.value.items():
        if child.value is None:
            value.pop(key, None)
        else:
            value[key] = _merged(value[key], child) if key in value else child
    keys = {**base.keys, **own.keys}
    return Node(value, own.line, own.col, {key: where for key, where in keys.items() if key in value})
