"""What is wrong with a scenario's roll-out: stages that are one and the same, gates that could never trip.

To the other checks each stage is a fault, at the place of the stage in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from shaketable.model.faults import Gate
from shaketable.model.units import parse_duration, parse_rate, parse_share, show_duration, show_rate, show_share
from shaketable.run.scenario_shape import nearest
from shaketable.run.scenario_tree import Found, at, duration, elements, entries, read, texts
from shaketable.run.yaml_source import Node

_PLACE: Final = "{stage}"


def check_rollout(root: Node) -> Found:
    """Find every problem of a roll-out, and of what needs one, that its shape does not show."""
    rollout = root.get("rollout")
    yield from _something(root)
    if rollout is None:
        yield from _without(root)
        return
    yield from _names(root, rollout)
    yield from _places(rollout)
    yield from _told_apart(rollout)
    yield from _gate(root, rollout)


def stages_as_faults(root: Node) -> list[tuple[str, Node]]:
    """Every stage as the fault that it will be, with how a message names it; those without a name are left out."""
    rollout = root.get("rollout")
    if rollout is None or not (whole := rollout.text("id")):
        return []
    found: list[tuple[str, Node]] = []
    for stage in elements(rollout, "stages"):
        name = stage.text("id")
        if not name:
            continue
        parts = {key: node for key in ("kind", "with", "lasts") if (node := rollout.get(key)) is not None}
        if not found:
            parts |= {key: node for key in ("when", "after") if (node := rollout.get(key)) is not None}
        else:
            before = Node(found[-1][1].text("id"), stage.line, stage.col)
            parts["when"] = Node({"effective": before}, stage.line, stage.col)
        if (target := stage.get("target")) is not None:
            parts["target"] = target
        if "with" in parts:
            parts["with"] = _filled(parts["with"], name)
        parts["id"] = Node(f"{whole}-{name}", stage.line, stage.col)
        found.append((f"rollout.stages[{name[:60]}]", Node(parts, stage.line, stage.col, rollout.keys)))
    return found


def lives(root: Node) -> Mapping[str, float]:
    """From each stage's effect to its undo, seconds, where no gate trips and each is looked at as briefly as it may be."""
    soak = min(_soaks(root).values(), default=None)
    lasts = read(parse_duration, root.get("rollout", "lasts"))
    names = [fault.text("id") or "" for _, fault in stages_as_faults(root)]
    if soak is None or lasts is None:
        return {}
    return {name: (len(names) - number) * soak + lasts for number, name in enumerate(names)}


def _filled(node: Node, stage: str) -> Node:
    """The node with `{stage}` replaced in every text below it."""
    if isinstance(node.value, str):
        return replace(node, value=node.value.replace(_PLACE, stage))
    if isinstance(node.value, tuple):
        return replace(node, value=tuple(_filled(child, stage) for child in node.value))
    if isinstance(node.value, Mapping):
        return replace(node, value={key: _filled(child, stage) for key, child in node.value.items()})
    return node


def _something(root: Node) -> Found:
    """Check that there is something to inject."""
    faults = root.get("faults")
    if root.get("rollout") is None and (faults is None or faults.value == ()):
        if faults is not None:
            yield at(faults), "faults: must have at least one entry"
        else:
            yield at(root), "the scenario: the key 'faults' is missing, and there is no 'rollout' either"


def _without(root: Node) -> Found:
    """Find what means nothing because there is no roll-out."""
    for name, variant in entries(root, "variants"):
        if variant.get("soak") is not None:
            yield variant.key_at("soak"), f"variants.{name}.soak: there is no rollout whose stages would soak"
    for position, claim in enumerate(elements(root, "expectations"), 1):
        if (kind := claim.get("kind")) is not None and kind.value in ("rollout-stops", "soak-catches"):
            where = f"expectations[{claim.text('id') or position}].kind"
            yield at(kind), f"{where}: there is no rollout, so {kind.value} could not be judged"


