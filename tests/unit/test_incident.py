"""A trial as an incident: its phases in order, whom it affected and whom not, from the record alone."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from shaketable.adapters.store import RunStore
from shaketable.checks.judge import judge
from shaketable.model.history import WALL, FaultRecord, Look, Request, TrialHistory, Tripped, Witnessed
from shaketable.model.scenario import Scenario
from shaketable.reports.incident import Incident, incident
from shaketable.reports.incident_choice import chosen
from shaketable.reports.incident_signs import Cause, causes
from shaketable.reports.incident_words import WIDTH, as_markdown, as_text, status_report
from shaketable.run.loader import parse_scenario
from shaketable.surface.cli import cli

BEGAN, T0, HEALED, ENDED = 100.0, 105.0, 125.0, 145.0
A, B, C = "server-1/tenant-a", "server-1/tenant-b", "server-2/tenant-a"
TENANTS = (A, B, C)
GOOD = """
shaketable: 1
name: infinite-loop
topology: {compose: .}
variants: {fixed: {}}
load: {locustfile: load.py, target: "http://entry:8080", rate: 30 /s}
observers:
  holders:
    kernel:
      kind: containers
      lists: {running: names, ends: ends, limits: limits server-1/tenant-a, started: starts}
      gauges: {a-cpu: cpu server-1/tenant-a, memory: memory server-1, b-cpu: cpu server-1/tenant-b}
    firewall: {kind: http-json, at: "firewall:8090", lists: {restricted: restricted}}
    pager: {kind: http-json, at: "pager:8090", lists: {alerts: alerts}}
    entry: {kind: haproxy, at: "entry:9999", lists: {servers: "{service}/{host}"}}
    entry-2: {kind: haproxy, at: "entry-2:9999", lists: {servers: "{service}/{host}"}}
steady: {lists: {running: 3, restricted: 0, servers: 3}, gauges: {memory: 0.9}}
faults:
  - {id: bad, kind: kill, target: {host: server-1/tenant-a}, lasts: 20s}
expectations:
  - {id: told, kind: alerted, list: alerts, contains: "{target}", within: 30s}
  - {id: cpu, kind: ceiling, gauge: a-cpu, at_most: 0.8, longest: 2s}
  - {id: b, kind: warns-early, gauge: b-cpu, above: 0.8}
  - {id: kept, kind: availability, at_least: 99 %}
"""
Changes = tuple[float, Sequence[str] | None]
"""Seconds after the fault's effect, and the entries from then on."""


@lru_cache
def scenario(*replacements: tuple[str, str]) -> Scenario:
    """The scenario above, with some text replaced."""
    text = GOOD
    for old, new in replacements:
        assert old in text, old
        text = text.replace(old, new)
    return parse_scenario(text, file="mail.yaml")


def fault(name: str = "bad", kind: str = "deploy", at: float = 0.0, until: float = 20.0, **changes: Any) -> FaultRecord:
    """A fault on the first tenant, effective and undone so many seconds after the first fault's effect."""
    return replace(
        FaultRecord(
            id=name,
            kind=kind,
            targets=(A,),
            sent=T0 + at - 0.1,
            injected=T0 + at,
            members={A: T0 + at},
            witness=Witnessed(T0 + at + 0.2, "it runs", "it runs"),
            heal_began=T0 + until - 0.2,
            healed=T0 + until,
            clean=True,
        ),
        **changes,
    )


def arrivals(name: str = "page", tenants: Iterable[str] = TENANTS) -> list[Request]:
    """Ten good arrivals a second from each tenant's users."""
    return [
        Request(at, at, at + 0.02, name, True, 200, "", "", (), "", f"server={tenant.split('/')[0]},tenant={tenant}")
        for tenant in tenants
        for at in (BEGAN + 0.1 * n for n in range(round((ENDED - BEGAN) * 10)))
    ]


def failing(rows: Iterable[Request], start: float, end: float, *tenants: str) -> list[Request]:
    """The same; what was due in [start, end) after the fault failed, of these tenants or of all."""
    return [
        replace(r, ok=False, status=503)
        if start - 1e-6 <= r.scheduled - T0 < end - 1e-6 and (not tenants or r.labels["tenant"] in tenants)
        else r
        for r in rows
    ]


