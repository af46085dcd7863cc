"""For people who write their own faults: the routine that `shaketable conform` runs, as an assertion.

    from shaketable.testing import check_fault
    from my_faults import HICCUP

    def test_hiccup_conforms():
        check_fault(HICCUP)

A fault is a `FaultKind` (`shaketable.faults`). It reaches scenarios, `faults` and `conform` through the entry point group
`shaketable.faults`, whose value names a `FaultKind` or a sequence of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shaketable.faults import FaultKind
from shaketable.run.conform import Conformed, canary, conform

__all__ = ["Conformed", "check_fault"]


def check_fault(kind: FaultKind, parameters: Mapping[str, Any] | None = None, *, times: int = 1) -> Conformed:
    """Try a fault on the canary topology of this machine's engine; the last try's findings.

    `parameters` are written as in a scenario (`{"delay": "50 ms"}`), the kind's own example unless given. Raises
    AssertionError with every problem when it does not conform, and ShakeError when there is no engine to try it on.
    """
    with canary(lambda _: None, [kind]) as site:
        for _ in range(max(1, times)):
            found = conform(site, kind, parameters)
            if not found.ok:
                raise AssertionError(f"{kind.kind} does not conform:\n" + "\n".join([found.unfit, *found.problems]))
    return found
