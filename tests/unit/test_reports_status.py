"""The status-page view: what it says of functions, containers, alerts and gauges is what was recorded, no more."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import histories as backoffice
import pytest
from report_inbox_sample import history, scenario

from shaketable.checks.functions import Function, Level, Spell, functions
from shaketable.model.claims import Alerted, Ceiling, Quiet, WarnsEarly
from shaketable.model.history import Look, Request, TrialHistory
from shaketable.reports.cohorts import CohortRow, compared
from shaketable.reports.html_axis import Scale
from shaketable.reports.html_status import FAILING, SLOW, status
from shaketable.reports.html_strip import strip
from shaketable.reports.html_timeline import timeline, to_script
from shaketable.reports.status import Absence, Alert, alerts, gauges, host_runs
from shaketable.reports.status_words import Line, function_words, lines

INCIDENT, FIXED = history("incident", "engine-upgrade", 0), history("fixed", "engine-upgrade", 0)
T0 = INCIDENT.faults[0].injected
LEVEL = Level(40, 0.02, 0.03)


def degraded(*spells: tuple[float, float], failed: int = 43, arrivals: int = 96, worst: float = 5.0) -> Function:
    """A function that was degraded in these stretches, seconds since the incident's fault."""
    found = tuple(Spell(T0 + start, T0 + end, failed, arrivals, worst) for start, end in spells)
    return Function("refresh", 400, 45, LEVEL, found)


def with_looks(
    before: TrialHistory, name: str, *looks: tuple[float, tuple[str, ...] | None], holder: str
) -> TrialHistory:
    """The history with one list of one holder as given, at seconds since the fault."""
    others = [look for look in before.looks if look.list != name]
    new = [Look(T0 + at, holder, name, entries) for at, entries in looks]
    return replace(before, looks=tuple(sorted([*others, *new], key=lambda look: look.at)))


def told(trial: TrialHistory) -> dict[str, Line]:
    """The sentences of a trial by what they are about."""
    return {line.name: line for line in lines(trial, scenario(), functions(trial))}


def test_a_function_is_told_in_the_words_of_a_status_page() -> None:
    """Since when, until when, how many failed, how slow it was, and when it recovered in relation to heal."""
    healed = INCIDENT.healed - T0
    words = function_words(degraded((1.2, healed + 2)), INCIDENT)
    until = f"{healed + 2:.1f} s after the fault"
    assert words == (
        f"degraded from 1.2 s to {until}: 43 of 96 failed (44.8 %), the slowest took 5 s; recovered 2 s after heal"
    )


@pytest.mark.parametrize(
    ("spells", "said"),
    [
        ([(0.0, 3.0)], "degraded for 3 s from the fault on: "),
        ([(0.0, 3.0)], "recovered by itself, before heal"),
        ([(-4.0, -2.0)], "degraded from 4 s to 2 s before the fault: "),
        ([(-4.0, -2.0)], "recovered before the fault"),
        ([(-1.0, 2.0)], "degraded from 1 s before the fault to 2 s after it: "),
        ([(1.0, 2.0), (4.0, 6.0)], "degraded 2 times, 3 s in all, between 1 s and 6 s after the fault: "),
        ([(1.0, 2.0), (4.0, 6.0)], "86 of 192 failed"),
        ([(1.0, 15.1)], "recovered during heal"),
        ([(1.0, INCIDENT.ended - T0)], "had not recovered when the trial ended"),
    ],
)
def test_every_course_of_a_function_has_its_words(spells: list[tuple[float, float]], said: str) -> None:
    """Before, during and after the fault, once or again, with and without an end."""
    assert said in function_words(degraded(*spells), INCIDENT)


