"""What is wrong with a scenario's faults: kinds, parameters, markers and axes that mean nothing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from shaketable.faults import CATALOGUE, Params
from shaketable.model.units import FROM_TEXT
from shaketable.run.axis_text import filled, used, words
from shaketable.run.scenario_rollout import stages_as_faults
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_tree import Found, at, axis_of, elements, entries, named_values, texts
from shaketable.run.yaml_source import Node

_COMBINATIONS = 1000
"""Parameters are checked with so many combinations of the axes' values at most."""


def check_faults(root: Node) -> Found:
    """Find every problem of the faults that their shape does not show."""
    axes = [name for name, _ in entries(root, "axes")]
    own, stages = own_faults(root), stages_as_faults(root)
    everything = [fault for _, fault in (*own, *stages)]
    ids = [name for fault in everything if (name := fault.text("id"))]
    for where, fault in (*own, *stages):
        for path in (("target", "host"), ("target", "instance")):
            yield from _no_axis(fault.get(*path), f"{where}.{'.'.join(path)}", axes)
    for where, fault in (*own, *(("rollout", fault) for _, fault in stages[:1])):
        yield from _no_axis(fault.get("kind"), f"{where}.kind", axes)
        yield from _parameters(root, fault, where)
        yield from _markers(root, fault, where, everything)
    reported: set[tuple[int, int]] = set()
    for node in wrong_kinds(root):
        if at(node) not in reported:
            reported.add(at(node))
            yield at(node), f"no fault kind {str(node.value)[:60]!r}; {suggestion(str(node.value), list(CATALOGUE))}"
    for position, claim in enumerate(elements(root, "expectations"), 1):
        named = claim.get("fault")
        if named and isinstance(named.value, str) and named.value not in ids:
            where = f"expectations[{claim.text('id') or position}].fault"
            yield at(named), f"{where}: there is no fault {named.value[:60]!r}; {suggestion(named.value, ids)}"


def own_faults(root: Node) -> list[tuple[str, Node]]:
    """The scenario's own faults, each with how a message names it."""
    return [(f"faults[{f.text('id') or number}]", f) for number, f in enumerate(elements(root, "faults"), 1)]


def _no_axis(node: Node | None, where: str, axes: list[str]) -> Found:
    axis = axis_of(node.value) if node and isinstance(node.value, str) else None
    if node and axis is not None and axis not in axes:
        yield at(node), f"{where}: there is no axis {axis[:60]!r}; {_dollar(suggestion(axis, axes))}"


def wrong_kinds(root: Node) -> Iterator[Node]:
    """Yield what is used as a fault's kind and is none, be it the fault's own or a value of its axis."""
    for fault in (*elements(root, "faults"), *filter(None, [root.get("rollout")])):
        kind = fault.get("kind")
        for node in named_values(root, kind) if kind else ():
            if isinstance(node.value, str) and node.value not in CATALOGUE:
                yield node


def _parameters(root: Node, fault: Node, where: str) -> Found:
    """Check the parameters against the kind, or against each kind that `$axis` can come to."""
    kind = fault.get("kind")
    named = {str(n.value) for n in named_values(root, kind)} if kind else set()
    if not named or not named <= set(CATALOGUE):
        return
    kinds = {name: CATALOGUE[name].params for name in sorted(named)}
    known = sorted({field for params in kinds.values() for field in params.model_fields})
    shown = " or ".join(kinds) if len(kinds) <= 3 else "these kinds"
    for key in ("with", "escalate"):
        place = fault.get(key)
        for name, node in entries(fault, key):
            assert place is not None, "it has entries"
            if name not in known:
                hint = suggestion(name, known) if known else f"{shown} takes none"
                yield place.key_at(name), f"{where}.{key}.{name[:60]}: no parameter of {shown}; {hint}"
                continue
            yield from _no_such_axis(root, node, f"{where}.{key}.{name}")
            for value in node.elements() if key == "escalate" else (node,):
                yield from _value(root, kinds, name, value, f"{where}.{key}.{name}")
    if (place := fault.get("escalate")) is not None and fault.get("repeat", "times") is None:
        yield at(place), f"{where}.escalate: there is no repeat, so nothing would escalate"
    yield from _required(fault, kinds, where)
    yield from _together(root, fault, kinds, where)


def _no_such_axis(root: Node, node: Node, where: str) -> Found:
    """Find what was probably meant to be an axis; any other `$` is the command's own."""
    axes = [name for name, _ in entries(root, "axes")]
    for text in texts(node):
        for word in words(str(text.value)):
            if word not in axes and nearest(word, axes, likeness=0.7):
                hint = _dollar(suggestion(word, axes))
                yield (
                    at(text),
                    f"{where}: there is no axis {word[:60]!r}; {hint} (a shell's own is written ${{{word[:60]}}})",
                )


