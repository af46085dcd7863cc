"""What is wrong with a scenario's claims: lists and gauges that nobody holds, limits that could not be judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shaketable.checks.slope import FEWEST
from shaketable.model.audit import RULES
from shaketable.model.claims import Bystanders, FunctionsRecover, NoLeak, Slo
from shaketable.model.scenario import CONTAINERS, WAITS, Steady
from shaketable.model.units import parse_duration, parse_share, parse_window, show_duration, show_share
from shaketable.run.scenario_kernel import check_kernel_claims
from shaketable.run.scenario_rollout import lives
from shaketable.run.scenario_shape import nearest, suggestion
from shaketable.run.scenario_tree import Found, at, duration, elements, entries, read
from shaketable.run.yaml_source import Node


def check_claims(root: Node) -> Found:
    """Find every claim, steady state's included, that is about nothing or could never be judged."""
    yield from _lists(root)
    yield from _gauges(root)
    yield from _again(root)
    yield from _waits(root)
    yield from check_kernel_claims(root, _where)
    yield from _budgets(root)
    yield from _control(root)
    yield from _cohorts(root)
    yield from _audits(root)
    yield from _deadlines(root)


def _held(root: Node, what: str) -> list[str]:
    """Names of all `lists` or `gauges` of all holders, each once."""
    holders = entries(root, "observers", "holders")
    return list(dict.fromkeys(name for _, holder in holders for name, _ in entries(holder, what)))


def _where(node: Node, position: int, *path: str) -> str:
    return ".".join([f"expectations[{node.text('id') or position}]", *path])


def _lists(root: Node) -> Found:
    """Check that every list a claim is about is held by some holder."""
    held = _held(root, "lists")
    if not held and not _held(root, "gauges"):
        return
    steady = root.get("steady", "lists")
    for name, size in entries(root, "steady", "lists"):
        if steady and name not in held:
            yield steady.key_at(name), f"steady.lists.{name}: no holder has this list; {suggestion(name, held)}"
        if isinstance(size.value, int) and size.value < 0:
            yield at(size), f"steady.lists.{name}: must be 0 or more"
    for position, node in enumerate(elements(root, "expectations"), 1):
        named = node.get("list")
        if named and isinstance(named.value, str) and named.value not in held:
            where, hint = _where(node, position, "list"), suggestion(named.value, held)
            yield at(named), f"{where}: no holder has a list {named.value[:60]!r}; {hint}"


def _gauges(root: Node) -> Found:
    """Check that every gauge a claim is about is read from some holder."""
    held = _held(root, "gauges")
    claims = [("steady.gauges", root.get("steady", "gauges"))]
    for position, node in enumerate(elements(root, "expectations"), 1):
        claims.append((_where(node, position, "gauges"), node.get("gauges")))
    for where, named in claims:
        for name, _ in named.items() if named else ():
            if named and name not in held:
                hint = suggestion(name, held) if held else "no holder has any"
                yield named.key_at(name), f"{where}.{name[:60]}: no holder has this gauge; {hint}"
    for position, node in enumerate(elements(root, "expectations"), 1):
        gauge = node.get("gauge")
        if gauge and isinstance(gauge.value, str) and gauge.value not in held:
            hint = suggestion(gauge.value, held) if held else "no holder has any"
            yield at(gauge), f"{_where(node, position, 'gauge')}: no holder has a gauge {gauge.value[:60]!r}; {hint}"


def _again(root: Node) -> Found:
    """Check that what is to run again is on a list of what runs."""
    kinds: dict[str, set[str | None]] = {}
    for _, holder in entries(root, "observers", "holders"):
        for name, node in entries(holder, "lists"):
            meant = nearest(str(node.value), CONTAINERS) if holder.text("kind") == "containers" else None
            kinds.setdefault(name, set()).add(meant)
    running = [name for name, kind in kinds.items() if kind == {"names"}]
    for position, node in enumerate(elements(root, "expectations"), 1):
        named = node.get("list")
        if node.text("kind") != "runs-again" or named is None or not isinstance(named.value, str):
            continue
        if named.value in kinds and named.value not in running:
            hint = suggestion(named.value, running) if running else "no holder has one"
            said = f"{named.value[:60]!r} is not a list 'names' of a holder of the kind containers"
            yield at(named), f"{_where(node, position, 'list')}: {said}; {hint}"