def listed(holder: str, name: str, first: Sequence[str], *changes: Changes) -> list[Look]:
    """A holder's list, at first and as it changed."""
    rows = [Look(BEGAN - 5, holder, name, tuple(first))]
    return rows + [Look(T0 + at, holder, name, None if e is None else tuple(e)) for at, e in changes]


def looks(*others: Iterable[Look]) -> list[Look]:
    """All lists as they are when all is well, but for those given."""
    told = [look for rows in others for look in rows]
    usual = [
        *listed("kernel", "running", TENANTS),
        *listed("firewall", "restricted", ()),
        *listed("entry", "servers", TENANTS),
        *listed("entry-2", "servers", TENANTS),
        *listed("pager", "alerts", ()),
        *(look for gauge in ("a-cpu", "memory", "b-cpu") for look in listed("kernel", gauge, ("0.1",))),
    ]
    given_ones = {(look.holder, look.list) for look in told}
    return sorted([*told, *(u for u in usual if (u.holder, u.list) not in given_ones)], key=lambda look: look.at)


def trial(*others: Iterable[Look], requests: Iterable[Request] | None = None, **changes: Any) -> TrialHistory:
    """A trial in which all was well, but for what is given."""
    well = TrialHistory(
        scenario="infinite-loop",
        variant="fixed",
        index=0,
        seed="1/0",
        axis={},
        lane=1,
        began=BEGAN,
        steady=BEGAN + 3,
        faults=(fault(),),
        recovered=HEALED + 0.5,
        ended=ENDED,
        heard=ENDED + 1,
        requests=tuple(sorted(arrivals() if requests is None else requests, key=lambda r: r.scheduled)),
        looks=looks(*others),
    )
    return replace(well, **changes)


def end(at: float, of: str = A, by: str = "guard", who: str = "", pid: int = 7) -> str:
    """An entry of the kernel's list of processes that ended."""
    told = {"of": of, "pid": pid, "command": "mailer", "began": T0, "at": T0 + at, "cpu": 2.0}
    return json.dumps({**told, "signal": 9, "code": 0, "by": by, "who": who}, sort_keys=True)


def limit(hits: float) -> str:
    """An entry of the kernel's list of limits."""
    told = {"of": A, "limit": "memory", "configured": 1e8, "kernel": 1e8, "used": 1e8, "hits": hits}
    return json.dumps(told, sort_keys=True)


def moments(told: Incident) -> list[float | None]:
    """When the phases began, seconds after the fault."""
    return [None if p.at is None else round(p.at - T0, 3) for p in told.phases]


def text(of: TrialHistory, by: Scenario | None = None) -> str:
    """The report on as few lines as it has paragraphs."""
    meant = by or scenario()
    return " ".join(as_text(status_report(of, meant, judge(of, meant))).split())


RUNAWAY = listed("kernel", "a-cpu", ("0.1",), (1.5, ("0.95",)), (21, ("0.1",)))


def test_the_phases_of_an_incident_come_in_order() -> None:
    """Felt first, then seen on the target, then undone, and resolved when the last that was not well is well."""
    told = incident(trial(RUNAWAY, requests=failing(arrivals(), 1, 23, A)), scenario())
    assert [p.name for p in told.phases] == ["investigating", "identified", "monitoring", "resolved"]
    assert moments(told) == [1, 1.5, 20, 23]
    said = text(trial(RUNAWAY, requests=failing(arrivals(), 1, 23, A)))
    assert "INVESTIGATING +1 s - +1 s: users felt it: page was degraded until +23 s: 220 of 660 failed (33.3 %)" in said
    assert "IDENTIFIED +1.5 s From then on what was observed names the cause: the deploy on server-1/tenant-a." in said
    assert "kernel read “a-cpu” above 0.8 (at most 0.95) until +21 s" in said
    assert "MONITORING +20 s The deploy on server-1/tenant-a was undone by the trial" in said
    assert "Not well yet when that was done: page (until +23 s), “a-cpu” above 0.8 (until +21 s)." in said
    assert "RESOLVED +23 s Everything was well from then on, for the 17 s until the record ends." in said


def test_who_was_affected_is_told_by_what_divides_them() -> None:
    """One tenant of a server is told by name, and the server is not; others of the same server are not affected."""
    of = trial(requests=[*failing(arrivals(), 1, 5, A), *arrivals("send")])
    page, send = incident(of, scenario()).felt
    assert [(p.key, [v for v, _ in p.degraded], p.fine) for p in page.parts] == [("tenant", [A], (B, C))]
    assert send.parts == ()
    said = text(of)
    assert f"page for tenant {A}: degraded from +1 s to +5 s: 40 of 40 failed (100 %)" in said
    assert f"NOT AFFECTED - send: none of 1,203 arrivals failed. - page for tenant {B} and {C}." in said