def test_slow_is_not_failing() -> None:
    """A function that answers all but its usual share is slow, and said and drawn to be so."""
    slow = degraded((1.0, 3.0), failed=1, arrivals=40, worst=0.8)
    assert "slow, up to 800 ms; 1 of 40 failed (2.5 %)" in function_words(slow, INCIDENT)
    drawn = status(INCIDENT, scenario(), [slow, degraded((1.0, 3.0))], Scale(T0))["functions"]
    assert [row["spells"][0][2] for row in drawn] == [SLOW, FAILING]


def test_fine_says_what_it_rests_on() -> None:
    """A function that was never degraded is fine; failures below the limit and a missing comparison are told."""
    assert function_words(Function("reply", 300, 0, LEVEL, ()), INCIDENT) == "fine throughout"
    assert "fine throughout, though 2 of 300 failed (0.7 %)" in function_words(
        Function("x", 300, 2, LEVEL, ()), INCIDENT
    )
    assert "not used enough" in function_words(Function("reply", 3, 0, None, ()), INCIDENT)


def test_without_a_fault_times_count_from_the_begin() -> None:
    """A trial that broke off before its fault is told too."""
    early = replace(INCIDENT, faults=(), steady=None, recovered=None)
    began = early.began - T0
    words = function_words(degraded((began + 1, began + 3)), early)
    assert words.startswith("degraded from 1 s to 3 s after the trial began: ")
    assert words.endswith("; then recovered")
    assert status(early, scenario(), functions(early), Scale(early.began))["deadline"] is None


def test_the_two_functions_of_the_incident_are_degraded_and_the_others_fine() -> None:
    """The real judgement of the arrivals is what is told and drawn."""
    found = told(INCIDENT)
    assert [name for name in ("history", "log in", "pictures", "refresh", "reply") if found[name].bad] == [
        "refresh",
        "reply",
    ]
    rows = status(INCIDENT, scenario(), functions(INCIDENT), Scale(T0))["functions"]
    assert {row["name"]: bool(row["spells"]) for row in rows}["reply"]
    assert all(row["since"] == round((INCIDENT.began - T0) * 1000) for row in rows)


def test_containers_that_ran_before_are_missed_by_host() -> None:
    """What is absent is told for its host, until it runs again; hosts that lost nothing share one sentence."""
    runs = {run.host: run for run in host_runs(INCIDENT, scenario())}
    assert runs["host-3"].services == ("fetcher", "pictures", "sender", "web")
    assert runs["host-3"].absences[-1].end < INCIDENT.ended
    assert {at > T0 for at, _ in runs["host-3"].starts} == {True}
    assert not runs["host-1"].absences
    assert runs["redis"].services == ("redis",)
    found = told(INCIDENT)
    assert found["host-3"].text.startswith("all 4 containers went down with the fault; all ran again ")
    assert found["containers"].text == "on the other hosts all 18 ran throughout"


def test_containers_that_stay_down_are_told_as_such() -> None:
    """Some came back, some did not: the sentence says which."""
    trial = with_looks(
        INCIDENT,
        "running",
        (-8, ("host-3/web", "host-3/sender")),
        (2, ()),
        (4, None),
        (6, ("host-3/web",)),
        holder="engines",
    )
    assert host_runs(trial, scenario())[0].absences == (
        Absence(T0 + 2, T0 + 6, ("sender", "web")),
        Absence(T0 + 6, trial.ended, ("sender",)),
    )
    said = told(trial)["host-3"].text
    assert said == "all 2 containers went down 2 s after the fault; sender was still down when the trial ended"


def test_an_alert_that_nobody_got_is_told() -> None:
    """Where an alarm is asked for, its absence is a finding of the page; where it came, it is told when."""
    assert told(INCIDENT)["alerts"] == Line("alerts", "none was delivered", bad=True, mark="!")
    line = told(FIXED)["alerts"]
    assert not line.bad
    assert re.fullmatch(r"“ContainersDown host-3” came \S+ s after the fault, cleared \S+ s after the fault", line.text)


