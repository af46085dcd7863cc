"""What is wrong with a scenario's holders: what their kind has not, words and patterns that mean nothing, rare looks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from shaketable.agent.looks.words import is_query
from shaketable.model.scenario import CONTAINER_GAUGES, CONTAINERS, DATABASE_GAUGES, WAITS, Observers
from shaketable.model.units import parse_duration, show_duration
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_tree import Found, at, duration, entries, read
from shaketable.run.yaml_source import Node


def check_holders(root: Node) -> Found:
    """Find every holder that could not be looked at, or only too rarely."""
    max_gap = duration(root, Observers, "observers", "max_gap")
    usual = root.get("observers", "every")
    gap = root.get("observers", "max_gap")
    yield from _pace("observers.every", usual or gap, duration(root, Observers, "observers", "every"), max_gap)
    for name, holder in entries(root, "observers", "holders"):
        where = f"observers.holders.{name}"
        every = holder.get("every")
        yield from _pace(f"{where}.every", every, read(parse_duration, every), max_gap)
        place = root.get("observers", "holders")
        if place is not None:
            yield from _of_its_kind(where, holder, place.key_at(name))
        address = holder.get("at")
        port = address.value.rpartition(":")[2] if address and isinstance(address.value, str) else ""
        if address and port.isdecimal() and not 0 < int(port) < 65536:
            yield at(address), f"{where}.at: there is no port {port[:12]}"
        for key, node in entries(holder, "lists"):
            yield from _pattern(f"{where}.lists.{key}", holder.text("kind"), node)
    yield from _twice(root)


_BESIDE: Final[Mapping[str, str]] = {
    "containers": "it is what runs beside the targets, and is looked at there",
    "database": "it is asked by its own client, in its instance",
}
"""Kinds that are looked at from beside the targets, and why they have no address."""
_OF_DATABASES: Final = ("instance", "database", "user", "password", "socket")


def _of_its_kind(where: str, holder: Node, place: tuple[int, int]) -> Found:
    """Check that a holder has what its kind needs, and nothing that its kind has not; `place` is that of its name."""
    kind = holder.text("kind") or ""
    beside = kind if kind in _BESIDE else nearest(kind, list(_BESIDE)) or ""
    yield from _address(where, holder, place, beside)
    if beside == "containers":
        yield from _of_containers(where, holder)
    if beside == "database":
        yield from _of_a_database(where, holder, place)
    else:
        for key in (key for key in _OF_DATABASES if key in holder.keys):
            yield holder.key_at(key), f"{where}.{key}: a holder of the kind {kind} has none; database has"
    if kind in {"etcd", "haproxy"} and "gauges" in holder.keys:
        yield holder.key_at("gauges"), f"{where}.gauges: a holder of the kind {kind} has none; http-json has"
    yield from _something(where, holder, place)


def _address(where: str, holder: Node, place: tuple[int, int], beside: str) -> Found:
    """Check that what is asked over the network has an address, and nothing else has."""
    for key in ("at", "path") if beside else ():
        if key in holder.keys:
            yield holder.key_at(key), f"{where}.{key}: a holder of the kind {beside} has none; {_BESIDE[beside]}"
    address = holder.get("at")
    if not beside and address is not None and address.value is None:
        yield at(address), f"{where}.at: must be host:port, as in registry:2379, not nothing"
    elif not beside and address is None and isinstance(holder.value, Mapping):
        yield place, f"{where}: the key 'at' is missing"


def check_instances(root: Node, instances: Sequence[str]) -> Found:
    """Check that every instance that a holder is about is one of the topology's."""
    for name, holder in entries(root, "observers", "holders"):
        where = f"observers.holders.{name}"
        named = [("instance", holder.get("instance"))]
        if holder.text("kind") == "containers":
            named += [(f"gauges.{key}", node) for key, node in entries(holder, "gauges")]
            lists = entries(holder, "lists")
            named += [(f"lists.{key}", node) for key, node in lists if " " in str(node.value)]
        for what, node in named:
            wanted = str(node.value).rpartition(" ")[2] if node else ""
            if node and wanted not in instances:
                hint = suggestion(wanted, sorted(instances))
                yield at(node), f"{where}.{what}: no instance {wanted[:60]!r}; {hint}"


