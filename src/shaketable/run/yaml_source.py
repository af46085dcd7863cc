"""YAML text as a tree that knows where each part was written.

Read with the rules of YAML 1.2, so that text means what it looks like: only `true` and `false` are booleans, `on` and
`no` are words, `010` is ten, `1:30` and `2024-01-01` are text. Aliases and merge keys (`<<`) work; a key given twice is
a problem. Text that could blow up or hide something (deep nesting, aliases of aliases, control characters) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import yaml

from shaketable.model.errors import Problem

MAX_DEPTH: Final = 24
MAX_NODES: Final = 20_000

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

_RESOLVERS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("int", re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}"), "-+0123456789"),
    (
        "float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN",
        ),
        "-+0123456789.",
    ),
    ("null", re.compile(r"~|null|Null|NULL|"), "~nN\0"),
    ("merge", re.compile(r"<<"), "<"),
)
_TAG: Final = "tag:yaml.org,2002:"
_UNPRINTABLE: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """PyYAML's reader, parser and composer, with the implicit types of YAML 1.2 in place of those of 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own shape)


for _name, _pattern, _first in _RESOLVERS:
    for _character in _first:
        _Loader.yaml_implicit_resolvers.setdefault("" if _character == "\0" else _character, []).append(
            (_TAG + _name, re.compile(f"(?:{_pattern.pattern})\\Z"))
        )

RESOLVERS: Final = _Loader.yaml_implicit_resolvers
"""What plain text is taken for something else than text: tag and pattern, by its first character."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it begins (line and col count from 1).

    `value` is a scalar, a tuple of nodes, or a mapping from key to node. `keys` has the position of each key. A key is
    always text: its own spelling in the file.
    """

    value: Scalar | tuple[Node, ...] | Mapping[str, Node]
    line: int
    col: int
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def get(self, *path: str | int) -> Node | None:
        """Find the node at `path` below this one; None where there is none, whatever stands on the way."""
        node: Node | None = self
        for step in path:
            if node is None:
                return None
            node = node.child(step)
        return node

    def child(self, step: str | int) -> Node | None:
        """Find the entry with this key or index, if there is one."""
        if isinstance(step, str):
            return self.value.get(step) if isinstance(self.value, Mapping) else None
        return self.value[step] if isinstance(self.value, tuple) and 0 <= step < len(self.value) else None

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield keys and nodes of a mapping; nothing for anything else."""
        if isinstance(self.value, Mapping):
            yield from self.value.items()

    def elements(self) -> Iterator[Node]:
        """Yield the nodes of a list; nothing for anything else."""
        if isinstance(self.value, tuple):
            yield from self.value

    def text(self, *path: str | int) -> str | None:
        """Find the text at `path`; None where there is none or something else."""
        node = self.get(*path)
        return node.value if node is not None and isinstance(node.value, str) else None

    def key_at(self, key: str) -> tuple[int, int]:
        """Tell (line, col) of `key`, or of this node if it has no such key."""
        return self.keys.get(key, (self.line, self.col))

    def plain(self) -> Plain:
        """Give the value without positions, as JSON would have it."""
        if isinstance(self.value, Mapping):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, tuple):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(slots=True)
class _Reader:
    """Turns PyYAML's nodes into ours, once per use, and collects what is wrong on the way."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    open: set[int] = field(default_factory=set)

    def problem(self, node: yaml.Node, message: str) -> None:
        mark = node.start_mark
        self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, message))

    def read(self, node: yaml.Node) -> Node:
        self.count += 1
        line, col = node.start_mark.line + 1, node.start_mark.column + 1
        if self.count > MAX_NODES:
            raise _RefusedError(line, col, f"has more than {MAX_NODES} values once its aliases are followed")
        if id(node) in self.open:
            raise _RefusedError(line, col, "this value contains itself through an alias")
        if len(self.open) >= MAX_DEPTH:
            raise _RefusedError(line, col, f"is nested more than {MAX_DEPTH} levels deep")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                self.collection_tag(node, "map", "mapping")
                return self.mapping(node, line, col)
            if isinstance(node, yaml.SequenceNode):
                self.collection_tag(node, "seq", "list")
                return Node(tuple(self.read(element) for element in node.value), line, col)
            return Node(self.scalar(node) if isinstance(node, yaml.ScalarNode) else None, line, col)
        finally:
            self.open.discard(id(node))

    def collection_tag(self, node: yaml.Node, name: str, what: str) -> None:
        if node.tag != _TAG + name:
            self.problem(node, f"the tag {_shown_tag(node.tag)} means nothing here; write a plain {what}")

    def mapping(self, node: yaml.MappingNode, line: int, col: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        merged: list[Node] = []
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problem(key, "a key must be plain text; text that begins with { or [ must be in quotes")
                continue
            if key.tag == _TAG + "merge":
                merged += self.merge(value)
                continue
            name = _as_text(self.scalar(key), key.value)
            read = self.read(value)
            if name in values:
                first = keys[name][0]
                self.problem(key, f"the key {name!r} is here twice; the first is in line {first}")
                continue
            values[name] = read
            keys[name] = (key.start_mark.line + 1, key.start_mark.column + 1)
        for other in merged:
            for name, read in other.items():
                if name not in values:
                    values[name], keys[name] = read, other.keys[name]
        return Node(values, line, col, keys)

    def merge(self, value: yaml.Node) -> list[Node]:
        """Read the mappings that `<<` stands for, the one that counts first in front."""
        read = self.read(value)
        nodes = list(read.elements()) if isinstance(read.value, tuple) else [read]
        if any(not isinstance(node.value, Mapping) for node in nodes):
            self.problem(value, "<< needs a mapping, or a list of mappings, to take keys from")
        return nodes

    def scalar(self, node: yaml.ScalarNode) -> Scalar:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG) if node.tag.startswith(_TAG) else ""
        if kind in {"bool", "int", "float", "null"} and not _fits(kind, text):
            self.problem(node, f"{text[:60]!r} is not what its tag !!{kind} says")
            return text
        if kind not in {"bool", "int", "float", "null", "str", "merge"}:
            self.problem(node, f"the tag {_shown_tag(node.tag)} means nothing here; write plain text")
        if bad := _UNPRINTABLE.search(text):
            self.problem(node, f"this text has an unprintable character (U+{ord(bad[0]):04X}) in it")
            return _UNPRINTABLE.sub("?", text)
        return _value(kind, text)


