"""JSON Schema of a scenario file, for editors: what a person may write, so durations are text such as `200ms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from shaketable.faults import CATALOGUE
from shaketable.model.scenario import CONTAINER_GAUGES, DATABASE_GAUGES, WAITS, Scenario
from shaketable.model.units import Duration, Rate, Share, Window, show_duration, show_rate, show_share, show_window

_UNITS: Final[tuple[tuple[Any, Callable[[Any], str]], ...]] = (
    (Duration, show_duration),
    (Rate, show_rate),
    (Share, show_share),
    (Window, show_window),
)
_SHOW: Final[Mapping[str, Callable[[Any], str]]] = {
    TypeAdapter(kind).json_schema()["pattern"]: show for kind, show in _UNITS
}
_AXIS: Final = {"type": "string", "pattern": r"^\$[A-Za-z0-9][A-Za-z0-9._-]*$", "description": "a value of this axis"}

_FORBIDDEN: Final[Mapping[str, Any]] = {"not": {}}
_QUERY: Final = {"pattern": r"^\s*([Ss][Ee][Ll][Ee][Cc][Tt]|[Ww][Ii][Tt][Hh])\b"}
_KINDS: Final = [
    {
        "if": {"properties": {"kind": {"const": "containers"}}},
        "then": {
            "properties": {
                "at": _FORBIDDEN,
                "path": _FORBIDDEN,
                "lists": {"additionalProperties": {"pattern": "^(names|starts|ends( [^ ]+)?|limits [^ ]+)$"}},
                "gauges": {"additionalProperties": {"pattern": f"^({'|'.join(CONTAINER_GAUGES)}) [^ ]+$"}},
            },
            "anyOf": [{"required": ["lists"]}, {"required": ["gauges"]}],
        },
    },
    {
        "if": {"properties": {"kind": {"const": "database"}}},
        "then": {
            "properties": {
                "at": _FORBIDDEN,
                "path": _FORBIDDEN,
                "lists": {"additionalProperties": {"anyOf": [{"enum": [WAITS]}, _QUERY]}},
                "gauges": {"additionalProperties": {"anyOf": [{"enum": list(DATABASE_GAUGES)}, _QUERY]}},
            },
            "required": ["instance"],
            "anyOf": [{"required": ["lists"]}, {"required": ["gauges"]}],
        },
        "else": {"properties": dict.fromkeys(("instance", "database", "user", "password", "socket"), _FORBIDDEN)},
    },
    {"if": {"properties": {"kind": {"enum": ["etcd", "haproxy", "http-json"]}}}, "then": {"required": ["at"]}},
    {
        "if": {"properties": {"kind": {"enum": ["etcd", "haproxy"]}}},
        "then": {"properties": {"gauges": _FORBIDDEN}, "required": ["lists"]},
    },
]
"""What a holder must have, and must not, by its kind."""


def scenario_schema() -> dict[str, Any]:
    """Make the schema. Defaults with a unit are text, as one would write them."""
    schema = Scenario.model_json_schema()
    _write_defaults(schema)
    parts = schema["$defs"]
    for part in ("Fault", "Rollout"):
        parts[part]["properties"]["kind"] = {"anyOf": [{"enum": list(CATALOGUE)}, _AXIS]}
    schema["anyOf"] = [{"required": ["faults"], "properties": {"faults": {"minItems": 1}}}, {"required": ["rollout"]}]
    parts["Holder"]["allOf"] = _KINDS
    whole: dict[str, Any] = {key: schema.pop(key) for key in _OBJECT if key in schema}
    whole["properties"] = {**whole["properties"], "parameters": _PARAMETERS}
    over = _over(whole, parts)
    over["properties"] = {**over["properties"], "extends": _EXTENDS, "with": _WITH, "parameters": _PARAMETERS}
    either = {"type": "object", "if": {"required": ["extends"]}, "then": over, "else": whole}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, **either}


_OBJECT: Final = ("type", "properties", "required", "additionalProperties", "anyOf")
_PARAMETERS: Final = {
    "type": "object",
    "description": "what those who extend this scenario fill in by `with`: a default, or {required: what it is}",
    "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
}
_EXTENDS: Final = {"type": "string", "description": "a stock scenario by its name, or a file by its path"}
_WITH: Final = {"type": "object", "description": "the parameters of the scenario that is extended"}
_MERGED: Final = ("Topology", "Variant", "Load", "Observers", "Holder", "Steady")
"""Mappings of a scenario that are merged with those of the base, key by key."""


def _over(part: Mapping[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """What may stand over a base: nothing is required but the version, and nothing (null) takes a key away."""
    for name in _MERGED:
        own = {key: value for key, value in parts[name].items() if key not in {"required", "allOf"}}
        parts[f"{name}Over"] = own | {"properties": {k: _or_none(v) for k, v in own["properties"].items()}}
    properties = {key: _or_none(value) for key, value in part["properties"].items()}
    return {"type": "object", "required": ["shaketable"], "additionalProperties": False, "properties": properties}


def _or_none(part: object) -> dict[str, Any]:
    return {"anyOf": [_refer(part), {"type": "null"}]}


def _refer(part: object) -> object:
    """The same with references to what may stand over a base."""
    if isinstance(part, list):
        return [_refer(element) for element in part]
    if not isinstance(part, dict):
        return part
    return {
        key: f"{value}Over" if key == "$ref" and str(value).rpartition("/")[2] in _MERGED else _refer(value)
        for key, value in part.items()
    }


def _write_defaults(part: object) -> None:
    """Write numeric defaults of text with a unit as that text, in place, at any depth."""
    if isinstance(part, list):
        for element in part:
            _write_defaults(element)
    if isinstance(part, dict):
        show = _SHOW.get(str(part.get("pattern")))
        if show and "default" in part:
            default = part["default"]
            part["default"] = show(tuple(default) if isinstance(default, list) else default)
            part.pop("exclusiveMinimum", None)
        for element in part.values():
            _write_defaults(element)
