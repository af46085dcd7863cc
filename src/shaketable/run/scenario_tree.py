"""Walking a scenario's tree of YAML nodes: entries, elements, places, and what `$axis` can come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from pydantic import BaseModel

from shaketable.model.units import parse_duration
from shaketable.run.yaml_source import Node

T = TypeVar("T")
Found = Iterator[tuple[tuple[int, int], str]]
"""(line, col) and message of each problem."""


def axis_of(value: str) -> str | None:
    """Find the axis that `$mode` refers to; None for anything that is not such a reference."""
    return value[1:] if value.startswith("$") else None


def named_values(root: Node, node: Node) -> list[Node]:
    """Find what a value can come to: itself, or for `$axis` all values of that axis (none if there is no such axis)."""
    axis = axis_of(node.value) if isinstance(node.value, str) else None
    if axis is None:
        return [node]
    values = root.get("axes", axis)
    return list(values.elements()) if values else []


def at(node: Node) -> tuple[int, int]:
    """Place of a node: line and column."""
    return node.line, node.col


def entries(root: Node, *path: str) -> Iterator[tuple[str, Node]]:
    """Keys and values of the mapping at a path; none if there is none."""
    node = root.get(*path)
    return iter(node.items()) if node else iter(())


def elements(root: Node, *path: str) -> Iterator[Node]:
    """Elements of the list at a path; none if there is none."""
    node = root.get(*path)
    return node.elements() if node else iter(())


def texts(node: Node | None) -> list[Node]:
    """All texts below a node, in order; of a mapping its values."""
    if node is None:
        return []
    if isinstance(node.value, str):
        return [node]
    return [text for child in (*node.elements(), *(n for _, n in node.items())) for text in texts(child)]


def read(parse: Callable[[object], T], node: Node | None) -> T | None:
    """Read a value with its unit; None if it is absent or wrong, which is reported elsewhere."""
    if node is None or not isinstance(node.value, str):
        return None
    try:
        return parse(node.value)
    except ValueError:
        return None


def duration(root: Node, model: type[BaseModel], *path: str | int) -> float | None:
    """Read a duration, or take the model's default if there is none; None if it is wrong or there is neither."""
    if root.get(*path) is not None:
        return read(parse_duration, root.get(*path))
    default = model.model_fields[str(path[-1])].default
    return default if isinstance(default, float) else None