def _by_axes(root: Node, plain: Any) -> Iterator[tuple[Any, str]]:
    """Give everything that a value can come to in a trial, each with what the axes are then, in words."""
    axes = {
        name: [n.value for n in node.elements() if isinstance(n.value, str)] for name, node in entries(root, "axes")
    }
    asked = sorted(used(plain, axes))
    for values in itertools.islice(itertools.product(*(axes[name] for name in asked)), _COMBINATIONS):
        axis = dict(zip(asked, values, strict=True))
        said = ", ".join(f"${name} {value[:60]!r}" for name, value in axis.items())
        yield filled(plain, axis), f" (with {said})" if said else ""


def _required(fault: Node, kinds: Mapping[str, type[Params]], where: str) -> Found:
    """Find parameters that a kind needs and that are not given."""
    given = {name for name, _ in (*entries(fault, "with"), *entries(fault, "escalate"))}
    for kind, params in kinds.items():
        for field, info in params.model_fields.items():
            if info.is_required() and field not in given:
                yield at(fault.get("with") or fault), f"{where}.with: {kind} needs the parameter {field!r}"


def _value(root: Node, kinds: Mapping[str, type[Params]], name: str, node: Node, where: str) -> Found:
    """Check one value by itself, with every kind that has this parameter and all that the axes make of it."""
    said: set[str] = set()
    for params in kinds.values():
        if name in params.model_fields:
            for plain, axis in _by_axes(root, node.plain()):
                for message in _refused(params, {name: plain}, name):
                    if message not in said:
                        said.add(message)
                        yield at(node), f"{where}: {message}{axis}"


def _together(root: Node, fault: Node, kinds: Mapping[str, type[Params]], where: str) -> Found:
    """Check what only the parameters together show."""
    place = fault.get("with")
    if place is None:
        return
    plain = {name: node.plain() for name, node in entries(fault, "with")}
    said: set[str] = set()
    for params in kinds.values():
        mine = {name: value for name, value in plain.items() if name in params.model_fields}
        for values, axis in _by_axes(root, mine):
            for message in _refused(params, values, None):
                if message not in said:
                    said.add(message)
                    yield at(place), f"{where}.with: {message}{axis}"


def _refused(params: type[Params], values: Mapping[str, Any], field: str | None) -> list[str]:
    """What the model says of one field, or (None) of all fields together."""
    try:
        params.model_validate_json(json.dumps(values), strict=True, context=dict(FROM_TEXT))
    except ValidationError as error:
        return [
            str(e["ctx"]["error"]) if e["type"] == "value_error" else e["msg"].replace("Input should be", "must be")
            for e in error.errors(include_url=False)
            if e["type"] != "missing" and ((e["loc"][:1] == (field,)) if field is not None else not e["loc"])
        ]
    return []


def _markers(root: Node, fault: Node, where: str, faults: Sequence[Node]) -> Found:
    """Check that what a fault waits for can happen."""
    own, ids = fault.text("id"), [name for one in faults if (name := one.text("id"))]
    for key in ("effective", "healed"):
        node = fault.get("when", key)
        if node and isinstance(node.value, str):
            if node.value == own:
                yield at(node), f"{where}.when.{key}: it would wait for itself"
            elif node.value not in ids:
                yield (
                    at(node),
                    f"{where}.when.{key}: there is no fault {node.value[:60]!r}; {suggestion(node.value, ids)}",
                )
    held = [name for _, holder in entries(root, "observers", "holders") for name, _ in entries(holder, "lists")]
    node = fault.get("when", "changes")
    if node and isinstance(node.value, str) and held and node.value not in held:
        hint = suggestion(node.value, list(dict.fromkeys(held)))
        yield at(node), f"{where}.when.changes: no holder has a list {node.value[:60]!r}; {hint}"
    waits = {f.text("id"): f.text("when", "effective") or f.text("when", "healed") for f in faults}
    seen: list[str | None] = []
    step: str | None = own
    while step is not None and step not in seen:
        seen.append(step)
        step = waits.get(step)
    if own and step == own and len(seen) > 1:
        place = fault.get("when")
        if place is not None:
            yield (
                at(place),
                f"{where}.when: {' waits for '.join(str(s) for s in [*seen, own])}, so none would ever begin",
            )


def _dollar(hint: str) -> str:
    return hint.replace("did you mean '", "did you mean '$")
