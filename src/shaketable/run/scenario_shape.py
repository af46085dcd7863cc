"""What is wrong with the shape of a scenario (keys, types, units), in words for people.

pydantic finds the problems; here each gets its place in the file and a sentence. A misspelt key or kind is reported
once and then read as the nearest valid one, so that what is below it is looked at too: three mistakes, three problems.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shaketable.model.claims import Expectation
from shaketable.model.errors import Problem
from shaketable.model.scenario import Scenario
from shaketable.model.units import FROM_TEXT
from shaketable.run.yaml_source import Node

Loc = tuple[int | str, ...]
_KINDS: Final[Mapping[str, type[BaseModel]]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Expectation)[0])
}

_SURE: Final = 0.7
"""Likeness from which a misspelt name is read as the valid one, to look further."""


def nearest(name: str, names: Sequence[str], *, likeness: float = 0.6) -> str | None:
    """Find the valid name that was probably meant."""
    lower = {candidate.lower(): candidate for candidate in names}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=likeness)
    return lower[close[0]] if close else None


def suggestion(name: str, names: Sequence[str]) -> str:
    """Say which valid name was probably meant, or which there are: the end of a message about `name`."""
    if close := nearest(name, names):
        return f"did you mean {close!r}?"
    return f"possible here: {', '.join(names)}" if names else "there are none"


def check_shape(root: Node, file: str) -> tuple[Scenario | None, Node, list[Problem]]:
    """Validate. Gives the scenario if it is flawless, the tree with misspellings repaired, and the problems."""
    problems: list[Problem] = []
    while True:
        errors = _validate(root)
        if isinstance(errors, Scenario):
            return (None if problems else errors), root, problems
        repaired = _repair(root, errors, file)
        if repaired is None:
            found = (_problem(root, error, file) for error in errors)
            return None, root, problems + list(dict.fromkeys(problem for problem in found if problem))
        root, problem = repaired
        problems.append(problem)


def _validate(root: Node) -> Scenario | list[ErrorDetails]:
    # JSON, because pydantic's strict mode then knows mappings and lists, yet takes neither true nor "3" for a number.
    try:
        return Scenario.model_validate_json(json.dumps(root.plain()), strict=True, context=dict(FROM_TEXT))
    except ValidationError as error:
        return error.errors(include_url=False)


def _repair(root: Node, errors: Sequence[ErrorDetails], file: str) -> tuple[Node, Problem] | None:
    """Replace one misspelt key or kind by the nearest valid one. Gives the new tree and the problem, or None."""
    for error in errors:
        path = _path(error["loc"])
        if error["type"] == "extra_forbidden":
            *above, key = path
            parent = root.get(*above)
            model = _model_at(root, tuple(above))
            if parent is None or model is None or not isinstance(key, str):
                continue
            free = [name for name in _keys_of(model) if name not in dict(parent.items())]
            if close := nearest(key, free, likeness=_SURE):
                problem = Problem(
                    file, *parent.key_at(key), f"{_where(root, path)}: unknown key; did you mean {close!r}?"
                )
                return _changed(root, tuple(above), _renamed(parent, key, close)), problem
        if error["type"] == "union_tag_invalid":
            node = root.get(*path, "kind")
            if node and isinstance(node.value, str) and (close := nearest(node.value, list(_KINDS), likeness=_SURE)):
                message = f"{_where(root, (*path, 'kind'))}: no kind {node.value!r}; did you mean {close!r}?"
                changed = _changed(root, (*path, "kind"), replace(node, value=close))
                return changed, Problem(file, node.line, node.col, message)
    return None


def _renamed(parent: Node, old: str, new: str) -> Node:
    values = {new if key == old else key: node for key, node in parent.items()}
    return replace(parent, value=values, keys={new if key == old else key: at for key, at in parent.keys.items()})


def _changed(node: Node, path: Loc, new: Node) -> Node:
    """Give a copy of the tree with the node at `path` replaced."""
    if not path:
        return new
    step, *rest = path
    below = node.child(step)
    if below is None:
        return node
    changed = _changed(below, tuple(rest), new)
    if isinstance(node.value, tuple):
        return replace(node, value=tuple(changed if i == step else child for i, child in enumerate(node.value)))
    return replace(node, value={key: changed if key == step else child for key, child in node.items()})


def _path(loc: Loc) -> Loc:
    """Turn pydantic's location into a path in the file: without the names of kinds, of union members and `[key]`."""
    if loc[:1] == ("expectations",):
        loc = (*loc[:2], *loc[3:])
    if loc[:1] == ("variants",) and loc[2:3] == ("cells",):
        loc = (*loc[:4], *loc[5:])
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _model_at(root: Node, path: Loc) -> type[BaseModel] | None:
    """Find the model whose keys belong at `path`."""
    kind: Any = Scenario
    for depth, step in enumerate(path):
        models = list(_models(kind))
        if models and isinstance(step, str):
            field = models[0].model_fields.get(step)
            if field is None:
                return None
            kind = field.annotation
        else:
            kind = next((arg for arg in reversed(get_args(kind)) if arg is not Ellipsis), None)
        if path[0] == "expectations" and depth == 1:
            kind = _KINDS.get(root.text(*path[:2], "kind") or "")
    return next(_models(kind), None)


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names directly, in a union or as an optional."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    elif get_origin(kind) in {Union, UnionType, Annotated}:
        for arg in get_args(kind):
            yield from _models(arg)


