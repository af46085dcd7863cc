"""The fault catalogue: what each fault does (steps and undo, as data) and what must be seen before it counts."""

from shaketable.faults.host import HOST_FAULTS, HostFault, Plan
from shaketable.faults.witness import Probe, Seen, Signature, witness

__all__ = ["HOST_FAULTS", "HostFault", "Plan", "Probe", "Seen", "Signature", "witness"]
