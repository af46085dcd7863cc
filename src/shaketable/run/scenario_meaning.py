"""What is wrong with a scenario though its shape is right: names that mean nothing, claims that could never be judged.

Works on the tree, not on the validated scenario, so that these problems come together with those of the shape. Whatever
has the wrong shape is passed over here, for it has its problem already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from shaketable.model.errors import Problem
from shaketable.model.scenario import Fault, Load, Observers, Steady
from shaketable.model.units import parse_duration, parse_rate, parse_share, show_duration, show_share
from shaketable.run.scenario_faults import check_faults, wrong_kinds
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
        _holders,
        _lists,
        check_faults,
        _ids,
        _deadlines,
    )
    return [Problem(file, line, col, message) for check in checks for (line, col), message in check(root)]


def _duration(root: Node, model: type[Fault | Load | Observers | Steady], *path: str | int) -> float | None:
    """Read a duration, or take the model's default if there is none; None if it is wrong or there is neither."""
    if root.get(*path) is not None:
        return read(parse_duration, root.get(*path))
    default = model.model_fields[str(path[-1])].default
    return default if isinstance(default, float) else None


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


def _holders(root: Node) -> Found:
    max_gap = _duration(root, Observers, "observers", "max_gap")
    usual = root.get("observers", "every")
    gap = root.get("observers", "max_gap")
    yield from _pace("observers.every", usual or gap, _duration(root, Observers, "observers", "every"), max_gap)
    for name, holder in entries(root, "observers", "holders"):
        where = f"observers.holders.{name}"
        every = holder.get("every")
        yield from _pace(f"{where}.every", every, read(parse_duration, every), max_gap)
        address = holder.get("at")
        port = address.value.rpartition(":")[2] if address and isinstance(address.value, str) else ""
        if address and port.isdecimal() and not 0 < int(port) < 65536:
            yield at(address), f"{where}.at: there is no port {port[:12]}"
        for key, node in entries(holder, "lists"):
            yield from _pattern(f"{where}.lists.{key}", holder.text("kind"), node)


def _pace(where: str, node: Node | None, every: float | None, max_gap: float | None) -> Found:
    """Check the time between two looks."""
    if node and every == 0:
        yield at(node), f"{where}: must be more than 0"
    if node and every and max_gap is not None and every >= max_gap:
        shown = f"a look every {show_duration(every)} is not less than max_gap ({show_duration(max_gap)})"
        yield at(node), f"{where}: {shown}, so every trial would be invalid"


def _pattern(where: str, kind: str | None, node: Node) -> Found:
    """Check where a list is in its holder."""
    if kind not in {"etcd", "haproxy"} or not isinstance(node.value, str):
        return
    names = [name.partition(":")[0] for name in re.findall(r"\{([^{}]*)\}", node.value)]
    for name in names:
        if name not in {"host", "service"}:
            yield at(node), f"{where}: {{{name[:60]}}} means nothing; {suggestion(name, ['host', 'service'])}"
    if "host" not in names and {"host", "service"}.issuperset(names):
        yield at(node), f"{where}: {{host}} is missing in the pattern, so no entry could be told from another"
    if kind == "haproxy" and node.value.count("/") != 1:
        yield at(node), f"{where}: must be backend/server, as in 'servers/{{host}}'"


def _lists(root: Node) -> Found:
    """Check that every list a claim is about is held by some holder."""
    held = dict.fromkeys(
        name for _, holder in entries(root, "observers", "holders") for name, _ in entries(holder, "lists")
    )
    if not held:
        return
    steady = root.get("steady", "lists")
    for name, size in entries(root, "steady", "lists"):
        if steady and name not in held:
            yield steady.key_at(name), f"steady.lists.{name}: no holder has this list; {suggestion(name, list(held))}"
        if isinstance(size.value, int) and size.value < 0:
            yield at(size), f"steady.lists.{name}: must be 0 or more"
    for position, node in enumerate(elements(root, "expectations"), 1):
        named = node.get("list")
        if named and isinstance(named.value, str) and named.value not in held:
            where = f"expectations[{node.text('id') or position}].list"
            hint = suggestion(named.value, list(held))
            yield at(named), f"{where}: no holder has a list {named.value[:60]!r}; {hint}"


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


def _deadlines(root: Node) -> Found:
    """Check that every claim can be judged: what must happen before heal is due before heal."""
    hold = _duration(root, Steady, "steady", "hold")
    within = _duration(root, Steady, "steady", "within")
    if (node := root.get("steady")) and hold is not None and within is not None and hold > within:
        shown = f"hold ({show_duration(hold)}) is longer than within ({show_duration(within)})"
        yield at(node), f"steady: {shown}, so it could never be steady in time"
    lasts = {fault.text("id"): read(parse_duration, fault.get("lasts")) for fault in elements(root, "faults")}
    for position, node in enumerate(elements(root, "expectations"), 1):
        key = {"leaves": "within", "not-called": "after"}.get(node.text("kind") or "")
        limit = node.get(key) if key else None
        seconds = read(parse_duration, limit)
        heal = lasts.get(node.text("fault") or next(iter(lasts), None))
        if limit and seconds is not None and heal and seconds >= heal:
            where = f"expectations[{node.text('id') or position}].{key}"
            shown = f"{show_duration(seconds)} is not less than the {show_duration(heal)} that the fault lasts"
            yield at(limit), f"{where}: {shown}, so this could not be judged before heal"
