"""What people see of the fault catalogue, and of `conform`, which tries it on this machine."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from shaketable.faults import CATALOGUE, FaultKind
from shaketable.model.errors import Exit, UsageError
from shaketable.model.units import show_bandwidth, show_duration, show_share, show_size
from shaketable.run.conform import Conformed, canary, conform, lacking
from shaketable.run.scenario_shape import suggestion

_UNITS: dict[str, Callable[[float], str]] = {
    "s": show_duration,
    "%": show_share,
    "B": show_size,
    "bit/s": show_bandwidth,
}


def _written(value: Any, examples: Sequence[str]) -> Any:
    """Write a default as one would in a scenario, with the unit that its examples have."""
    if not isinstance(value, float) or not examples:
        return list(value) if isinstance(value, tuple) else value
    return next((show(value) for unit, show in reversed(_UNITS.items()) if examples[0].endswith(unit)), value)


def _shown(parameter: Mapping[str, Any]) -> str:
    """`port: 8000` must be given, `delay = 1 s` is so unless given, `size?: 32 MiB` may be given."""
    name, default = parameter["name"], parameter["default"]
    if parameter["required"]:
        return f"{name}: {parameter['example']}"
    if default not in (None, "", []):
        return f"{name} = {default}"
    return f"{name}?" + (f": {parameter['example']}" if parameter["example"] else "")


def _parameters(kind: FaultKind) -> list[dict[str, Any]]:
    schema = kind.params.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "required": name in required,
            "default": None
            if info.is_required()
            else _written(info.get_default(call_default_factory=True), _examples(schema["properties"][name])),
            "example": kind.example.get(name) or next(iter(_examples(schema["properties"][name])), None),
            "means": info.description or "",
        }
        for name, info in kind.params.model_fields.items()
    ]


def _examples(shape: Mapping[str, Any]) -> list[str]:
    """Examples of a parameter's unit; of one that may be left out they stand in one of its forms."""
    forms = (shape, *shape.get("anyOf", ()))
    return [text for form in forms for text in form.get("examples", ())]


def catalogue_json() -> list[dict[str, Any]]:
    """Every fault: kind, family, parameters, what a peer and a disk see, and how it is witnessed."""
    here = lacking()
    return [
        {
            "kind": kind.kind,
            "here": None if here is None else here[kind.kind] or True,
            "family": kind.family,
            "parameters": _parameters(kind),
            "a_peer_sees": kind.summary,
            "a_disk_sees": kind.disk,
            "witnessed_when": kind.proof.claim,
            "acts_on": "host" if kind.whole_host else "host or instance",
            "needs": list(kind.needs),
        }
        for kind in CATALOGUE.values()
    ]


def show_catalogue(console: Console) -> None:
    """Print the catalogue by family."""
    here = lacking()
    table = Table("fault", "parameters", "a peer sees", "witnessed when", box=None, pad_edge=False)
    for kind in sorted(CATALOGUE.values(), key=lambda k: k.family):
        shown = map(_shown, _parameters(kind))
        able = "" if here is None or not here[kind.kind] else " (not here)"
        table.add_row(kind.kind + able, "\n".join(shown), kind.summary, kind.proof.claim)
    console.print(table)
    if here is None:
        console.print("no Docker engine answers, so it is not known which of them this machine can do")
    else:
        reasons = [f"{kind}: {why}" for kind, why in here.items() if why]
        console.print("\n".join(["not here:", *reasons]) if reasons else "this machine can do all of them")


def conform_all(names: Sequence[str], console: Console, *, as_json: bool) -> Exit:
    """Try these faults, or all. Raises UsageError for a name that is no fault, naming the nearest."""
    if wrong := [name for name in names if name not in CATALOGUE]:
        raise UsageError(
            "\n".join(f"there is no fault {name!r}; {suggestion(name, list(CATALOGUE))}" for name in wrong)
        )
    told = Console(stderr=True) if as_json else console
    began, results = time.monotonic(), []
    kinds = [CATALOGUE[name] for name in names] or list(CATALOGUE.values())
    with canary(lambda text: told.print(text, style="dim", highlight=False), kinds) as site:
        for kind in kinds:
            for role in kind.roles:
                found = conform(site, kind, role=role)
                results.append(found)
                _tell(found, told)
    failed = [r for r in results if r.problems]
    if as_json:
        sys.stdout.write(json.dumps([{**asdict(r), "ok": r.ok} for r in results], indent=1) + "\n")
    else:
        _signatures(results, console)
        shown = f"{len([r for r in results if r.ok])} conform, {len(failed)} do not"
        unfit = [r.kind for r in results if r.unfit]
        console.print(f"{shown}, {len(unfit)} cannot be tried here; {time.monotonic() - began:.0f} s")
    return Exit.FAIL if failed else Exit.PASS


def _name(found: Conformed) -> str:
    """Say on which host, where there are several."""
    return f"{found.kind} ({found.role})" if len(CATALOGUE[found.kind].roles) > 1 else found.kind


def _tell(found: Conformed, console: Console) -> None:
    mark = "ok  " if found.ok else "not tried" if found.unfit else "FAIL"
    times = "" if found.effective_s is None else f"effective {found.effective_s * 1e3:.1f} ms, "
    times += "" if found.witnessed_s is None else f"witnessed {found.witnessed_s * 1e3:.0f} ms, "
    times += "" if found.heal_s is None else f"heal {found.heal_s * 1e3:.0f} ms"
    console.print(f"{mark} {_name(found)}: {times}{found.unfit}", markup=False, highlight=False)
    for problem in found.problems:
        console.print(f"     {problem}", markup=False, highlight=False, style="red")


def _signatures(results: Sequence[Conformed], console: Console) -> None:
    columns = list(dict.fromkeys(name for r in results for name in r.signature))
    table = Table("a peer sees", *columns, box=None, pad_edge=False)
    for result in results:
        if result.signature:
            table.add_row(_name(result), *(result.signature.get(name, "") for name in columns))
    console.print(table)