def test_a_whole_server_is_told_as_such() -> None:
    """Where all tenants of a server fare alike, and those of another otherwise, the server says it."""
    (page,) = incident(trial(requests=failing(arrivals(), 1, 5, A, B)), scenario()).felt
    assert [(p.key, [v for v, _ in p.degraded], p.fine) for p in page.parts] == [
        ("server", ["server-1"], ("server-2",))
    ]


def test_where_everybody_is_affected_nobody_is_named() -> None:
    """Cohorts that all fare alike are not told apart."""
    (page,) = incident(trial(requests=failing(arrivals(), 1, 5)), scenario()).felt
    assert page.whole.spells
    assert page.parts == ()


def test_a_part_too_small_to_show_in_the_whole_is_felt() -> None:
    """One tenant of forty that fails is 2.5 % of all: the function as a whole is fine, that tenant's is not."""
    tenants = [f"server-1/t-{n}" for n in range(40)]
    of = trial(requests=failing(arrivals(tenants=tenants), 2, 6, tenants[0]))
    told = incident(of, scenario())
    assert moments(told)[0] == 2
    assert not told.felt[0].whole.spells
    assert told.felt[0].degraded
    assert "users felt it: page for tenant server-1/t-0 was degraded until +6 s" in text(of)


def test_nothing_happened() -> None:
    """A trial in which nothing was seen has no phases, and says so with the fault that it stood."""
    told = incident(trial(), scenario())
    assert told.phases == ()
    said = text(trial())
    assert "Nothing was seen: no function was degraded, no alert came" in said
    assert "The deploy on server-1/tenant-a (bad) took effect at +0 s and was undone at +20 s." in said
    assert "AFFECTED Nothing." in said
    assert "3 containers of server-1 and server-2 ran throughout." in said


def test_not_resolved_when_the_record_ends() -> None:
    """What is still degraded at the end is named, and there is no moment of resolution."""
    of = trial(requests=failing(arrivals(), 1, 99), recovered=None)
    assert moments(incident(of, scenario())) == [1, None, 20, None]
    said = text(of)
    assert "RESOLVED not when the record ends Not well when the record ends at +40 s: page." in said
    assert "WHAT WAS EXPECTED AND DID NOT HOLD - told: nobody was told" in said


def test_not_steady_again_is_not_resolved() -> None:
    """All is well by the eye, yet steady state never held again: that is no resolution either."""
    of = trial(requests=failing(arrivals(), 1, 3), recovered=None)
    assert moments(incident(of, scenario()))[-1] is None
    assert "Steady state did not hold again for 300 ms" in text(of)


def test_never_identified() -> None:
    """If nothing that was observed shows the target, that is said, with what the fault was."""
    of = trial(requests=failing(arrivals(), 1, 3))
    assert moments(incident(of, scenario())) == [1, None, 20, 20.5]
    assert "IDENTIFIED never The deploy on server-1/tenant-a (bad) took effect at +0 s" in text(of)
    assert "was never identified from what was observed" in text(of)


@pytest.mark.parametrize(
    ("seen", "at", "said"),
    [
        (RUNAWAY, 1.5, "kernel read “a-cpu” above 0.8"),
        (listed("kernel", "running", TENANTS, (2, (B, C)), (4, TENANTS)), 2, f"kernel saw that {A} no longer ran"),
        (listed("entry", "servers", TENANTS, (2, (B, C)), (4, TENANTS)), 2, f"entry no longer listed {A} on “servers”"),
        (
            listed("kernel", "ends", (), (3.2, (end(3),))),
            3,
            "1 process of server-1/tenant-a ended by force: 1 by a guard",
        ),
        (listed("kernel", "limits", (limit(0),), (3, (limit(2),))), 3, f"kernel saw {A} held at its limit of memory"),
        (listed("kernel", "started", (), (5, (f"{A} {T0 + 5}",))), 5, f"kernel saw {A} start anew"),
        (listed("pager", "alerts", (), (4, (f"{A} hangs",)), (9, ())), 4, f"pager was told “{A} hangs”"),
    ],
)
def test_what_identifies(seen: list[Look], at: float, said: str) -> None:
    """An entry, a gauge, a process, a limit, a start or an alert of the target names the cause from when it was seen."""
    of = trial(seen)
    assert moments(incident(of, scenario()))[:2] == [at, at]
    assert said in text(of)


