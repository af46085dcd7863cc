"""The fault catalogue: what each fault does (steps and undo, as data) and what must be seen before it counts."""

from collections.abc import Mapping
from typing import Final

from shaketable.faults.clock import CLOCK_FAULTS
from shaketable.faults.connections import CONNECTION_FAULTS
from shaketable.faults.contract import FaultKind, Look, Params, Plan, Proof, Seen, UnfitError, residue, witness
from shaketable.faults.database import DATABASE_FAULTS
from shaketable.faults.dependency import DEPENDENCY_FAULTS
from shaketable.faults.disk import DISK_FAULTS
from shaketable.faults.engine import ENGINE_FAULTS
from shaketable.faults.host import HOST_FAULTS
from shaketable.faults.installed import installed
from shaketable.faults.network import NETWORK_FAULTS
from shaketable.faults.process import PROCESS_FAULTS
from shaketable.faults.release import RELEASE_FAULTS
from shaketable.faults.resource import RESOURCE_FAULTS
from shaketable.faults.shaping import SHAPING_FAULTS
from shaketable.faults.signature import Probe, Signature
from shaketable.ports import Target

OURS: Final[Mapping[str, FaultKind]] = {
    fault.kind: fault
    for family in (
        HOST_FAULTS,
        PROCESS_FAULTS,
        NETWORK_FAULTS,
        SHAPING_FAULTS,
        CONNECTION_FAULTS,
        RESOURCE_FAULTS,
        DISK_FAULTS,
        DATABASE_FAULTS,
        CLOCK_FAULTS,
        DEPENDENCY_FAULTS,
        ENGINE_FAULTS,
        RELEASE_FAULTS,
    )
    for fault in family
}
"""Every fault of ours, by kind."""

CATALOGUE: Final[Mapping[str, FaultKind]] = {**OURS, **installed(OURS)}
"""Ours, and those that other packages bring through the entry point group `shaketable.faults`."""

__all__ = [
    "CATALOGUE",
    "OURS",
    "FaultKind",
    "Look",
    "Params",
    "Plan",
    "Probe",
    "Proof",
    "Seen",
    "Signature",
    "Target",
    "UnfitError",
    "residue",
    "witness",
]