def _keys_of(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _where(root: Node, path: Loc) -> str:
    """Write a path as people do, entries of lists by their id: `expectations[servers-leave].within`."""
    text = ""
    for depth, step in enumerate(path):
        if isinstance(step, int):
            text += f"[{(root.text(*path[: depth + 1], 'id') or str(step + 1))[:60]}]"
        else:
            text += f".{step[:60]}" if text else step[:60]
    return text or "the scenario"


def _problem(root: Node, error: ErrorDetails, file: str) -> Problem | None:
    """Put one of pydantic's errors into words; None if another one says the same."""
    path = _path(error["loc"])
    node = root.get(*path)
    parent, name = root.get(*path[:-1]), str(path[-1]) if path else ""
    at = (node.line, node.col) if node else (root.line, root.col)
    message = ""
    match error["type"]:
        case "missing":
            above = _nearest_node(root, path[:-1])
            return Problem(file, *above, f"{_where(root, path[:-1])}: the key {name!r} is missing")
        case "union_tag_not_found":
            message = f"the key 'kind' is missing; possible: {', '.join(_KINDS)}"
        case "union_tag_invalid":
            tag = root.get(*path, "kind")
            at = (tag.line, tag.col) if tag else at
            message = f"no kind {_said(tag)}; {suggestion(_said(tag), list(_KINDS))}"
        case "extra_forbidden":
            at = parent.key_at(name) if parent else at
            model = _model_at(root, path[:-1])
            message = f"unknown key; {suggestion(name, _keys_of(model) if model else [])}"
        case "string_pattern_mismatch" if error["loc"][-1] == "[key]":
            at = parent.key_at(name) if parent else at
            message = _no_match(error.get("ctx", {}), None, f"{name[:60]!r}")
        case "too_short" if node is not None and (any(node.elements()) or any(node.items())):
            return None  # its elements were refused, which is said of each
        case "literal_error" | "model_type" if path[:1] == ("variants",) and path[2:3] == ("cells",):
            message = _cell(node, error)
    message = message or _in_words(error, node)
    return Problem(file, *at, f"{_where(root, path)}: {message}") if message != _SAID_ELSEWHERE else None


_NAME: Final = "letters, digits, '.', '_' and '-', beginning with a letter or digit"
_SAID_ELSEWHERE: Final = "-"


def _cell(node: Node | None, error: ErrorDetails) -> str:
    """Word the two errors that pydantic has of every wrong cell once."""
    if error["type"] == "model_type" or (node is not None and isinstance(node.value, Mapping)):
        return _SAID_ELSEWHERE
    said = _said(node)
    return f"{said} is not pass, fail, any or {{fails_at_least: 20 %}}"


def _in_words(error: ErrorDetails, node: Node | None) -> str:
    """Say what must be at this place, and what is."""
    words = _WORDS.get(error["type"])
    if words is None:
        return error["msg"].replace("Input should be", "must be").replace("input", "value")
    return words(error.get("ctx", {}), node, _said(node))


def _not_text(_: Mapping[str, Any], node: Node | None, said: str) -> str:
    number = node is not None and isinstance(node.value, int | float)
    return f"must be text, not {said}" + (f'; put it in quotes: "{said}"' if number else "")


def _not_an_option(context: Mapping[str, Any], _: Node | None, said: str) -> str:
    options = [option.strip(" '") for option in str(context["expected"]).replace(" or ", ",").split(",")]
    close = nearest(said.strip("'"), options)
    return f"must be {' or '.join(options)}, not {said}" + (f"; did you mean {close!r}?" if close else "")


def _no_match(context: Mapping[str, Any], _: Node | None, said: str) -> str:
    pattern = str(context.get("pattern"))
    if pattern.endswith("*$"):
        return f"{said} is not a name: {_NAME}"
    return f"{said} is not {_PATTERNS.get(pattern, 'host:port, as in registry:2379')}"


_PATTERNS: Final = {r"^[^=,]+$": "a key or value of a cohort: text without '=' and ','"}
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any], Node | None, str], str]]] = {
    "value_error": lambda context, _, __: str(context["error"]),
    "string_type": _not_text,
    "int_type": lambda _, __, said: f"must be a whole number, not {said}",
    "literal_error": _not_an_option,
    "float_type": lambda _, __, said: f"must be a number, not {said}",
    "finite_number": lambda _, __, said: f"must be a number, not {said}",
    "string_pattern_mismatch": _no_match,
    "model_type": lambda _, __, said: f"must be a mapping (key: value), not {said}",
    "dict_type": lambda _, __, said: f"must be a mapping (key: value), not {said}",
    "tuple_type": lambda _, __, said: f"must be a list ([one, two], or a line '- one' for each), not {said}",
    "too_short": lambda _, __, ___: "must have at least one entry",
    "too_long": lambda context, _, __: (
        f"can have {context['max_length']} entry for now, has {context['actual_length']}"
    ),
    "greater_than": lambda _, __, ___: "must be more than 0",
}


def _said(node: Node | None) -> str:
    """Write a value as a message shows it."""
    value = node.value if node else None
    if isinstance(value, tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a mapping"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}...{text[0]}"


def _nearest_node(root: Node, path: Loc) -> tuple[int, int]:
    """Find where the mapping at `path` is introduced: its key, or its first character in a list."""
    if not path:
        return root.line, root.col
    parent = root.get(*path[:-1])
    node = root.get(*path)
    if parent and isinstance(path[-1], str):
        return parent.key_at(path[-1])
    return (node.line, node.col) if node else (root.line, root.col)
