"""`python hold_fault.py KIND`: inject a fault on a canary, say "held" once it is witnessed, and wait to be ended."""

from __future__ import annotations

import signal
import sys
import time

from shaketable.faults import CATALOGUE
from shaketable.model.units import FROM_TEXT
from shaketable.run.conform import CanarySite, canary
from shaketable.run.injection import Injection, Order


def begin(site: CanarySite, name: str, role: str = "") -> Injection:
    """Inject a fault with its example's parameters on the canary's host of its (first) role; returns when it was witnessed."""
    kind = CATALOGUE[name]
    role = role or kind.roles[0]
    params = kind.params.model_validate(dict(kind.example), context=dict(FROM_TEXT))
    deadline = time.monotonic() + 20
    while not site.resolve(role).addresses:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{role} listens on nothing")
        time.sleep(0.05)
    targets = {role: site.hosts[role]}
    order = Order(f"{site.project.name}-{time.monotonic_ns()}", name, kind, params, site.hosts, targets)
    injection = Injection(site, order, time.monotonic)
    injection.prepare()
    injection.inject()
    while not injection.witnessed():
        if time.monotonic() > deadline + 10:
            assert injection.record is not None
            raise TimeoutError(f"{name} was not witnessed: {injection.record.witness.seen}")
        time.sleep(0.05)
    return injection


def main() -> None:
    """Hold one fault until a signal ends this process."""
    with canary(lambda _: None, [CATALOGUE[sys.argv[1]]]) as site:
        begin(site, sys.argv[1])
        sys.stdout.write("held\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    main()
