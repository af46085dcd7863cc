"""A scenario about what runs, gauges, cohorts and functions, and synthetic histories of its trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from shaketable.checks.expectations import evaluate
from shaketable.model.claims import Expectation
from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Witnessed
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.run.loader import parse_scenario

BEGAN, STEADY, INJECTED, HEAL_BEGAN, HEALED, ENDED = 100.0, 103.0, 105.0, 145.0, 147.0, 185.0

GOOD = """
shaketable: 1
name: inbox
topology: {compose: .}
variants:
  fixed: {files: [compose.yaml]}
load:
  locustfile: load.py
  target: http://lb:8080
  rate: 20 /s
observers:
  holders:
    kernel: {kind: containers, lists: {running: names, started: starts}, every: 50ms}
    queue: {kind: http-json, at: "queue:8081", gauges: {backlog: depth}}
    receiver: {kind: http-json, at: "receiver:8082", lists: {alerts: firing}}
    news: {kind: http-json, at: "news:8083", lists: {notices: news}}
    registry: {kind: etcd, at: "registry:2379", lists: {servers: "/servers/{host}"}}
steady:
  lists: {running: 12}
  gauges: {backlog: 5}
faults:
  - {id: upgrade, kind: kill, target: {host: host-3}, lasts: 40s}
expectations:
  - {id: back, kind: runs-again, list: running, within: 30s}
  - {id: well, kind: functions-recover, within: 30s, since: fault, gauges: {backlog: 5.5}, requests: [refresh, log in]}
  - {id: same, kind: cohorts-alike, by: [app, profile], at_most: 5 %}
  - {id: told, kind: alerted, list: alerts, contains: "down {target}", within: 30s}
  - {id: calm, kind: quiet, list: alerts}
  - {id: paid, kind: availability, at_least: 99 %, requests: [reply], cohort: {plan: paid}}
"""
HOSTS = ("host-1", "host-2", "host-3")
SERVICES = ("fetcher", "pictures", "sender", "web")
RUNNING = tuple(f"{host}/{service}" for host in HOSTS for service in SERVICES)
GAP = 0.25
"""The largest gap between two looks that the scenario allows."""
RATE = 20.0


@lru_cache
def scenario() -> Scenario:
    """The scenario above."""
    return parse_scenario(GOOD, file="inbox.yaml")


def fault(**changes: object) -> FaultRecord:
    """A kill of host-3 that was witnessed and is clean."""
    return replace(
        FaultRecord(
            id="upgrade",
            kind="kill",
            targets=("host-3",),
            sent=INJECTED - 0.5,
            injected=INJECTED,
            members={"host-3": INJECTED},
            witness=Witnessed(INJECTED + 0.2, "gone", "gone"),
            heal_began=HEAL_BEGAN,
            healed=HEALED,
            clean=True,
        ),
        **changes,
    )


def without(*gone: str) -> tuple[str, ...]:
    """What runs but for these: hosts, or `host/service`."""
    return tuple(entry for entry in RUNNING if entry not in gone and entry.partition("/")[0] not in gone)


def copy_of(holder: str, name: str, first: Sequence[str], *states: tuple[float, Sequence[str] | None]) -> list[Look]:
    """A holder's list at first, and what it was from these moments after the fault's effect on."""
    rows = [Look(BEGAN - 5, holder, name, tuple(first))]
    return rows + [Look(INJECTED + at, holder, name, None if found is None else tuple(found)) for at, found in states]


def arrivals(
    name: str, start: float = BEGAN, end: float = ENDED, *, rate: float = RATE, cohort: str = ""
) -> list[Request]:
    """Good arrivals at a constant rate between two absolute moments."""
    due = [start + (n + 0.5) / rate for n in range(int((end - start) * rate + 1e-9))]
    return [Request(t, t, t + 0.01, name, True, 200, "", "web", (), "", cohort) for t in due]


def failed(rows: Iterable[Request], start: float, end: float) -> list[Request]:
    """The same arrivals, those due in [start, end) after the fault's effect failed."""
    return [
        replace(r, ok=False, status=503, error="status 503") if start <= r.scheduled - INJECTED < end else r
        for r in rows
    ]


def slowed(rows: Iterable[Request], start: float, end: float, latency: float) -> list[Request]:
    """The same arrivals, those due in [start, end) after the fault's effect slow."""
    return [replace(r, ended=r.scheduled + latency) if start <= r.scheduled - INJECTED < end else r for r in rows]


def trial(*, requests: Iterable[Request] = (), looks: Iterable[Look] = (), **changes: object) -> TrialHistory:
    """A trial with these arrivals and looks."""
    flawless = TrialHistory(
        scenario="inbox",
        variant="fixed",
        index=0,
        seed="7/0",
        axis={},
        lane=1,
        began=BEGAN,
        steady=STEADY,
        faults=(fault(),),
        recovered=HEALED + 1,
        ended=ENDED,
        heard=ENDED + 6,
        requests=tuple(sorted(requests, key=lambda r: (r.scheduled, r.ended))),
        looks=tuple(sorted(looks, key=lambda look: look.at)),
    )
    return replace(flawless, **changes)


def found(claim: Expectation, of: TrialHistory) -> Finding:
    """What a claim comes to in a trial."""
    return evaluate(claim, of, scenario())


def beats(period: float = 0.2) -> tuple[list[LookBeat], list[LoadBeat]]:
    """Every holder closely watched, and the load at work, all the time."""
    times = [BEGAN + period * (n + 1) for n in range(int((ENDED - BEGAN) / period))]
    looks = [LookBeat(t, holder, 25, 0.06) for t in times for holder in scenario().observers.holders]
    return looks, [LoadBeat(t, 4, 0) for t in times]