_OF_ONE: Final = {"ends": "ends or 'ends store'", "limits": "'limits store'"}
"""Lists that are of one instance or nested host, and how they are written."""


def _of_containers(where: str, holder: Node) -> Found:
    """Check the words for what the kernel says of containers."""
    for key, node in entries(holder, "lists"):
        if isinstance(node.value, str):
            yield from _list_of_containers(f"{where}.lists.{key}", node, node.value)
    for key, node in entries(holder, "gauges"):
        if not isinstance(node.value, str):
            continue
        word, _, instance = node.value.partition(" ")
        if word not in CONTAINER_GAUGES:
            said = f"{word[:60]!r} is no gauge of an instance"
            yield at(node), f"{where}.gauges.{key}: {said}; {suggestion(word, CONTAINER_GAUGES)}"
        elif not instance.strip():
            yield at(node), f"{where}.gauges.{key}: of which instance? as in '{word} store'"
        elif instance != instance.strip() or " " in instance:
            yield at(node), f"{where}.gauges.{key}: must be a word and one instance, as in '{word} store'"


def _list_of_containers(where: str, node: Node, what: str) -> Found:
    """Check one list's word, and the instance after it."""
    word, blank, instance = what.partition(" ")
    if word not in CONTAINERS:
        yield at(node), f"{where}: {word[:60]!r} is neither {' nor '.join(CONTAINERS)}; {suggestion(word, CONTAINERS)}"
    elif blank and word not in _OF_ONE:
        yield at(node), f"{where}: {word!r} is of all that runs, so no instance follows it"
    elif blank and (not instance or instance != instance.strip() or " " in instance):
        yield at(node), f"{where}: must be a word and one instance, as in {_OF_ONE[word]}"
    elif not blank and word == "limits":
        yield at(node), f"{where}: of which instance or nested host? as in {_OF_ONE[word]}"


def _of_a_database(where: str, holder: Node, place: tuple[int, int]) -> Found:
    """Check what a database is asked for, and that it is said where it runs."""
    named = holder.get("instance")
    if isinstance(holder.value, Mapping) and (named is None or named.value in (None, "")):
        yield (at(named) if named else place), f"{where}: the key 'instance' is missing: the container that it runs in"
    for what, words in (("lists", (WAITS,)), ("gauges", DATABASE_GAUGES)):
        for key, node in entries(holder, what):
            if not isinstance(node.value, str) or node.value in words:
                continue
            spot = f"{where}.{what}.{key}"
            if not is_query(node.value):
                what_else = f"{WAITS!r}" if words == (WAITS,) else "a word that a database is asked for"
                hint = "" if words == (WAITS,) else f"; {suggestion(node.value, words)}"
                yield at(node), f"{spot}: {node.value[:60]!r} is neither a SELECT nor {what_else}{hint}"
            elif ";" in node.value.strip().rstrip(";"):
                yield at(node), f"{spot}: must be one statement; leave out what follows the ';'"


def _something(where: str, holder: Node, place: tuple[int, int]) -> Found:
    """Check that there is something to read in a holder."""
    lists, gauges = holder.get("lists"), holder.get("gauges")
    if not isinstance(holder.value, Mapping) or any(entries(holder, "lists")) or any(entries(holder, "gauges")):
        return
    if lists is not None and lists.value == {}:
        yield at(lists), f"{where}.lists: must have at least one entry"
    elif lists is None and gauges is None and holder.text("kind") not in {"etcd", "haproxy"}:
        yield place, f"{where}: has neither lists nor gauges, so there is nothing to read"
    elif lists is None:
        yield place, f"{where}: the key 'lists' is missing"


def _twice(root: Node) -> Found:
    """Check that no gauge has the name of a list, in whatever holder."""
    holders = dict(entries(root, "observers", "holders"))
    lists = {name for holder in holders.values() for name, _ in entries(holder, "lists")}
    for name, holder in holders.items():
        gauges = holder.get("gauges")
        for gauge, _ in gauges.items() if gauges else ():
            if gauges and gauge in lists:
                message = (
                    f"observers.holders.{name}.gauges.{gauge[:60]}: a list has this name; give one of them another"
                )
                yield gauges.key_at(gauge), message


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