@pytest.mark.parametrize(
    "seen",
    [
        listed("kernel", "b-cpu", ("0.1",), (2, ("0.95",)), (4, ("0.1",))),
        listed("kernel", "memory", ("0.1",), (2, ("0.95",)), (4, ("0.1",))),
        listed("firewall", "restricted", (), (2, ("server-1",)), (4, ())),
        listed("kernel", "ends", (), (2, (end(2, of=B, by="limit", who="the memory limit of server-1"),))),
        listed("pager", "alerts", (), (2, (f"{A}bc hangs",)), (4, ())),
        listed("entry", "servers", TENANTS, (2, (A, C)), (4, TENANTS)),
    ],
)
def test_what_is_seen_elsewhere_does_not_identify(seen: list[Look]) -> None:
    """What befalls a neighbour, the host as a whole, or a name that only begins alike, names no cause."""
    assert moments(incident(trial(seen), scenario()))[:2] == [2, None]


def test_an_entry_that_a_claim_asks_for_identifies() -> None:
    """Where a claim says what must appear in a list because of the fault, that names it."""
    claimed = "  - {id: seen, kind: appears, list: restricted, contains: server-1, within: 9s}\n"
    by = scenario(("  - {id: told,", claimed + "  - {id: told,"))
    of = trial(listed("firewall", "restricted", (), (2, ("server-1",)), (33, ())))
    assert moments(incident(of, by)) == [2, 2, 20, 33]
    assert "firewall listed server-1 on “restricted”, until +33 s" in text(of, by)


def test_what_users_wrote_is_no_sign() -> None:
    """Writes that arrive at a list which a claim holds to them say nothing of a fault, though they name its target."""
    claimed = "  - {id: mails, kind: exactly-once, list: restricted, within: 9s}\n"
    by = scenario(("  - {id: told,", claimed + "  - {id: told,"), (", restricted: 0", ""))
    assert incident(trial(listed("firewall", "restricted", (), (2, (f"{A}/17",)))), by).phases == ()


def test_what_was_so_before_the_fault_is_no_sign() -> None:
    """A gauge that was above its number, an alert that was there and a list that was short before: none is of the fault."""
    of = trial(
        listed("kernel", "a-cpu", ("0.95",)),
        listed("pager", "alerts", (f"{A} hangs",)),
        listed("kernel", "ends", (end(-1),)),
        listed("kernel", "limits", (limit(3),)),
    )
    assert incident(of, scenario()).phases == ()


def test_what_ends_the_undo_is_no_sign_of_the_cause() -> None:
    """What comes after the undo began does not identify any more; before that, signs of two holders are one."""
    late = trial(RUNAWAY[:1], listed("pager", "alerts", (), (21, (f"{A} hangs",))))
    assert moments(incident(late, scenario())) == [21, None, 21, 21]
    assert "Nobody had noticed anything until then." in text(late)
    both = trial(
        listed("entry", "servers", TENANTS, (2, (B, C)), (4, TENANTS)),
        listed("entry-2", "servers", TENANTS, (2.4, (B, C)), (5, TENANTS)),
    )
    assert f"entry and entry-2 no longer listed {A} on “servers”, until +5 s" in text(both)


def test_several_faults_are_told_one_by_one() -> None:
    """The incident is monitored when the last is undone; those that nothing shows are said to be unidentified."""
    second = fault("more", "kill", 8, 12, targets=(C,), members={C: T0 + 8})
    of = trial(RUNAWAY, faults=(fault(until=16), second), requests=failing(arrivals(), 1, 9))
    assert moments(incident(of, scenario())) == [1, 1.5, 16, 21]
    said = text(of)
    assert "names the cause: the deploy on server-1/tenant-a. The deploy on server-1/tenant-a (bad) took" in said
    assert "The kill on server-2/tenant-a (more) took effect at +8 s and was undone at +12 s. That was never" in said
    assert "Everything was undone by the trial" in said