def test_an_alert_before_the_fault_is_a_false_alarm() -> None:
    """It fired while nothing was wrong, and is marked in words and in the drawing."""
    trial = with_looks(INCIDENT, "alerts", (-8, ()), (-2, ("Slow",)), (-1, ()), (3, ("Slow",)), holder="pager")
    (found,) = alerts(trial, scenario())
    spans = ((T0 - 2, T0 - 1), (T0 + 3, trial.ended))
    assert found.alerts == (Alert("Slow", spans, early=True, asked=False),)
    line = told(trial)["alerts"]
    assert line.bad
    assert "came 2 s before the fault, a false alarm, 2 times in all, still firing when the trial ended" in line.text
    assert line.text.endswith("; none of them is the one that was asked for")
    lane = status(trial, scenario(), (), Scale(T0))["alerts"][0]
    assert lane["rows"] == [
        {"text": "Slow", "early": True, "spans": [(-2000, -1000), (3000, round((trial.ended - T0) * 1000))]}
    ]
    assert lane["deadline"] == (10000, "limit 10 s")


def test_an_alert_left_over_from_before_steady_state_is_no_false_alarm() -> None:
    """What was wrong before the system was steady may still be told then; it is over before the fault."""
    trial = with_looks(INCIDENT, "alerts", (-8, ("old",)), (-4.9, ()), (3, ("Down host-3",)), holder="pager")
    (found,) = alerts(trial, scenario())
    assert [(alert.text, alert.early, alert.asked) for alert in found.alerts] == [
        ("old", False, False),
        ("Down host-3", False, True),
    ]
    assert not told(trial)["alerts"].bad


def test_lists_are_alerts_only_where_an_expectation_says_so() -> None:
    """The same list is a holder's list to others, and drawn in one place only."""
    drawn = timeline(FIXED, scenario(), functions(FIXED), 100)
    assert [lane["holder"] for lane in drawn["lanes"]] == ["haproxy"]
    without = tuple(e for e in scenario().expectations if not isinstance(e, Alerted | Quiet))
    plain = timeline(FIXED, scenario().model_copy(update={"expectations": without}), (), 100)
    assert [lane["holder"] for lane in plain["lanes"]] == ["haproxy", "pager"]
    assert plain["status"]["alerts"] == []


def test_a_gauge_is_told_with_its_peak_and_its_return() -> None:
    """How high, when, and when it was back for good at what steady state asks."""
    trial = with_looks(
        INCIDENT,
        "backlog",
        (-8, ("2",)),
        (1, ("1204",)),
        (5, ("4",)),
        (6, ("30",)),
        (7, None),
        (8, ("5",)),
        holder="queue",
    )
    (gauge,) = gauges(trial, scenario())
    assert gauge.values == (2.0, 1204.0, 4.0, 30.0, None, 5.0)
    assert told(trial)["backlog"].text == (
        "rose to 1,204, 1 s after the fault; back for good at 5 or less 8 s after the fault"
    )
    lane = status(trial, scenario(), (), Scale(T0))["gauges"][0]
    assert lane["value"][3:] == [30.0, None, 5.0]
    assert lane["limit"] == 5


def test_many_points_of_a_gauge_keep_their_peaks() -> None:
    """Thinning never hides the highest value, nor that it could not be read."""
    points = [(n / 100, (str(n % 7),)) for n in range(-500, 1500)]
    trial = with_looks(INCIDENT, "backlog", *points, (15, ("999",)), (15.01, None), (15.5, ("1",)), holder="queue")
    lane = status(trial, scenario(), (), Scale(T0))["gauges"][0]
    assert len(lane["at"]) < 400
    assert lane["at"] == sorted(lane["at"])
    assert 999 in lane["value"]
    assert None in lane["value"]
    assert lane["value"][-1] == 1


