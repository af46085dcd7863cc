"""A run as the back office leaves it: two variants, five modes, twenty trials, with every look and arrival, judged for real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from shaketable.checks.judge import judge
from shaketable.checks.verdict import campaign_verdict, scenario_result
from shaketable.model.draw import between, draw, pick
from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Witnessed
from shaketable.model.result import EngineFacts, Requested, Result
from shaketable.model.scenario import Scenario

MODES = ("stop", "kill", "freeze", "power-off", "cut")
HOSTS = ("host-1", "host-2", "host-3")
SERVICES = ("billing", "catalog", "customers", "orders")
COPIES = ("registry", "haproxy", "back-office-1", "back-office-2")
TRIALS = 20
RATE = 20.0
CLAIMS = {
    "stop": "new connections are refused and held ones are closed",
    "kill": "new connections are refused and held ones are closed",
    "freeze": "new connections get no answer, and the kernel says FROZEN",
    "power-off": "new connections get no answer, held ones are silent, and the kernel says FROZEN",
    "cut": "new connections get no answer, held ones are silent, and the processes live on",
}
LEAVES = {"stop": 0.02, "kill": 0.04, "freeze": 1.2, "power-off": 1.2, "cut": 1.2}
"""Seconds until the lease, or the connection, is gone."""


def scenario() -> Scenario:
    """Make the scenario the run is of."""
    lists = {"servers": "servers", "services": "services"}
    page = {"kind": "http-json", "at": "back-office:8081", "path": "/lists", "lists": lists}
    leaves = {"kind": "leaves", "within": 3.0}
    return Scenario.model_validate(
        {
            "shaketable": 1,
            "name": "crashed-host",
            "story": "A machine crashed. A stopped machine had always left both lists as designed; the crashed one left one of"
            " its services behind, at random, and every page became slow until somebody removed the entry by hand.",
            "topology": {"compose": "compose/backoffice"},
            "variants": {
                "fixed": {"expect": "pass"},
                "incident": {
                    "files": ["compose.yaml", "incident.yaml"],
                    "expect": "fail",
                    "cells": {
                        "stop": "pass",
                        "kill": "pass",
                        "power-off": {"fails_at_least": 0.2, "fails_at_most": 0.95},
                    },
                },
            },
            "axes": {"mode": MODES},
            "load": {"locustfile": "load.py", "target": "http://haproxy:8080", "rate": RATE},
            "observers": {
                "holders": {
                    "registry": {"kind": "etcd", "at": "registry:2379", "lists": lists, "every": 0.02},
                    "haproxy": {"kind": "haproxy", "at": "haproxy:9999", "lists": lists},
                    "back-office-1": page,
                    "back-office-2": page,
                    "inbox": {**page, "path": "/messages", "lists": {"notices": "messages"}, "every": 0.05},
                }
            },
            "steady": {"lists": {"servers": 3, "services": 12}},
            "faults": [{"id": "crash", "kind": "$mode", "target": {"host": "one of"}, "after": (0, 0.5), "lasts": 4.0}],
            "expectations": [
                {**leaves, "id": "servers-leave", "list": "servers"},
                {**leaves, "id": "services-leave", "list": "services"},
                {"kind": "stays", "id": "healthy-servers-stay", "list": "servers"},
                {"kind": "stays", "id": "healthy-services-stay", "list": "services"},
                {"kind": "not-called", "id": "dead-not-called", "after": 3.0},
                {"kind": "availability", "id": "pages-available", "at_least": 0.99, "except_first": 3.0},
                {"kind": "latency", "id": "pages-fast", "quantile": 0.99, "at_most": 0.3, "except_first": 3.0},
                {"kind": "appears", "id": "team-notified", "list": "notices", "within": 5.0},
                {"kind": "recovers", "id": "recovery", "within": 5.0},
            ],
        }
    )


def history(variant: str, mode: str, index: int) -> TrialHistory:
    """Make one trial: some silent crashes of the incident leave an entry in back-office-2; one observer is starved."""
    name = (variant, mode, index)
    began = 5000.0 + 9.0 * index
    victim = pick(7, [*name, "victim"], HOSTS)
    if name == ("incident", "power-off", 0):
        victim = "host-2"
    injected = between(7, [*name, "moment"], began + 1.0, began + 1.5)
    heal_began, healed = injected + 4.0, injected + 4.0 + between(7, [*name, "heal"], 0.5, 0.8)
    back = healed + between(7, [*name, "back"], 0.3, 0.7)
    recovered, ended = back + 0.05, back + 0.6
    silent = mode in {"freeze", "power-off", "cut"}
    stale = (
        variant == "incident" and silent and (name == ("incident", "power-off", 0) or draw(7, *name, "stale") < 0.45)
    )
    left = "billing" if victim == "host-2" else pick(7, [*name, "left"], SERVICES)
    fault = FaultRecord(
        id="crash",
        kind=mode,
        targets=(victim,),
        sent=injected - 0.0014,
        injected=injected,
        members={f"{victim}-{service}": injected - 0.0003 * n for n, service in enumerate(SERVICES)},
        witness=Witnessed(injected + 0.006, CLAIMS[mode], CLAIMS[mode]),
        heal_began=heal_began,
        healed=healed,
        clean=True,
    )
    beats = [began + 0.2 * n for n in range(int((ended - began) / 0.2) + 1)]
    whole = TrialHistory(
        scenario="crashed-host",
        variant=variant,
        index=index,
        seed=f"7/crashed-host/{mode}/{index // len(MODES)}",
        axis={"mode": mode},
        lane=index % 2,
        began=began,
        steady=began + 0.4,
        faults=(fault,),
        recovered=recovered,
        ended=ended,
        heard=ended,
        requests=tuple(
            _requests(name, whole_times := (began, injected, heal_began, ended), victim, left if stale else "")
        ),
        load_beats=tuple(LoadBeat(at, 4, 0) for at in beats),
        looks=tuple(sorted(_looks(name, whole_times, back, victim, left if stale else ""), key=lambda look: look.at)),
        look_beats=tuple(
            LookBeat(at, h, 38, 0.006 + 0.003 * draw(7, *name, h)) for at in beats for h in (*COPIES, "inbox")
        ),
    )
    if name == ("fixed", "cut", 14):
        starved = LookBeat(injected + 0.9, "haproxy", 2, 0.41)
        return replace(whole, look_beats=tuple(sorted((*whole.look_beats, starved), key=lambda beat: beat.at)))
    return whole


def _looks(
    name: tuple[str, str, int], times: tuple[float, ...], back: float, victim: str, stale: str
) -> Iterator[Look]:
    began, injected, _, _ = times
    everything = {"servers": HOSTS, "services": tuple(f"{h}/{s}" for h in HOSTS for s in SERVICES)}
    for holder in COPIES:
        for which, entries in everything.items():
            listed = set(entries)
            yield Look(began - 3.0, holder, which, tuple(sorted(listed)))
            dead = [entry for entry in entries if entry.split("/")[0] == victim]
            gone = {e: injected + LEAVES[name[1]] * between(7, [*name, holder, e], 0.8, 1.3) for e in dead}
            if holder == "back-office-2" and stale:
                gone.pop(f"{victim}/{stale}", None)
            changes = [(at, entry, False) for entry, at in gone.items()]
            changes += [(back - 0.2 * draw(7, *name, holder, entry, "back"), entry, True) for entry in gone]
            for at, entry, present in sorted(changes):
                listed = listed | {entry} if present else listed - {entry}
                yield Look(at, holder, which, tuple(sorted(listed)))
    yield Look(began - 3.0, "inbox", "notices", ())
    notice = f"server {victim} and 4 services are gone"
    yield Look(injected + LEAVES[name[1]] + 0.15, "inbox", "notices", (notice,))
    yield Look(back + 0.05, "inbox", "notices", (notice, f"server {victim} is back"))


def _requests(name: tuple[str, str, int], times: tuple[float, ...], victim: str, stale: str) -> Iterator[Request]:
    began, injected, heal_began, ended = times
    noticed = injected + LEAVES[name[1]]
    for n in range(int(RATE * (ended - 0.1 - began))):
        key = (*name, n)
        due = began + (n + draw(7, *key, "due")) / RATE
        page = pick(7, [*key, "page"], ["home", "order", "customer"])
        by = pick(7, [*key, "by"], ["back-office-1", "back-office-2"])
        seconds = between(7, [*key, "latency"], 0.007, 0.03) * (1 + 2 * draw(7, *key, "tail") ** 8)
        dead = injected < due < heal_began and (due < noticed or (bool(stale) and by == "back-office-2"))
        upstreams = tuple(f"{pick(7, [*key, s], [h for h in HOSTS if h != victim])}/{s}" for s in SERVICES)
        ok, error = True, ""
        if dead and draw(7, *key, "hits") < 0.6:
            upstreams = (f"{victim}/{stale or 'billing'}", *upstreams)
            seconds += between(7, [*key, "timeout"], 0.45, 0.6) if name[1] not in {"stop", "kill"} else 0.002
            if draw(7, *key, "gives up") < 0.12:
                ok, seconds, error = False, seconds + 0.5, "HTTP 502: billing did not answer in time"
        yield Request(due, due + 0.0004, due + seconds, page, ok, 200 if ok else 502, error, by, upstreams)


def sample(trials: int = TRIALS) -> tuple[Result, list[TrialHistory], Mapping[str, Scenario]]:
    """Make the run of a `prove`, its verdicts by the real judge."""
    described = scenario()
    histories = [
        history(variant, mode, index * len(MODES) + number)
        for variant in described.variants
        for index in range(trials)
        for number, mode in enumerate(MODES)
    ]
    parts = tuple(
        scenario_result(described, variant, [judge(h, described) for h in histories if h.variant == variant])
        for variant in described.variants
    )
    result = Result(
        run="1123065312-ab12",
        command="prove",
        verdict=campaign_verdict(parts),
        proved=all(part.as_expected for part in parts),
        seed=7,
        lanes=2,
        request=Requested(trials=trials),
        began="2026-11-23T06:53:12+00:00",
        seconds=812.4,
        engine=EngineFacts(version="26.1.5", api="1.45", compose="2.26.1", kernel="6.18.0", cgroup="v1", cpus=2),
        scenarios=parts,
    )
    return result, histories, {described.name: described}
