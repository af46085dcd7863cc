"""The loader's rules about gauges of claims, error budgets, control windows and lists of who waits."""

from __future__ import annotations

import pytest
from inbox_histories import GOOD

from shaketable.model.claims import (
    Bystanders,
    Ceiling,
    ExactlyOnce,
    Growth,
    NoLeak,
    NotBlocked,
    Returns,
    Slo,
    WarnsEarly,
)
from shaketable.model.errors import ScenarioError
from shaketable.run.loader import parse_scenario

HEAD = GOOD[: GOOD.index("expectations:")]
DATABASE = "    shared: {kind: database, instance: shared, lists: {waits: waits, ledger: SELECT entry FROM ledger}}\n"
BLOCKED = (
    HEAD.replace("    registry:", f"{DATABASE}    registry:")
    + """expectations:
  - {id: free, kind: not-blocked, list: waits, longest: 2s}
"""
)
CLAIMS = """expectations:
  - {id: low, kind: ceiling, gauge: backlog, at_most: 8, longest: 2s}
  - {id: still, kind: growth, gauge: backlog, at_most: 0}
  - {id: back, kind: returns, gauge: backlog, within: 30s, since: fault, margin: 1}
  - {id: early, kind: warns-early, gauge: backlog, above: 8, lead: 1s}
  - {id: level, kind: slo, objective: 99 %, at_most: 500ms, budget: 2, requests: [refresh], cohort: {plan: paid}}
  - {id: others, kind: bystanders, at_most: 2 %, control: 300ms, cohort: {plan: free}}
"""
TEXT = HEAD + CLAIMS
FIRST = HEAD.count("\n") + 2
"""The line of the first claim."""


def problems(old: str, new: str, text: str = TEXT) -> list[str]:
    """All problems with some text replaced where it first occurs, without the name of the file."""
    assert old in text
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text.replace(old, new, 1), file="f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def test_all_of_them_load() -> None:
    """With their units read."""
    low, still, back, early, level, others = parse_scenario(TEXT, file="f").expectations
    assert isinstance(low, Ceiling)
    assert (low.gauge, low.at_most, low.longest) == ("backlog", 8.0, 2.0)
    assert isinstance(still, Growth)
    assert isinstance(back, Returns)
    assert (back.within, back.since, back.margin) == (30.0, "fault", 1.0)
    assert isinstance(early, WarnsEarly)
    assert isinstance(level, Slo)
    assert (level.objective, level.at_most, level.budget) == (pytest.approx(0.99), 0.5, 2.0)
    assert isinstance(others, Bystanders)
    assert (others.at_most, others.times, others.slower, others.control) == (pytest.approx(0.02), 2.0, 0.25, 0.3)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "ceiling, gauge: backlog",
            "ceiling, gauge: baklog",
            f"{FIRST}:37: expectations[low].gauge: no holder has a gauge 'baklog'; did you mean 'backlog'?",
        ),
        ("growth, gauge: backlog", "growth, gauge: running", "expectations[still].gauge: no holder has a gauge"),
        ("returns, gauge: backlog", "returns, gauge: x", "no holder has a gauge 'x'; possible here: backlog"),
        ("returns, gauge: backlog, ", "returns, ", "expectations[back]: the key 'gauge' is missing"),
        (
            "within: 30s, since: fault",
            "within: 40s, since: fault",
            "expectations[back].within: 40 s is not less than the 40 s that the fault lasts, so this could not be",
        ),
        ("margin: 1", "margin: -1", "expectations[back].margin: must be greater than or equal to 0"),
        ("objective: 99 %", "objective: 100 %", "expectations[level].objective: must be less than 1"),
        ("objective: 99 %", "objective: 0 %", "expectations[level].objective: must be more than 0"),
        ("budget: 2", "budget: 0", "expectations[level].budget: must be more than 0"),
        (
            "budget: 2",
            "budget: 100",
            "expectations[level].budget: even if all fail, 100 budgets are burnt with an objective of 99 %, so this could",
        ),
        (
            "objective: 99 %, at_most: 500ms, budget: 2",
            "at_most: 500ms, objective: 50 %, budget: 2",
            "even if all fail, 2 budgets are burnt with an objective of 50 %",
        ),
        (
            "control: 300ms",
            "control: 2s",
            "asked for, and the first fault comes after 300 ms; let steady.hold be 2 s",
        ),
        (", control: 300ms", "", "expectations[others].control: 2 s of steady state are asked for"),
        (
            "control: 300ms",
            "control: 300ms, times: 0.5",
            "expectations[others].times: must be greater than or equal to 1",
        ),
        ("plan: free", '"a=b": free', "'a=b' is not a key or value of a cohort"),
    ],
)
def test_one_mistake_is_one_problem(old: str, new: str, expected: str) -> None:
    """A mistake is told once, at its place."""
    found = problems(old, new)
    assert len(found) == 1, found
    assert expected in found[0]


