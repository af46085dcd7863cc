"""Synthetic histories of trials of the back office's scenario, for the tests of the checks."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Witnessed
from shaketable.model.scenario import Scenario
from shaketable.run.loader import parse_scenario

_FILE = Path(__file__).parents[2] / "scenarios" / "backoffice" / "crashed-host.yaml"
HOSTS = ("host-1", "host-2", "host-3")
SERVICES = ("billing", "catalog", "customers", "orders")
BEGAN, INJECTED, HEALED, RECOVERED, ENDED = 100.0, 101.0, 105.5, 105.8, 106.2


@lru_cache
def scenario() -> Scenario:
    """The back office's own scenario."""
    return parse_scenario(_FILE.read_text(), file=str(_FILE))


def entries(*hosts: str) -> dict[str, tuple[str, ...]]:
    """Both lists with these hosts and all their services."""
    return {"servers": hosts, "services": tuple(sorted(f"{h}/{s}" for h in hosts for s in SERVICES))}


def fault(**changes: object) -> FaultRecord:
    """A power-off of host-2 that was witnessed and is clean."""
    return replace(
        FaultRecord(
            id="crash",
            kind="power-off",
            targets=("host-2",),
            sent=INJECTED - 0.001,
            injected=INJECTED,
            members={"host-2": INJECTED - 0.0003, "host-2-billing": INJECTED},
            witness=Witnessed(INJECTED + 0.2, "silence", "silence"),
            heal_began=INJECTED + 4.0,
            healed=HEALED,
            clean=True,
        ),
        **changes,
    )


def looks(left_after: float = 1.2, back_at: float = RECOVERED) -> list[Look]:
    """Every holder lists all, drops host-2 after `left_after` seconds, and has it back."""
    rows = []
    for holder in ("registry", "haproxy", "back-office-1", "back-office-2"):
        for at, hosts in ((BEGAN - 5, HOSTS), (INJECTED + left_after, ("host-1", "host-3")), (back_at, HOSTS)):
            rows += [Look(at, holder, name, found) for name, found in entries(*hosts).items()]
    rows += [Look(BEGAN - 5, "inbox", "notices", ()), Look(INJECTED + 1.3, "inbox", "notices", ("1 host-2 is gone",))]
    return sorted(rows, key=lambda look: look.at)


def requests(rate: float = 20.0, latency: float = 0.01) -> list[Request]:
    """Arrivals at a constant rate, all served by host-1 and host-3."""
    count = int((ENDED - BEGAN) * rate)
    due = [BEGAN + (i + 0.5) / rate for i in range(count)]
    upstreams = tuple(f"host-{1 + 2 * (i % 2)}/{s}" for i, s in enumerate(SERVICES))
    return [Request(t, t, t + latency, "overview", True, 200, "", "back-office-1", upstreams) for t in due]


def beats(gap: float = 0.008) -> list[LookBeat]:
    """Every holder watched, a beat each 0.2 s."""
    times = [BEGAN + 0.2 * (i + 1) for i in range(int((ENDED - BEGAN) / 0.2))]
    return [LookBeat(t, holder, 25, gap) for t in times for holder in scenario().observers.holders]


def load_beats() -> list[LoadBeat]:
    """Four arrivals planned in each 0.2 s, all started."""
    return [LoadBeat(BEGAN + 0.2 * (i + 1), 4, 0) for i in range(int((ENDED - BEGAN) / 0.2))]


def history(**changes: object) -> TrialHistory:
    """A flawless trial, with changes."""
    flawless = TrialHistory(
        scenario="crashed-host",
        variant="fixed",
        index=0,
        seed="7/0",
        axis={"mode": "power-off"},
        lane=1,
        began=BEGAN,
        steady=BEGAN + 0.4,
        faults=(fault(),),
        recovered=RECOVERED,
        ended=ENDED,
        heard=ENDED + 0.1,
        requests=requests(),
        load_beats=load_beats(),
        looks=looks(),
        look_beats=beats(),
    )
    return replace(flawless, **changes)
