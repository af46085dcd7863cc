"""What is wrong with a scenario though its shape is right: names that mean nothing, claims that could never be judged.

Works on the tree, not on the validated scenario, so that these problems come together with those of the shape. Whatever
has the wrong shape is passed over here, for it has its problem already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from shaketable.model.errors import Problem
from shaketable.model.units import parse_duration, parse_rate, parse_share, show_share
from shaketable.run.scenario_claims import check_claims
from shaketable.run.scenario_faults import check_faults, wrong_kinds
from shaketable.run.scenario_holders import check_holders
from shaketable.run.scenario_rollout import check_rollout
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_tree import Found, at, elements, entries, read
from shaketable.run.yaml_source import Node


def check_meaning(root: Node, file: str) -> list[Problem]:
    """Find every name that refers to nothing and every claim that cannot be judged."""
    checks: Sequence[Callable[[Node], Found]] = (
        _version,
        _axes,
        _cells,
        _load,
        check_holders,
        check_claims,
        check_faults,
        check_rollout,
        _ids,
    )
    return [Problem(file, line, col, message) for check in checks for (line, col), message in check(root)]


def _version(root: Node) -> Found:
    node = root.get("shaketable")
    if node and node.value == 1 and (isinstance(node.value, bool) or not isinstance(node.value, int)):
        yield at(node), "shaketable: must be the number 1"


def _axes(root: Node) -> Found:
    for name, axis in entries(root, "axes"):
        if axis.value == ():
            yield at(axis), f"axes.{name}: has no values, so there would be no trials"
        seen: set[str] = set()
        for node in axis.elements():
            if isinstance(node.value, str) and node.value in seen:
                yield at(node), f"axes.{name}: {node.value!r} is here twice"
            elif isinstance(node.value, str):
                seen.add(node.value)


def _cells(root: Node) -> Found:
    first = next(entries(root, "axes"), None)
    values = [str(node.value) for node in first[1].elements()] if first else []
    readable = first is None or isinstance(first[1].value, tuple)
    misspelt = {str(node.value) for node in wrong_kinds(root)}
    for variant, node in entries(root, "variants"):
        cells = node.get("cells")
        for value, cell in entries(node, "cells"):
            where = f"variants.{variant}.cells.{value}"
            if cells and readable and value not in values and nearest(value, values) not in misspelt:
                axis = f"no value of the first axis, {first[0]}" if first else "there are no axes"
                yield (
                    cells.key_at(value),
                    f"{where}: {axis}; {suggestion(value, values)}"
                    if first
                    else (f"{where}: a cell is a value of the first axis, but {axis}"),
                )
            least, most = (read(parse_share, cell.get(key)) for key in ("fails_at_least", "fails_at_most"))
            if least is not None and most is not None and least > most:
                yield (
                    at(cell),
                    f"{where}: fails_at_least {show_share(least)} is more than fails_at_most {show_share(most)}",
                )


def _load(root: Node) -> Found:
    target = root.get("load", "target")
    if target and isinstance(target.value, str) and not _is_url(target.value):
        yield at(target), f"load.target: {target.value[:60]!r} is not a URL; write one as in 'http://haproxy:8080'"
    for key, parse in (("rate", parse_rate), ("timeout", parse_duration)):
        node = root.get("load", key)
        if node and read(parse, node) == 0:
            yield at(node), f"load.{key}: must be more than 0"


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        return False


def _ids(root: Node) -> Found:
    for part in ("faults", "expectations"):
        lines: dict[str, int] = {}
        for node in elements(root, part):
            name = node.get("id")
            if name is None or not isinstance(name.value, str):
                continue
            if name.value in lines:
                yield at(name), f"{part}: the id {name.value[:60]!r} is taken by the one in line {lines[name.value]}"
            lines.setdefault(name.value, name.line)