def test_the_control_window_is_what_steady_state_and_the_wait_for_the_fault_make() -> None:
    """The shortest wait that the seed can draw counts."""
    asked = TEXT.replace("control: 300ms", "control: 2s")
    later = asked.replace("lasts: 40s}", "after: 1700ms..3s, lasts: 40s}")
    assert parse_scenario(later, file="f").expectations
    assert parse_scenario(asked.replace("steady:\n", "steady:\n  hold: 2s\n"), file="f").expectations
    with pytest.raises(ScenarioError):
        parse_scenario(asked.replace("lasts: 40s}", "after: 1s..3s, lasts: 40s}"), file="f")


def test_what_returns_after_heal_has_all_the_time() -> None:
    """Only what is judged while the fault lasts must be due before heal."""
    assert parse_scenario(TEXT.replace("within: 30s, since: fault", "within: 300s"), file="f").expectations


def test_who_may_not_be_blocked_is_on_a_list_of_who_waits() -> None:
    """Of a database; any other list says nothing of locks."""
    (free,) = parse_scenario(BLOCKED, file="f").expectations
    assert isinstance(free, NotBlocked)
    for name in ("ledger", "running"):
        (found,) = problems("list: waits", f"list: {name}", BLOCKED)
        assert f"{name!r} is not a list 'waits' of a holder of the kind database; possible here: waits" in found
    (found,) = problems("list: waits", "list: wait", BLOCKED)
    assert "no holder has a list 'wait'; did you mean 'waits'?" in found


class TestArrivalsAndLeaks:
    """Claims about what arrives somewhere else, and about what grows."""

    TEXT = (
        HEAD
        + """expectations:
  - {id: once, kind: exactly-once, list: notices, within: 5s, in_order: [server, tenant], out_of_order_at_most: 1}
  - {id: level, kind: no-leak, gauge: backlog, at_most: 0.01, cycle: 8s, full: 50}
"""
    )

    def test_both_load(self) -> None:
        """With their units read; five cycles are just as long as the fault."""
        once, level = parse_scenario(self.TEXT, file="f").expectations
        assert isinstance(once, ExactlyOnce)
        assert (once.within, once.in_order, once.lost_at_most) == (5.0, ("server", "tenant"), 0)
        assert isinstance(level, NoLeak)
        assert (level.at_most, level.cycle, level.full) == (0.01, 8.0, 50.0)

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("list: notices", "list: notice", "expectations[once].list: no holder has a list 'notice'; did you mean"),
            ("gauge: backlog", "gauge: backlogs", "expectations[level].gauge: no holder has a gauge 'backlogs'; did"),
            ("[server, tenant]", "[server, server]", "expectations[once].in_order: 'server' is here twice"),
            (
                "in_order: [server, tenant], ",
                "",
                "expectations[once].out_of_order_at_most: no order is asked for; name the cohorts that have one",
            ),
            (
                "cycle: 8s",
                "cycle: 8100ms",
                f"{FIRST + 1}:70: expectations[level].cycle: 5 cycles of 8.1 s are more than the 40 s that the fault lasts",
            ),
            ("cycle: 8s", "cycle: 0s", "expectations[level].cycle: must be more than 0"),
        ],
    )
    def test_one_mistake_is_one_problem(self, old: str, new: str, expected: str) -> None:
        """At its place."""
        found = problems(old, new, self.TEXT)
        assert len(found) == 1, found
        assert expected in found[0]

    def test_without_a_cycle_a_short_fault_is_told_at_the_claim(self) -> None:
        """A cycle is a second unless told."""
        text = self.TEXT.replace("lasts: 40s", "lasts: 4900ms")
        (found,) = problems(", cycle: 8s", "", text)
        assert f"{FIRST + 1}:23: expectations[level].cycle: 5 cycles of 1 s are more than the 4.9 s" in found
