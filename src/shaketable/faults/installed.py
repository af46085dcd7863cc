"""Faults that other packages bring: entry points of the group `shaketable.faults`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib.metadata import entry_points

from shaketable.faults.contract import FaultKind
from shaketable.model.errors import UsageError

GROUP = "shaketable.faults"


def installed(taken: Collection[str] = ()) -> Mapping[str, FaultKind]:
    """Faults by kind. Raises UsageError for an entry point that cannot be loaded, is no fault, or takes a name of ours."""
    found: dict[str, FaultKind] = {}
    for point in entry_points(group=GROUP):
        where = f"the fault {point.name!r} of {point.dist.name if point.dist else point.value}"
        try:
            value = point.load()
        except Exception as error:
            message = f"{where} cannot be loaded: {type(error).__name__}: {error}"
            raise UsageError(message, hint="update that package, or remove it from this environment") from error
        for kind in [value] if isinstance(value, FaultKind) else value if isinstance(value, list | tuple) else [value]:
            if not isinstance(kind, FaultKind):
                raise UsageError(f"{where} is no FaultKind but {type(kind).__name__}")
            if kind.kind in taken or kind.kind in found:
                raise UsageError(f"{where}: the kind {kind.kind!r} exists already", hint="give it another name")
            found[kind.kind] = kind
    return found
