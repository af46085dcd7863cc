"""A run as the workspace leaves it: a migration that holds locks in the shared store, and chats that nobody can accept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lock_histories import waits

from shaketable.checks.judge import judge
from shaketable.checks.locks import Session
from shaketable.checks.verdict import campaign_verdict, scenario_result
from shaketable.model.draw import between, draw, pick
from shaketable.model.history import FaultRecord, LoadBeat, Look, LookBeat, Request, TrialHistory, Witnessed
from shaketable.model.result import EngineFacts, Requested, Result
from shaketable.model.scenario import Scenario

FUNCTIONS = {"accept-chat": 0.03, "open-ticket": 0.04, "connect": 0.01}
PODS = ("canary", "pod-17", "pod-18")
RATE = 30.0
MOVE = "UPDATE subscriptions SET moved = true WHERE pod = 'canary' AND moved = false RETURNING id, connection, topic"
ACCEPT = "UPDATE chats SET state = 'accepted', agent = $1 WHERE id = $2 AND state = 'open'"
SUBSCRIBE = "INSERT INTO subscriptions (connection, topic) VALUES ($1, $2)"
TICKET = "INSERT INTO tickets (chat, text) VALUES ($1, $2) RETURNING id"


def scenario() -> Scenario:
    """Make the scenario the run is of."""
    database = {"kind": "database", "lists": {"waits": "waits"}, "gauges": {"blocked": "blocked"}, "every": 0.1}
    return Scenario.model_validate(
        {
            "shaketable": 1,
            "name": "lock-contention",
            "story": "During a migration to upgraded storage the locks of its batches held up everybody else.",
            "topology": {"compose": "compose/workspace"},
            "variants": {
                "fixed": {"expect": "pass"},
                "incident": {"files": ["compose.yaml", "incident.yaml"], "expect": "fail"},
            },
            "load": {"locustfile": "load.py", "target": "http://haproxy:8080", "rate": RATE},
            "observers": {
                "max_gap": 0.5,
                "holders": {
                    "haproxy": {"kind": "haproxy", "at": "haproxy:9999", "lists": {"servers": "{service}/{host}"}},
                    "shared": {
                        **database,
                        "instance": "shared",
                        "lists": {"waits": "waits", "ledger": "SELECT entry FROM ledger"},
                    },
                    "canary-store": {**database, "instance": "canary-store", "gauges": {}},
                },
            },
            "steady": {"lists": {"servers": 3}, "hold": 1.0},
            "faults": [{"id": "migrate", "kind": "db-lock", "target": {"instance": "shared"}, "lasts": 9.0}],
            "expectations": [
                {"kind": "not-blocked", "id": "nobody-waits-long", "list": "waits", "longest": 2.0},
                {"kind": "availability", "id": "mostly-available", "at_least": 0.6},
            ],
        }
    )


def _session(number: int) -> Session:
    pod = PODS[number % 3]
    who, what = ((f"app/{pod}-chat", ACCEPT), (f"app/{pod}-ticket", TICKET), ("app/gateway", SUBSCRIBE))[number % 3]
    return Session(str(1300 + number), who, "waiting", what)


def _edges(since: float, behind: int) -> Iterator[str]:
    """Who waits `since` seconds after the migration took its locks: more and more of them, some behind each other."""
    state = "active" if since < 1.0 else "idle in transaction"
    migrate = Session("1234", "migration/migrate", state, MOVE if since < 4.0 else "SELECT pg_sleep(10)")
    for n in range(min(behind, 1 + int(since * behind / 4))):
        first = _session(n - n % 6)
        on, blocker = ("relation subscriptions", migrate) if n % 6 < 4 else ("transactionid", first)
        yield waits(_session(n), blocker, on)


def history(variant: str, index: int, behind: int) -> TrialHistory:
    """Make one trial, in which so many sessions are behind the migration in the end."""
    name = (variant, index)
    began = 9000.0 + 40.0 * index
    injected = began + between(7, [*name, "moment"], 4.0, 4.5)
    held = 6.2 if variant == "incident" else 0.6
    heal_began, healed = injected + 9.0, injected + 9.3
    ended = healed + 4.0
    fault = FaultRecord(
        id="migrate",
        kind="db-lock",
        targets=("shared",),
        sent=injected - 0.1,
        injected=injected,
        members={"shared": injected},
        witness=Witnessed(injected + 0.05, "a session waits", "one did"),
        heal_began=heal_began,
        healed=healed,
        clean=True,
    )
    beats = [began + 0.2 * n for n in range(1, int((ended - began) / 0.2) + 1)]
    return TrialHistory(
        scenario="lock-contention",
        variant=variant,
        index=index,
        seed=f"7/{index}",
        axis={},
        lane=0,
        began=began,
        steady=began + 1.6,
        faults=(fault,),
        recovered=healed + 1.0,
        ended=ended,
        heard=ended,
        requests=tuple(_requests(name, began, injected, held, ended)),
        load_beats=tuple(LoadBeat(at, 6, 0) for at in beats),
        looks=tuple(sorted(_looks(variant, began, injected, held, behind), key=lambda look: look.at)),
        look_beats=tuple(
            LookBeat(at, h, 2, 0.12 + 0.02 * draw(7, *name, h)) for at in beats for h in scenario().observers.holders
        ),
    )


def _looks(variant: str, began: float, injected: float, held: float, behind: int) -> Iterator[Look]:
    yield Look(began - 3, "haproxy", "servers", tuple(f"{pod}/web" for pod in PODS))
    yield Look(began - 3, "canary-store", "waits", ())
    yield Look(began - 3, "shared", "ledger", ("chat-1", "chat-2"))
    yield Look(began - 3, "shared", "blocked", ("0",))
    yield Look(began - 3, "shared", "waits", ())
    brief = Session("1290", "app/gateway", "active", "DELETE FROM connections WHERE id = $1")
    yield from _both(began + 2.0, [waits(_session(2), brief, "rows of subscriptions")])
    yield from _both(began + 2.2, [])
    at = 0.1
    while at < held:
        dark = variant == "incident" and 4.8 < at < 5.3
        yield from _both(injected + at, None if dark else list(_edges(at, behind)))
        at += 0.1
    if variant == "incident":
        first, others = _session(0), [_session(n) for n in range(3, min(behind, 12), 3)]
        row = [waits(b, a, "transactionid") for a, b in zip([first, *others], others, strict=False)]
        yield from _both(injected + at, row)
        yield from _both(injected + at + 0.5, row[1:])
    yield from _both(injected + at + 0.8, [])


def _both(at: float, entries: Sequence[str] | None) -> Iterator[Look]:
    yield Look(at, "shared", "waits", None if entries is None else tuple(entries))
    yield Look(at, "shared", "blocked", None if entries is None else (f"{len(entries)}",))


def _requests(name: tuple[str, int], began: float, injected: float, held: float, ended: float) -> Iterator[Request]:
    for n in range(int(RATE * (ended - 0.6 - began))):
        key = (*name, n)
        due = began + (n + draw(7, *key, "due")) / RATE
        function = pick(7, [*key, "function"], tuple(FUNCTIONS))
        seconds = FUNCTIONS[function] * between(7, [*key, "latency"], 0.7, 1.4)
        if injected < due < injected + held and function != "connect":
            seconds += injected + held - due
        ok = seconds < 5.0
        pod = pick(7, [*key, "pod"], PODS)
        yield Request(
            due,
            due,
            due + min(seconds, 5.0),
            function,
            ok,
            200 if ok else 0,
            "" if ok else "timed out",
            f"{pod}/web",
            (),
        )


def sample(trials: int = 2) -> tuple[Result, list[TrialHistory], Mapping[str, Scenario]]:
    """Make the run of a `prove`, its verdicts by the real judge: 60 sessions behind the migration in one trial, 3 in another."""
    described = scenario()
    histories = [
        history(variant, index, 60 if index % 2 == 0 else 3)
        for variant in described.variants
        for index in range(trials)
    ]
    parts = tuple(
        scenario_result(described, variant, [judge(h, described) for h in histories if h.variant == variant])
        for variant in described.variants
    )
    result = Result(
        run="1127021500-ab12",
        command="prove",
        verdict=campaign_verdict(parts),
        proved=all(part.as_expected for part in parts),
        seed=7,
        lanes=1,
        request=Requested(trials=trials),
        began="2026-11-27T02:15:00+00:00",
        seconds=62.7,
        engine=EngineFacts(version="26.1.5", api="1.45", compose="2.26.1", kernel="6.18.0", cgroup="v1", cpus=2),
        scenarios=parts,
    )
    return result, histories, {described.name: described}
