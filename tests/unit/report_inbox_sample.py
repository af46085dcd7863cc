"""A run as the social inbox leaves it: an engine that upgrades itself, five functions, alerts, a backlog, and cohorts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shaketable.checks.judge import judge
from shaketable.checks.verdict import campaign_verdict, scenario_result
from shaketable.model.draw import between, draw, pick
from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Witnessed
from shaketable.model.result import EngineFacts, Requested, Result
from shaketable.model.scenario import Scenario

MODES = ("engine-upgrade", "engine-kill")
HOSTS = ("host-1", "host-2", "host-3", "host-4")
SERVICES = ("fetcher", "pictures", "sender", "web")
SHARED = ("alertmanager", "haproxy", "network", "postgresql", "prometheus", "redis")
FUNCTIONS = {"history": 0.03, "log in": 0.02, "pictures": 0.04, "refresh": 0.015, "reply": 0.025}
"""Each with its usual latency, seconds."""
HIT = ("refresh", "reply")
RATE = 40.0
ALERT = "ContainersDown host-3"


def scenario() -> Scenario:
    """Make the scenario the run is of."""
    return Scenario.model_validate(
        {
            "shaketable": 1,
            "name": "engine-upgrade",
            "story": "Overnight the engine of a new host updated itself, and its containers were not started again: messages"
            " did not refresh, replies failed, and nobody was told.",
            "topology": {"compose": "compose/inbox"},
            "variants": {
                "fixed": {"expect": "pass"},
                "incident": {"files": ["compose.yaml", "incident.yaml"], "expect": "fail"},
            },
            "axes": {"mode": MODES},
            "load": {"locustfile": "load.py", "target": "http://haproxy:8080", "rate": RATE},
            "observers": {
                "holders": {
                    "haproxy": {"kind": "haproxy", "at": "haproxy:9999", "lists": {"servers": "{service}/{host}"}},
                    "engines": {"kind": "containers", "lists": {"running": "names", "started": "starts"}, "every": 0.1},
                    "pager": {
                        "kind": "http-json",
                        "at": "pager:8080",
                        "path": "/firing",
                        "lists": {"alerts": "firing"},
                        "every": 0.05,
                    },
                    "queue": {
                        "kind": "http-json",
                        "at": "network:8080",
                        "path": "/queue",
                        "gauges": {"backlog": "depth"},
                        "every": 0.05,
                    },
                }
            },
            "steady": {"lists": {"servers": 4}, "gauges": {"backlog": 5}, "hold": 1.0},
            "faults": [
                {"id": "upgrade", "kind": "$mode", "target": {"host": "host-3"}, "after": (0, 0.5), "lasts": 15.0}
            ],
            "expectations": [
                {"kind": "runs-again", "id": "containers-back", "list": "running", "within": 10.0},
                {"kind": "alerted", "id": "team-alerted", "list": "alerts", "contains": "host-3", "within": 10.0},
                {"kind": "quiet", "id": "no-false-alarm", "list": "alerts"},
                {
                    "kind": "functions-recover",
                    "id": "functions-back",
                    "since": "fault",
                    "within": 12.0,
                    "gauges": {"backlog": 5},
                },
                {"kind": "cohorts-alike", "id": "nobody-worse-off", "by": ["app", "plan"], "at_most": 0.05},
                {"kind": "availability", "id": "mostly-available", "at_least": 0.6},
            ],
        }
    )


def history(variant: str, mode: str, index: int) -> TrialHistory:
    """Make one trial: the incident's containers stay down until heal, and nobody is told; the fixed ones come back."""
    name = (variant, mode, index)
    began = 9000.0 + 40.0 * index
    injected = between(7, [*name, "moment"], began + 5.0, began + 5.5)
    heal_began = injected + 15.0
    healed = heal_began + between(7, [*name, "heal"], 0.8, 1.4)
    back = injected + between(7, [*name, "back"], 3.0, 4.5) if variant == "fixed" else healed - 0.2
    drained = back + between(7, [*name, "drained"], 1.0, 3.0)
    recovered = max(healed, drained) + 0.4
    ended = recovered + 2.0
    times = (began, injected, back, drained, ended)
    fault = FaultRecord(
        id="upgrade",
        kind=mode,
        targets=("host-3",),
        sent=injected - 0.4,
        injected=injected,
        members={"host-3": injected},
        witness=Witnessed(injected + 0.02, "another engine answers", "20.10.24 before, 26.1.5 after"),
        heal_began=heal_began,
        healed=healed,
        clean=True,
    )
    beats = [began + 0.2 * n for n in range(1, int((ended - began) / 0.2) + 1)]
    holders = scenario().observers.holders
    return TrialHistory(
        scenario="engine-upgrade",
        variant=variant,
        index=index,
        seed=f"7/engine-upgrade/{mode}/{index // len(MODES)}",
        axis={"mode": mode},
        lane=index % 2,
        began=began,
        steady=began + 1.6,
        faults=(fault,),
        recovered=recovered,
        ended=ended,
        heard=ended,
        requests=tuple(_requests(name, times)),
        load_beats=tuple(LoadBeat(at, 8, 0) for at in beats),
        looks=tuple(sorted(_looks(name, times), key=lambda look: look.at)),
        look_beats=tuple(LookBeat(at, h, 38, 0.006 + 0.003 * draw(7, *name, h)) for at in beats for h in holders),
    )