def _names(root: Node, rollout: Node) -> Found:
    """Check that no stage has the name of another, or that of a fault."""
    lines: dict[str, int] = {}
    for stage in elements(rollout, "stages"):
        if (node := stage.get("id")) is None or not isinstance(node.value, str):
            continue
        if node.value in lines:
            taken = f"is taken by the one in line {lines[node.value]}"
            yield at(node), f"rollout.stages: the id {node.value[:60]!r} {taken}"
        lines.setdefault(node.value, node.line)
    stages = {fault.text("id") for _, fault in stages_as_faults(root)}
    for fault in elements(root, "faults"):
        if (node := fault.get("id")) is None or not isinstance(node.value, str):
            continue
        times = fault.get("repeat", "times")
        turns = range(2, times.value + 1) if times and isinstance(times.value, int) and times.value <= 1000 else ()
        if clash := next((n for n in (node.value, *(f"{node.value}-{t}" for t in turns)) if n in stages), None):
            yield at(node), f"faults: {clash[:60]!r} is the name of a stage of the roll-out, too"


def _places(rollout: Node) -> Found:
    """Find what was probably meant to be `{stage}`."""
    for text in texts(rollout.get("with")):
        for word in re.findall(r"\{([A-Za-z_-]+)\}", str(text.value)):
            if word != "stage" and nearest(word, ["stage"], likeness=0.7):
                yield at(text), f"rollout.with: {'{' + word + '}'!r} stands for nothing; did you mean '{_PLACE}'?"


def _told_apart(rollout: Node) -> Found:
    """Check that no two stages do the same to the same."""
    if any(_PLACE in str(text.value) for text in texts(rollout.get("with"))):
        return
    seen: dict[str, str] = {}
    for stage in elements(rollout, "stages"):
        target, name = stage.get("target"), stage.text("id") or ""
        if target is None or not any(target.items()):
            continue
        what = repr(target.plain())
        if what in seen:
            same = f"has the target of {seen[what]}, and nothing in 'with' tells the two apart"
            yield at(target), f"rollout.stages[{name[:60]}].target: {same}; write '{_PLACE}' where its id belongs"
        seen.setdefault(what, name)


def _gate(root: Node, rollout: Node) -> Found:
    """Check that the gate could trip: by its numbers, by the load, and by the time that it has."""
    gate = rollout.get("gate") or Node({}, *rollout.key_at("stages"))
    window = duration(gate, Gate, "window")
    takes = gate.get("arrivals")
    arrivals = takes.value if takes is not None else Gate().arrivals
    rate = read(parse_rate, root.get("load", "rate"))
    if window and rate and isinstance(arrivals, int) and arrivals > rate * window:
        most = f"of the {show_rate(rate)} of load {rate * window:.3g} fall into {show_duration(window)}"
        yield at(takes or gate), f"rollout.gate: it takes {arrivals} arrivals, but {most}, so it could never trip"
    limit = gate.get("burn")
    burn = limit.value if limit is not None else Gate().burn
    objective = read(parse_share, gate.get("objective")) if gate.get("objective") is not None else Gate().objective
    if isinstance(burn, int | float) and objective is not None and burn * (1 - objective) >= 1 - 1e-12:
        most = f"even if all fail the burn is {1 / (1 - objective):.4g} with an objective of {show_share(objective)}"
        yield at(limit or gate), f"rollout.gate: {most}, never more than {burn:g}, so it could never trip"
    for where, soak in _soaks(root).items():
        place = root.get(*where.split("."))
        if window and place and window > soak:
            shown = f"{show_duration(soak)} is less than the gate's window of {show_duration(window)}"
            yield at(place), f"{where}: {shown}, so it would go on before its gate has seen enough"


def _soaks(root: Node) -> dict[str, float]:
    """Every soak time of the scenario that can be read, seconds, by its place."""
    places = ["rollout.soak", *(f"variants.{name}.soak" for name, _ in entries(root, "variants") if "." not in name)]
    return {p: s for p in places if (s := read(parse_duration, root.get(*p.split(".")))) is not None and s > 0}
