"""A scenario about what the kernel says of a shared server's tenants, and synthetic histories of its trials."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from inbox_histories import BEGAN, INJECTED, fault, trial

from shaketable.checks.expectations import evaluate
from shaketable.model.claims import Expectation
from shaketable.model.history import FaultRecord, Look, TrialHistory
from shaketable.model.kernel import End, Limit
from shaketable.model.result import Finding
from shaketable.model.scenario import Scenario
from shaketable.run.loader import parse_scenario

TENANT = "server-1/tenant-a"
TEXT = """
shaketable: 1
name: mail
topology: {compose: .}
variants:
  fixed: {files: [compose.yaml]}
load:
  locustfile: load.py
  target: http://entry:8080
  rate: 20 /s
observers:
  holders:
    kernel:
      kind: containers
      lists: {running: names, ended: ends, ended-a: ends server-1/tenant-a, limits-a: limits server-1/tenant-a}
      gauges: {cpu: cpu server-1/tenant-a, memory: memory server-1/tenant-a, cpu-b: cpu server-1/tenant-b,
               kills: oom-kills server-1/tenant-a}
    queue: {kind: http-json, at: "queue:8081", gauges: {backlog: depth}, lists: {ids: stored}}
steady:
  lists: {running: 12}
faults:
  - {id: release, kind: kill, target: {instance: server-1/tenant-a}, lasts: 40s}
expectations:
  - {id: over, kind: runaway-ends, gauges: {cpu: 0.9, memory: 0.5}, ends: ended-a, within: 5s}
  - {id: held, kind: limits-hold, list: limits-a, reached: [cpu]}
  - {id: innocent, kind: spared, list: ended}
"""


@lru_cache
def scenario() -> Scenario:
    """The scenario above."""
    return parse_scenario(TEXT, file="mail.yaml")


def release(**changes: object) -> FaultRecord:
    """A bad release on the tenant, healed after 40 s, in 2 s."""
    return replace(fault(id="release", kind="deploy", targets=(TENANT,), members={TENANT: INJECTED}), **changes)


def looks(name: str, first: Sequence[str] | None, *later: tuple[float, Sequence[str] | None]) -> list[Look]:
    """What the kernel's holder said of a list at first, and from these seconds after the fault's effect on."""
    found = [Look(BEGAN - 5, "kernel", name, None if first is None else tuple(first))]
    return found + [Look(INJECTED + at, "kernel", name, None if e is None else tuple(e)) for at, e in later]


def gauge(name: str, *later: tuple[float, float | None], first: float | None = 0.1) -> list[Look]:
    """A gauge of it in the same way."""
    plain = [(at, None if value is None else [str(value)]) for at, value in later]
    return looks(name, None if first is None else [str(first)], *plain)


def end(at: float, **described: Any) -> str:
    """An entry of `ends`: a process that began 2.5 s before and ended so many seconds after the fault, by its guard."""
    plain = {
        "of": TENANT,
        "pid": 70,
        "command": "python3",
        "cpu": 2.4,
        "signal": 24,
        "code": 0,
        "by": "guard",
        "who": "",
    }
    moments = {"at": INJECTED + at, "began": INJECTED + at - 2.5}
    return text(End(**{**plain, **moments, **described}))


def limit(name: str, configured: float | None, kernel: float | None, used: float = 0, hits: float = 0) -> str:
    """An entry of `limits`."""
    described = {"of": TENANT, "limit": name, "configured": configured, "kernel": kernel, "used": used, "hits": hits}
    return text(Limit.model_validate(described))


def text(entry: End | Limit) -> str:
    """As the harness puts it on record."""
    return json.dumps(entry.model_dump(), sort_keys=True)


def seen(*parts: Iterable[Look], **changes: object) -> TrialHistory:
    """A trial with these looks."""
    faults = changes.pop("faults", (release(),))
    return trial(looks=[look for part in parts for look in part], faults=faults, **changes)


def judged(claim: Expectation, *parts: Iterable[Look], **changes: object) -> Finding:
    """What a claim comes to in such a trial."""
    return evaluate(claim, seen(*parts, **changes), scenario())