def _waits(root: Node) -> Found:
    """Check that who may not be blocked is on a list of who waits."""
    held = {name for _, holder in entries(root, "observers", "holders") for name, _ in entries(holder, "lists")}
    waits = [
        name
        for _, holder in entries(root, "observers", "holders")
        for name, node in entries(holder, "lists")
        if nearest(holder.text("kind") or "", ["database"]) and nearest(str(node.value), [WAITS])
    ]
    for position, node in enumerate(elements(root, "expectations"), 1):
        named = node.get("list")
        if node.text("kind") != "not-blocked" or named is None or named.value not in held - set(waits):
            continue
        hint = suggestion(str(named.value), waits) if waits else "no holder has one"
        said = f"{str(named.value)[:60]!r} is not a list {WAITS!r} of a holder of the kind database"
        yield at(named), f"{_where(node, position, 'list')}: {said}; {hint}"


def _budgets(root: Node) -> Found:
    """Check that an error budget could be overdrawn: not even all arrivals failing would burn more than there are."""
    for position, node in enumerate(elements(root, "expectations"), 1):
        if node.text("kind") != "slo" or (limit := node.get("budget")) is None:
            continue
        asked = node.get("objective")
        objective = read(parse_share, asked) if asked is not None else Slo.model_fields["objective"].default
        if not isinstance(limit.value, int | float) or objective is None or not 0 < objective < 1:
            continue
        if limit.value * (1 - objective) >= 1 - 1e-12:
            most = f"even if all fail, {1 / (1 - objective):.4g} budgets are burnt"
            why = f"{most} with an objective of {show_share(objective)}"
            yield at(limit), f"{_where(node, position, 'budget')}: {why}, so this could never fail"


def _control(root: Node) -> Found:
    """Check that there is time before the first fault to see what is usual."""
    hold = duration(root, Steady, "steady", "hold")
    first = [f for f in (*elements(root, "faults"), *filter(None, [root.get("rollout")])) if f.get("when") is None]
    waits = [read(parse_window, f.get("after")) if f.get("after") else (0.0, 0.0) for f in first]
    if hold is None or not waits or any(window is None for window in waits):
        return
    seen = hold + min(window[0] for window in waits if window)
    for position, node in enumerate(elements(root, "expectations"), 1):
        asked = duration(node, Bystanders, "control") if node.text("kind") == "bystanders" else None
        if asked is not None and asked > seen + 1e-9:
            place = node.get("control") or node.get("kind") or node
            shown = f"{show_duration(asked)} of steady state are asked for, and the first fault comes after"
            mend = f"let steady.hold be {show_duration(asked)}"
            yield at(place), f"{_where(node, position, 'control')}: {shown} {show_duration(seen)}; {mend}"


def _cohorts(root: Node) -> Found:
    """Check that no key that tells cohorts apart is there twice, and that an order is asked for where it may be broken."""
    for position, node in enumerate(elements(root, "expectations"), 1):
        seen: set[object] = set()
        name = _COHORTS.get(node.text("kind") or "", "")
        for key in elements(node, name) if name else ():
            if isinstance(key.value, str) and key.value in seen:
                yield at(key), f"{_where(node, position, name)}: {key.value[:60]!r} is here twice"
            seen.add(key.value if isinstance(key.value, str) else None)
        broken = node.get("out_of_order_at_most") if name == "in_order" else None
        if broken is not None and not seen:
            where = _where(node, position, "out_of_order_at_most")
            yield at(broken), f"{where}: no order is asked for; name the cohorts that have one, as in_order: [tenant]"


_COHORTS: Final[Mapping[str, str]] = {"cohorts-alike": "by", "exactly-once": "in_order"}
"""By kind, which keys of cohorts it names."""


