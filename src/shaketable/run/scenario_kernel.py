"""What is wrong with claims about what the kernel says of instances: runaways, limits, and who was killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from shaketable.model.claims import LimitsHold
from shaketable.model.scenario import CONTAINER_GAUGES
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_tree import Found, at, elements, entries
from shaketable.run.yaml_source import Node

Where = Callable[..., str]
_LISTS: Final[Mapping[str, tuple[str, str, bool]]] = {
    "runaway-ends": ("ends", "ends", True),
    "limits-hold": ("list", "limits", True),
    "spared": ("list", "ends", False),
}
"""By kind: the key of its list, the word that the list has to be, and whether the word must name an instance."""
_COUNTERS: Final = ("oom-kills", "failed-forks")
"""Gauges that only count up, so that a stretch above a number would never be over."""


def check_kernel_claims(root: Node, where: Where) -> Found:
    """Find every claim whose list or gauge is not what the kernel says, and limits that nothing is claimed of.

    `where` puts a claim's node, its position and a path below it in words.
    """
    words = {what: _words(root, what) for what in ("lists", "gauges")}
    for position, node in enumerate(elements(root, "expectations"), 1):
        kind = node.text("kind") or ""
        if kind not in _LISTS:
            continue
        yield from _list(node, where(node, position, _LISTS[kind][0]), words["lists"], kind)
        if kind == "runaway-ends":
            of = words["lists"].get(node.text("ends") or "", "").partition(" ")[2]
            yield from _gauges(node, where(node, position, "gauges"), words["gauges"], of)
        for empty in ("by", "limits", "gauges"):
            if (listed := node.get(empty)) is not None and not listed.value and listed.value is not None:
                yield at(listed), f"{where(node, position, empty)}: is empty, so nothing would be judged"
        yield from _reached(node, where(node, position, "reached"))


def _words(root: Node, what: str) -> dict[str, str]:
    """By name of a list or gauge, what it is of the kernel's word; empty for one of another kind of holder."""
    found: dict[str, str] = {}
    for _, holder in entries(root, "observers", "holders"):
        kernel = nearest(holder.text("kind") or "", ["containers"]) is not None
        for name, node in entries(holder, what):
            found.setdefault(name, str(node.value) if kernel else "")
    return found


def _list(node: Node, where: str, held: Mapping[str, str], kind: str) -> Found:
    """Check that a claim's list is one that says what the claim is about."""
    key, word, named = _LISTS[kind]
    list_ = node.get(key)
    if list_ is None or not isinstance(list_.value, str):
        return
    fitting = [n for n, text in held.items() if text.split(" ")[0] == word and (" " in text.strip() or not named)]
    if list_.value not in held:
        if key != "list":  # a key of that name is looked at for all claims
            hint = suggestion(list_.value, fitting) if fitting else "no holder has one"
            yield at(list_), f"{where}: no holder has a list {list_.value[:60]!r}; {hint}"
    elif list_.value not in fitting:
        meant = f"{word} INSTANCE" if named else word
        hint = suggestion(list_.value, fitting) if fitting else "no holder has one"
        said = f"{list_.value[:60]!r} is not a list '{meant}' of a holder of the kind containers"
        yield at(list_), f"{where}: {said}; {hint}"


def _gauges(node: Node, where: str, held: Mapping[str, str], of: str) -> Found:
    """Check that what runs away is what the list of ends is about, and that its gauges can fall again."""
    gauges = node.get("gauges")
    able = [word for word in CONTAINER_GAUGES if word not in _COUNTERS]
    for name, _ in gauges.items() if gauges else ():
        if gauges is None or name not in held:
            continue
        word, _, instance = held[name].partition(" ")
        spot = f"{where}.{name[:60]}"
        if word not in able:
            why = "only counts up, so nothing would ever be over" if word in _COUNTERS else "is not the kernel's"
            yield gauges.key_at(name), f"{spot}: this gauge {why}; possible here: {', '.join(able)} of an instance"
        elif of and instance != of and not instance.startswith(f"{of}/"):
            said = f"this gauge is of {instance[:60]!r}, and the list {node.text('ends')!r} of {of[:60]!r}"
            yield gauges.key_at(name), f"{spot}: {said}: who ended it would not be on it"


def _reached(node: Node, where: str) -> Found:
    """Check that what must have been reached is among the limits that are claimed to hold."""
    if node.text("kind") != "limits-hold":
        return
    asked = node.get("limits")
    limits = [str(one.value) for one in asked.elements()] if asked else list(LimitsHold.model_fields["limits"].default)
    for one in elements(node, "reached"):
        if isinstance(one.value, str) and one.value not in limits:
            yield at(one), f"{where}: {one.value[:60]!r} is not among the limits of this claim: {', '.join(limits)}"
