"""A trial's times from its expectations: it goes on until each of them can be judged."""

from __future__ import annotations

import pytest
from inbox_histories import GOOD

from shaketable.run.loader import parse_scenario
from shaketable.run.phases import Timing
from shaketable.run.schedule import timing

CLAIMS = GOOD[: GOOD.index("expectations:")]
TWO = CLAIMS.replace("faults:\n", "faults:\n  - {id: first, kind: kill, target: {host: host-1}, lasts: 40s}\n")


def times(claim: str, scenario: str = CLAIMS) -> Timing:
    """The times of a trial with this expectation alone."""
    return timing(parse_scenario(f"{scenario}expectations:\n  - {{id: x, {claim}}}\n", file="f"), [])


@pytest.mark.parametrize(
    ("claim", "tail", "after_heal"),
    [
        ("kind: runs-again, list: running, within: 30s", 30.0, 0.0),
        ("kind: alerted, list: alerts, contains: down, within: 50s", 50.0, 0.0),
        ("kind: functions-recover, within: 20s, since: fault, hold: 3s", 23.0, 0.0),
        ("kind: functions-recover, within: 20s, hold: 3s", 0.0, 23.0),
        ("kind: quiet, list: alerts", 0.0, 0.0),
        ("kind: cohorts-alike, by: [app]", 0.0, 0.0),
        ("kind: returns, gauge: backlog, within: 20s", 0.0, 20.3),
        ("kind: returns, gauge: backlog, within: 20s, since: fault", 20.0, 0.0),
        ("kind: ceiling, gauge: backlog, at_most: 5, longest: 7s", 7.0, 0.0),
        ("kind: growth, gauge: backlog, at_most: 5", 0.0, 0.0),
        ("kind: warns-early, gauge: backlog, above: 5", 0.0, 0.0),
        ("kind: exactly-once, list: notices, within: 12s", 0.0, 12.3),
        ("kind: no-leak, gauge: backlog, at_most: 0", 0.0, 0.0),
        ("kind: slo", 0.0, 0.0),
        ("kind: bystanders, control: 300ms", 0.0, 0.0),
    ],
)
def test_each_kind_holds_the_trial_open_as_long_as_it_must(claim: str, tail: float, after_heal: float) -> None:
    """What is claimed of the time after the fault counts from it, and what is claimed of that after heal from heal."""
    found = times(claim)
    assert (dict(found.tails), found.watch_after_heal) == ({"upgrade": tail}, after_heal)
    assert found.recover_within == 31.0, "steady.within and a little more"


def test_a_claim_counts_from_the_fault_it_is_about() -> None:
    """The first of the scenario, unless it names another."""
    claim = "kind: alerted, list: alerts, contains: down, within: 50s"
    assert times(claim, TWO).tails == {"first": 50.0, "upgrade": 0.0}
    assert times(f"{claim}, fault: upgrade", TWO).tails == {"first": 0.0, "upgrade": 50.0}
