"""The fault catalogue: what each fault does (steps and undo, as data) and what must be seen before it counts."""

from collections.abc import Mapping
from typing import Final

from shaketable.faults.contract import FaultKind, Params, Plan, Proof, Seen, UnfitError, residue, witness
from shaketable.faults.host import HOST_FAULTS
from shaketable.faults.signature import Probe, Signature

CATALOGUE: Final[Mapping[str, FaultKind]] = {fault.kind: fault for fault in HOST_FAULTS}
"""Every fault of ours, by kind."""

__all__ = [
    "CATALOGUE",
    "FaultKind",
    "Params",
    "Plan",
    "Probe",
    "Proof",
    "Seen",
    "Signature",
    "UnfitError",
    "residue",
    "witness",
]
