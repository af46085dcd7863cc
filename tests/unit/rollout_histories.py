"""Scenarios and synthetic histories of roll-outs in three stages, for the tests of what judges them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shaketable.model.history import FaultRecord, LoadBeat, Request, TrialHistory, Witnessed
from shaketable.model.scenario import Scenario
from shaketable.run.loader import parse_scenario

GOOD = """\
shaketable: 1
name: short-soak
topology: {compose: .}
variants:
  incident: {expect: fail}
  fixed: {soak: 12s}
load: {locustfile: load.py, target: "http://entry:8080", rate: 60 /s}
observers:
  holders:
    entry: {kind: http-json, at: "entry:8080", lists: {pods: pods}}
steady: {lists: {pods: 3}}
rollout:
  id: storage
  kind: deploy
  with: {command: [migrate, start, "{stage}"], undo: [migrate, back, "{stage}"], check: [migrate, state], shows: "{stage} new"}
  stages:
    - {id: canary, target: {instance: migration}}
    - {id: pod-17, target: {instance: migration}}
    - {id: pod-18, target: {instance: migration}}
  after: 1s
  soak: 2s
  gate: {by: pod, objective: 99 %, at_most: 500ms, burn: 10, window: 2s, requests: [accept-chat]}
  lasts: 8s
expectations:
  - {id: stopped, kind: rollout-stops, stages_at_most: 1, rolled_back_within: 5s}
  - {id: soaked, kind: soak-catches}
"""
BEGAN, FIRST = 100.0, 102.0
"""When the trial began, and when the first stage took effect."""
PODS = ("canary", "pod-17", "pod-18")


def scenario(*replacements: tuple[str, str]) -> Scenario:
    """The good scenario with some text replaced."""
    return parse_scenario(changed(*replacements), file="f")


def changed(*replacements: tuple[str, str]) -> str:
    """The text of the good scenario with some of it replaced, each where it first occurs."""
    text = GOOD
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def stage(name: str, injected: float, healed: float) -> FaultRecord:
    """One stage that was witnessed and is clean; its undo took 0.2 s."""
    return FaultRecord(
        id=f"storage-{name}",
        kind="deploy",
        targets=("migration",),
        sent=injected - 0.1,
        injected=injected,
        members={"migration": injected},
        witness=Witnessed(injected + 0.1, "the check shows it", f"{name} new"),
        heal_began=healed - 0.2,
        healed=healed,
        clean=True,
    )


def arrivals(
    until: float, bad: Callable[[str, float], bool] = lambda _pod, _at: False, rate: float = 10.0
) -> list[Request]:
    """Arrivals of every pod at a constant rate, 20 ms each; a bad one fails after 300 ms."""
    rows = []
    for number in range(int((until - BEGAN) * rate)):
        at = BEGAN + (number + 0.5) / rate
        for pod in PODS:
            wrong = bad(pod, at)
            error, status, took = ("status 503", 503, 0.3) if wrong else ("", 200, 0.02)
            rows.append(
                Request(at, at, at + took, "accept-chat", not wrong, status, error, pod, (), cohort=f"pod={pod}")
            )
    return rows


def history(
    faults: tuple[FaultRecord, ...],
    bad: Callable[[str, float], bool] = lambda _pod, _at: False,
    *,
    variant: str = "incident",
    ended: float | None = None,
) -> TrialHistory:
    """A trial of these stages, whose arrivals are bad where it is said."""
    end = max(f.healed for f in faults) + 2.0 if ended is None else ended
    return TrialHistory(
        scenario="short-soak",
        variant=variant,
        index=0,
        seed="1/0",
        axis={},
        lane=1,
        began=BEGAN,
        steady=FIRST - 1.0,
        faults=faults,
        recovered=end - 1.0,
        ended=end,
        heard=end,
        requests=arrivals(end, bad),
        load_beats=[LoadBeat(BEGAN + 0.2 * (n + 1), 6, 0) for n in range(int((end - BEGAN) * 5))],
    )


def all_stages(soak: float = 2.0, healed: float = FIRST + 14.0) -> tuple[FaultRecord, ...]:
    """Every stage, one soak after the other, undone together, the last first."""
    return tuple(stage(pod, FIRST + n * soak, healed + 0.2 * (2 - n)) for n, pod in enumerate(PODS))


def after(seconds: float, *pods: str) -> Callable[[str, float], bool]:
    """Half of the arrivals of these pods are bad from so many seconds after the first stage's effect."""

    def bad(pod: str, at: float) -> bool:
        return pod in pods and at >= FIRST + seconds and round(at * 10) % 2 == 0

    return bad


def without_requests(old: TrialHistory, *pods: str) -> TrialHistory:
    """The same trial without the arrivals of these pods."""
    return replace(old, requests=[r for r in old.requests if r.served_by not in pods])