def _audits(root: Node) -> Found:
    """Check that some rule is left to be judged."""
    for position, node in enumerate(elements(root, "expectations"), 1):
        if node.text("kind") != "audit" or (without := node.get("except")) is None:
            continue
        given = {str(rule.value) for rule in elements(node, "rules")} or set(RULES)
        if given <= {str(rule.value) for rule in elements(node, "except")}:
            yield at(without), f"{_where(node, position, 'except')}: leaves no rule, so nothing would be judged"


def _deadlines(root: Node) -> Found:
    """Check that every claim can be judged: what must happen before heal is due before heal."""
    hold = duration(root, Steady, "steady", "hold")
    within = duration(root, Steady, "steady", "within")
    if (node := root.get("steady")) and hold is not None and within is not None and hold > within:
        shown = f"hold ({show_duration(hold)}) is longer than within ({show_duration(within)})"
        yield at(node), f"steady: {shown}, so it could never be steady in time"
    lasts = {fault.text("id"): read(parse_duration, fault.get("lasts")) for fault in elements(root, "faults")}
    lasts.update(lives(root).items())
    for position, node in enumerate(elements(root, "expectations"), 1):
        heal = lasts.get(node.text("fault") or next(iter(lasts), None))
        key = _BEFORE_HEAL.get(node.text("kind") or "")
        if node.text("kind") == "returns" and node.text("since") == "fault":
            key = "within"
        limit = node.get(key) if key else None
        seconds = read(parse_duration, limit)
        if limit and key and seconds is not None and heal and seconds >= heal:
            shown = f"{show_duration(seconds)} is not less than the {show_duration(heal)} that the fault lasts"
            yield at(limit), f"{_where(node, position, key)}: {shown}, so this could not be judged before heal"
        if node.text("kind") == "no-leak" and heal:
            yield from _enough_cycles(node, _where(node, position, "cycle"), heal)
        if node.text("kind") == "functions-recover":
            yield from _whole_windows(node, _where(node, position, "within"))
            if node.text("since") == "fault":
                yield from _recovered_before_heal(node, _where(node, position, "within"), heal)


_BEFORE_HEAL: Final[Mapping[str, str]] = {
    "leaves": "within",
    "runs-again": "within",
    "not-called": "after",
    "runaway-ends": "within",
}
"""By kind, the limit that counts from the fault and ends with heal."""


def _whole_windows(node: Node, where: str) -> Found:
    """Check that no window is partly before the limit and partly after it."""
    limit, width = node.get("within"), duration(node, FunctionsRecover, "window")
    seconds = read(parse_duration, limit)
    if limit and seconds is not None and width and abs(round(seconds / width) * width - seconds) > 1e-9:
        shown = f"{show_duration(seconds)} is no whole number of windows of {show_duration(width)}"
        yield at(limit), f"{where}: {shown}, so one would be before the limit and after it"


def _enough_cycles(node: Node, where: str, heal: float) -> Found:
    """Check that a leak could be told from chance before heal."""
    cycle = duration(node, NoLeak, "cycle")
    if cycle and FEWEST * cycle > heal + 1e-9:
        shown = (
            f"{FEWEST} cycles of {show_duration(cycle)} are more than the {show_duration(heal)} that the fault lasts"
        )
        yield (
            at(node.get("cycle") or node.get("kind") or node),
            f"{where}: {shown}, and of fewer nobody can tell a leak",
        )


def _recovered_before_heal(node: Node, where: str, heal: float | None) -> Found:
    """Check that functions that recover while the fault lasts have time to show that they stay so."""
    limit, hold = node.get("within"), duration(node, FunctionsRecover, "hold")
    seconds = read(parse_duration, limit)
    if limit and seconds is not None and hold is not None and heal and seconds + hold > heal:
        shown = (
            f"{show_duration(seconds)} and the {show_duration(hold)} of hold are more than the {show_duration(heal)}"
        )
        yield at(limit), f"{where}: {shown} that the fault lasts, so this could not be judged before heal"