def test_the_steps_of_a_roll_out_are_one_cause() -> None:
    """Stages of one kind on the same target are one cause; a gate that tripped identifies it, and did the roll-back."""
    stages = (fault("site-a", until=9), fault("site-b", at=3, until=8))
    of = trial(faults=stages, tripped=Tripped("site-b", T0 + 5.5, 3, 10), requests=failing(arrivals(), 4, 8))
    assert [c.ids for c in causes(of)] == [("site-a", "site-b")]
    assert moments(incident(of, scenario())) == [4, 5.5, 9, 20.5 + HEALED - T0 - 20]
    said = text(of)
    assert "the gate of the roll-out found 3 of 10 arrivals bad in site-b, and stopped it" in said
    assert "The gate of the roll-out had stopped it after site-b; it was rolled back at +9 s." in said
    assert "in 2 steps (site-a and site-b)" in said


def test_a_trial_that_broke_off_is_told_up_to_its_end() -> None:
    """A fault that was never undone is never monitored nor resolved; the reason of the break stands first."""
    held = fault(healed=0.0, heal_began=0.0, clean=False)
    of = trial(requests=failing(arrivals(), 1, 99), faults=(held,), broke="the agent is gone", recovered=None)
    assert moments(incident(of, scenario())) == [1, None, None, None]
    said = text(of)
    assert "The trial broke off: the agent is gone. What follows is told up to then." in said
    assert "MONITORING never The record ends before everything was undone: deploy was still in force." in said


def test_a_trial_without_a_fault_has_no_incident() -> None:
    """What broke off before its fault says so, and has no phases."""
    of = trial(faults=(), broke="not steady", recovered=None, requests=(), looks=())
    assert incident(of, scenario()).phases == ()
    assert "No fault was injected: there is no incident to tell." in text(of)


def test_times_of_day_are_told_where_they_are_recorded() -> None:
    """With the time at which the trial began, every moment has its time of day; without, seconds since the fault."""
    of = trial(RUNAWAY, environment={WALL: "2026-11-27T14:02:00.500+00:00"})
    said = text(of)
    assert "Times count from the fault's effect at 14:02:05 UTC on 2026-11-27." in said
    assert "IDENTIFIED 14:02:07 UTC (+1.5 s)" in said
    assert "until 14:02:26 (+21 s)" in said
    assert "UTC" not in text(trial(RUNAWAY))


def test_declared_compression_is_said() -> None:
    """Where time passes faster than in life, the report says so beside its times."""
    by = scenario(("topology:", "compression: {times: 600, because: each run leaks more}\ntopology:"))
    assert "Time passes 600 times as fast as in life: each run leaks more." in text(trial(), by)


def test_processes_that_were_ended_are_counted_by_whom() -> None:
    """Each process counts once, however many looks list it, and whoever ended it is named."""
    ends = (end(2, pid=7), end(4, pid=8), end(6, by="limit", who="the memory limit of server-1", pid=9))
    of = trial(listed("kernel", "ends", (), (2.1, ends[:1]), (6.1, ends), (9, ends[1:])))
    assert "3 processes of server-1/tenant-a ended by force: 2 by a guard of its own, 1 by the memory limit" in text(of)


def test_no_line_is_wider_than_the_page_and_markdown_says_the_same() -> None:
    """80 columns as text; in Markdown every heading and every sentence of it."""
    of = trial(RUNAWAY, requests=failing(arrivals(), 1, 23, A))
    blocks = status_report(of, scenario(), judge(of, scenario()), "the only one")
    plain = as_text(blocks)
    assert max(map(len, plain.splitlines())) <= WIDTH
    assert not any(line != line.rstrip() for line in plain.splitlines())
    marked = as_markdown(blocks)
    assert marked.startswith("## Status report: infinite-loop, fixed\n")
    assert marked.count("\n### ") == sum(block.style == "heading" for block in blocks)
    assert marked.count("\n- ") == sum(block.style == "item" for block in blocks)


def test_the_trial_that_stands_for_a_variant_is_told() -> None:
    """The first valid one that failed if one did, else the first valid one; a number chooses another."""
    bad = trial(requests=failing(arrivals(), 1, 9))
    trials = [replace(trial(), index=0), replace(bad, index=2), replace(bad, index=1)]
    scenarios = {"infinite-loop": scenario()}
    outcomes = [judge(one, scenario()).outcome for one in trials]
    (one,) = chosen(trials, scenarios)
    assert set(outcomes) == {"invalid"}  # a history by hand has no beats: nobody can tell whether it was watched
    assert (one.history.index, one.why) == (0, "the first of 3 trials, none of which is valid")
    (two,) = chosen(trials, scenarios, 2)
    assert (two.history.index, two.why) == (2, "one of 3")
    assert chosen(trials, scenarios, 3) == ()