def _looks(name: tuple[str, str, int], times: tuple[float, ...]) -> Iterator[Look]:
    began, injected, back, drained, ended = times
    servers = [f"{host}/web" for host in HOSTS]
    for at, gone in ((began - 3, False), (injected + 0.6, True), (back + 0.3, False)):
        yield Look(at, "haproxy", "servers", tuple(s for s in servers if not (gone and s.startswith("host-3"))))
    running = {*SHARED, *(f"{host}/{service}" for host in HOSTS for service in SERVICES)}
    starts = {entry: f"{entry} {began - 300:.2f}" for entry in running}
    changes = [(injected + 0.02 * n, f"host-3/{s}", False) for n, s in enumerate(SERVICES)]
    changes += [(back - 0.3 + between(7, [*name, s, "starts"], 0, 0.3), f"host-3/{s}", True) for s in SERVICES]
    yield Look(began - 3, "engines", "running", tuple(sorted(running)))
    yield Look(began - 3, "engines", "started", tuple(sorted(starts.values())))
    for at, entry, runs in sorted(changes):
        running = running | {entry} if runs else running - {entry}
        yield Look(at, "engines", "running", tuple(sorted(running)))
        starts[entry] = f"{entry} {at:.2f}"
        yield Look(at, "engines", "started", tuple(sorted(starts[e] for e in running)))
    yield Look(began - 3, "pager", "alerts", ())
    if name[0] == "fixed":
        fires = injected + between(7, [*name, "alert"], 2.0, 3.5)
        yield Look(fires, "pager", "alerts", (ALERT,))
        yield Look(max(fires, back) + 2.0, "pager", "alerts", ())
    at, depth = began - 3, 2.0
    while at < ended:
        yield Look(at, "queue", "backlog", (f"{max(0, round(depth))}",))
        at += 0.1
        if injected <= at < back:
            depth += 3 * draw(7, *name, "in", f"{at:.2f}") + 1
        elif back <= at < drained:
            depth = max(2.0, depth - depth / max(0.1, (drained - at)) * 0.1 * 1.2)
        else:
            depth = pick(7, [*name, "idle", f"{at:.2f}"], (0.0, 1.0, 2.0, 3.0))


def _requests(name: tuple[str, str, int], times: tuple[float, ...]) -> Iterator[Request]:
    began, injected, back, drained, ended = times
    for n in range(int(RATE * (ended - 0.6 - began))):
        key = (*name, n)
        due = began + (n + draw(7, *key, "due")) / RATE
        function = pick(7, [*key, "function"], tuple(FUNCTIONS))
        host = pick(7, [*key, "by"], HOSTS)
        app, plan = pick(7, [*key, "app"], ("1.9", "2.0")), pick(7, [*key, "plan"], ("free", "free", "free", "paid"))
        seconds = FUNCTIONS[function] * between(7, [*key, "latency"], 0.7, 1.4)
        ok, error = True, ""
        if injected < due < back and function in HIT and (host == "host-3" or draw(7, *key, "hits") < 0.2):
            ok, error, seconds = (
                False,
                "HTTP 503: no server is available",
                seconds + (2.0 if due < injected + 0.6 else 0),
            )
        elif back <= due < drained and function == "refresh":
            seconds += 1.2 * (drained - due) / (drained - back)
        elif injected < due < back and host == "host-3":
            host = "host-4"
        by = f"{host}/web"
        cohort = f"app={app},plan={plan}"
        yield Request(due, due + 0.0004, due + seconds, function, ok, 200 if ok else 503, error, by, (by,), "", cohort)


def sample(trials: int = 5) -> tuple[Result, list[TrialHistory], Mapping[str, Scenario]]:
    """Make the run of a `prove`, its verdicts by the real judge; `trials` of each variant and mode."""
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
        run="1126214633-cd34",
        command="prove",
        verdict=campaign_verdict(parts),
        proved=all(part.as_expected for part in parts),
        seed=7,
        lanes=2,
        request=Requested(trials=trials),
        began="2026-11-26T21:46:33+00:00",
        seconds=402.7,
        engine=EngineFacts(version="26.1.5", api="1.45", compose="2.26.1", kernel="6.18.0", cgroup="v1", cpus=2),
        scenarios=parts,
    )
    return result, histories, {described.name: described}