def _fits(kind: str, text: str) -> bool:
    return any(pattern.fullmatch(text) for name, pattern, _ in _RESOLVERS if name == kind)


def _value(kind: str, text: str) -> Scalar:
    """Read a scalar whose text fits its kind."""
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            prefix = text[:2]
            return int(text, {"0o": 8, "0x": 16}[prefix]) if prefix in {"0o", "0x"} else int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _as_text(value: Scalar, written: str) -> str:
    """Give a key as it was written; unprintable characters are gone from `value` only."""
    return value if isinstance(value, str) else written


def _shown_tag(tag: str) -> str:
    return (f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag)[:60]


class _RefusedError(Exception):
    """Reading stops here: (line, col, message)."""

    def __init__(self, line: int, col: int, message: str) -> None:
        super().__init__(message)
        self.line, self.col, self.message = line, col, message


def read_yaml(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """Read one YAML document. Gives the tree and what is wrong with it; no tree if the text cannot be read at all."""
    reader = _Reader(file)
    try:
        root = _Loader(text).get_single_node()
        if root is None:
            return None, [Problem(file, 1, 1, "is empty")]
        return reader.read(root), reader.problems
    except (_RefusedError, RecursionError, yaml.YAMLError, ValueError, OverflowError) as error:
        return None, [*reader.problems, Problem(file, *_broken(error, text))]


def _broken(error: Exception, text: str) -> tuple[int, int, str]:
    """Say where reading stopped, and why: (line, col, message)."""
    match error:
        case _RefusedError():
            return error.line, error.col, error.message
        case RecursionError():
            return 1, 1, f"is nested more than {MAX_DEPTH} levels deep"
        case yaml.reader.ReaderError():
            before = text[: error.position]
            line, col = before.count("\n") + 1, len(before) - before.rfind("\n")
            return line, col, f"has an unprintable character (U+{_code(error.character):04X}) in it"
        case yaml.MarkedYAMLError():
            mark = error.problem_mark or error.context_mark
            return (mark.line + 1 if mark else 1), (mark.column + 1 if mark else 1), _syntax(error)
    # PyYAML lets a few errors of Python through, as for an escape like "\UFFFFFFFF".
    return 1, 1, f"is not YAML: {error}"


def _code(character: object) -> int:
    return character if isinstance(character, int) else ord(str(character)[0])


_SYNTAX: Final = (
    ("character '\\t'", "a tab cannot be used to indent; use spaces"),
    ("mapping values are not allowed", "a ': ' cannot be here; does the text before it need quotes?"),
    ("could not find expected ':'", "a ':' is missing after the key in the line above or in this one"),
    (
        "expected <block end>",
        "this does not go with what is above: look at the indentation; text that begins with { or [ must be in quotes",
    ),
    ("expected ',' or ']'", "a list opened with '[' is not closed, or a ',' is missing"),
    ("expected ',' or '}'", "a mapping opened with '{' is not closed, or a ',' is missing"),
    ("found unexpected end of stream", "a quote that was opened is never closed"),
    ("expected a single document", "a second document begins here ('---'); a scenario file holds one"),
    ("found duplicate anchor", "this anchor (&name) is here twice"),
    ("cannot start any token", "text cannot begin with this character; put it in quotes"),
)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """Say in a person's words what PyYAML stumbled over."""
    problem = str(error.problem or error)
    context = str(error.context or "")
    if problem.startswith("found undefined alias"):
        return (
            f"the alias *{problem.split(chr(39))[1]} stands for nothing: there is no &{problem.split(chr(39))[1]} above"
        )
    for part, message in _SYNTAX:
        if part in problem or part in context:
            return message
    return f"is not YAML: {problem}" + (f" {context}" if context else "")