@pytest.mark.parametrize(
    ("said", "named"), [("down host-3", True), ("host-3/web", True), ("host-33", False), ("a-host-3", False)]
)
def test_a_target_is_named_as_a_whole(said: str, named: bool) -> None:
    """A name is in a text only as a whole word."""
    cause = Cause("kill", ("host-3",), ("k",), T0, T0, math.inf, math.inf, clean=True)
    assert cause.is_in(said) is named


stretches = st.lists(st.tuples(st.floats(-4, 39), st.floats(0.1, 20)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    felt=stretches,
    seen=stretches,
    short=stretches,
    undone=st.floats(0.5, 30),
    recovered=st.one_of(st.none(), st.floats(0, 5)),
    broke=st.booleans(),
)
def test_phases_never_go_back_in_time(
    felt: list[tuple[float, float]],
    seen: list[tuple[float, float]],
    short: list[tuple[float, float]],
    undone: float,
    recovered: float | None,
    broke: bool,
) -> None:
    """Whatever is degraded, above its number or gone when: each phase begins within the trial, not before an earlier one."""
    rows = arrivals(tenants=[A])
    for start, length in felt:
        rows = failing(rows, start, start + length)
    changes = [
        sorted(
            (at, on) for start, length in mine for at, on in ((start, True), (start + length, False)) if T0 + at < ENDED
        )
        for mine in (seen, short)
    ]
    gauge = listed("kernel", "a-cpu", ("0.1",), *((at, ("0.9" if on else "0.1",)) for at, on in changes[0]))
    servers = listed("entry", "servers", TENANTS, *((at, (B, C) if on else TENANTS) for at, on in changes[1]))
    one = fault(until=undone, **({"healed": 0.0, "heal_began": 0.0} if broke else {}))
    back = None if recovered is None or broke else T0 + undone + recovered
    of = trial(gauge, servers, requests=rows, faults=(one,), recovered=back, broke="gone" if broke else "")
    told = incident(of, scenario())
    known = [phase.at for phase in told.phases if phase.at is not None]
    assert known == sorted(known)
    assert all(one.sent <= at <= of.ended for at in known)
    assert (told.phases == ()) == (not any(phase.signs for phase in told.phases))
    for phase in told.phases[:3]:
        assert all(phase.at is not None and phase.at <= sign.start for sign in phase.signs)
    assert as_text(status_report(of, scenario(), judge(of, scenario())))


def test_a_stored_run_is_told_by_the_command(tmp_path: Path) -> None:
    """A run that was killed is told from its record, without Docker; what is asked for and is not there is said."""
    folder = tmp_path / "run"
    store = RunStore.create(folder, [(Path("mail.yaml"), GOOD)])
    of = trial(RUNAWAY, requests=failing(arrivals(), 1, 23, A))
    for look in of.looks:
        store.look(of.lane, look)
    for request in of.requests:
        store.request(of.lane, request)
    store.trial(of)
    store.abandon()
    runner = CliRunner()
    done = runner.invoke(cli, ["report", str(folder), "--status"])
    assert done.exit_code == 0, done.output
    assert done.output == as_text(status_report(of, scenario(), judge(of, scenario()), "the only one"))
    marked = runner.invoke(cli, ["report", str(folder), "--status", "--markdown", "--trial", "0"])
    assert marked.output.startswith("## Status report: infinite-loop, fixed")
    assert not (folder / "report.html").exists()
    for words, code in ((["--status", "--trial", "7"], 2), (["--trial", "0"], 2), ([], 2)):
        assert runner.invoke(cli, ["report", str(folder), *words]).exit_code == code


def test_what_a_release_ends_itself_is_no_sign_of_it() -> None:
    """While it is installed what ran before ends; only what ends from its effect on shows that it is bad."""
    old = end(-0.05, by="watchdog", who="release outside of the topology", pid=6)
    of = trial(listed("kernel", "ends", (), (0.1, (old,)), (3.1, (old, end(3, pid=7)))))
    assert "1 process of server-1/tenant-a ended by force: 1 by a guard" in text(of)