def test_degraded_functions_are_the_last_to_be_left_out() -> None:
    """However many names the requests have, the drawing is bounded and shows what was wrong."""
    many = [Function(f"page {n}", 10, 0, LEVEL, ()) for n in range(90)] + [degraded((1.0, 2.0))]
    drawn = status(INCIDENT, scenario(), many, Scale(T0))
    assert len(drawn["functions"]) + drawn["hidden"] == 91
    assert drawn["functions"][-1]["name"] == "refresh"
    assert [row.name for row in strip(INCIDENT, many).rows][-1] == "refresh"
    assert strip(INCIDENT, many).title == "degraded: refresh"


def test_cohorts_are_counted_in_the_window_that_is_judged() -> None:
    """Arrivals before the fault do not dilute a cohort; the worst is first, and all of them are its last row."""

    def asked(at: float, cohort: str, *, ok: bool) -> Request:
        return Request(T0 + at, T0 + at, T0 + at + 0.1, "refresh", ok, 200 if ok else 500, "", "", (), "", cohort)

    trial = replace(
        INCIDENT,
        requests=(
            asked(-1, "app=2.0,plan=free", ok=True),
            *(asked(n / 10, "app=2.0,plan=free", ok=n > 5) for n in range(1, 11)),
            *(asked(n / 10, "app=1.9,plan=free", ok=True) for n in range(1, 31)),
            asked(3, "", ok=True),
        ),
    )
    (found,) = compared(trial, scenario())
    assert found.cohorts == (
        CohortRow("2.0, free", 10, 5),
        CohortRow("1.9, free", 30, 0),
        CohortRow("of no cohort", 1, 0),
    )
    assert (found.all, found.all.percent) == (CohortRow("all", 41, 5), "12.2 %")


def test_no_name_ends_the_script_it_is_in() -> None:
    """Names of functions, hosts, alerts and gauges come from outside; in the page they are data."""
    nasty = "</script><b>\u2028"
    trial = with_looks(INCIDENT, "alerts", (-8, ()), (3, (nasty,)), holder="pager")
    trial = replace(trial, requests=[replace(r, name=nasty) for r in trial.requests])
    trial = with_looks(trial, "running", (-8, (f"{nasty}/{nasty}",)), (1, ()), holder="engines")
    script = to_script(timeline(trial, scenario(), functions(trial), 200))
    assert "<" not in script
    assert "\u2028" not in script
    assert json.loads(script)["status"]["functions"][0]["name"].startswith("</script><b>")


def test_every_trial_has_a_status_view() -> None:
    """A scenario without containers, alerts or gauges shows its functions, and nothing is empty but what is not there."""
    trial = backoffice.history()
    drawn = status(trial, backoffice.scenario(), functions(trial), Scale(backoffice.INJECTED))
    assert [row["name"] for row in drawn["functions"]] == ["overview"]
    assert (drawn["hosts"], drawn["alerts"], drawn["gauges"]) == (None, [], [])
    assert [line.text for line in lines(trial, backoffice.scenario(), functions(trial))] == ["fine throughout"]


def test_a_gauge_shows_the_limit_that_is_claimed_of_it() -> None:
    """A ceiling goes before where it warns, and both before what steady state asks; the words say which it is."""
    trial = with_looks(INCIDENT, "backlog", (-8, ("2",)), (1, ("9",)), holder="queue")
    warns = WarnsEarly(kind="warns-early", id="w", gauge="backlog", above=6)
    low = Ceiling(kind="ceiling", id="c", gauge="backlog", at_most=8)
    other = Ceiling(kind="ceiling", id="o", gauge="other", at_most=1)
    for claims, limit, asked in (
        ((other,), 5, "when steady"),
        ((warns,), 6, "warns above"),
        ((warns, low), 8, "at most"),
    ):
        asking = scenario().model_copy(update={"expectations": (*scenario().expectations, *claims)})
        lane = status(trial, asking, (), Scale(T0))["gauges"][0]
        assert (lane["limit"], lane["asked"]) == (limit, asked)
