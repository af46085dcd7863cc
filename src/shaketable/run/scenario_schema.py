"""JSON Schema of a scenario file, for editors: what a person may write, so durations are text such as `200ms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from shaketable.faults import CATALOGUE
from shaketable.model.scenario import CONTAINERS, Scenario
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
_KINDS: Final = [
    {
        "if": {"properties": {"kind": {"const": "containers"}}},
        "then": {
            "properties": {
                "at": _FORBIDDEN,
                "path": _FORBIDDEN,
                "gauges": _FORBIDDEN,
                "lists": {"additionalProperties": {"enum": list(CONTAINERS)}},
            },
            "required": ["lists"],
        },
        "else": {"required": ["at"]},
    },
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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


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
