"""Availability and latency of some arrivals only: by the names of their requests, and by who asked."""

from __future__ import annotations

from typing import Any

import pytest
from inbox_histories import ENDED, INJECTED, arrivals, failed, found, slowed, trial

from shaketable.model.claims import Availability, Latency
from shaketable.model.result import Finding

PAID, FREE = "app=2.0,plan=paid", "app=2.0,plan=free"
ROWS = [
    *arrivals("refresh", INJECTED, ENDED, cohort=PAID),
    *slowed(failed(arrivals("refresh", INJECTED, ENDED, cohort=FREE), 0, 20), 0, 40, 2.0),
    *slowed(arrivals("reply", INJECTED, ENDED, cohort=PAID), 0, 40, 3.0),
]
OF = trial(requests=ROWS, recovered=ENDED)


def available(**described: Any) -> Finding:
    """The finding about availability."""
    plain = {"kind": "availability", "id": "a", "at_least": 0.99, **described}
    return found(Availability.model_validate(plain), OF)


def fast(**described: Any) -> Finding:
    """The finding about latency."""
    plain = {"kind": "latency", "id": "l", "at_most": 1.0, "quantile": 0.9, **described}
    return found(Latency.model_validate(plain), OF)


def test_all_count_unless_told() -> None:
    """And the sentence is as short as ever."""
    finding = available()
    assert finding.verdict == "fail"
    assert finding.because.startswith("4400 of 4800 arrivals succeeded (91.7%")


@pytest.mark.parametrize(
    ("chosen", "counted", "succeeds", "is_fast"),
    [
        ({"requests": ["reply"]}, "1600 arrivals of reply ", True, False),
        ({"cohort": {"plan": "free"}}, "1600 arrivals by plan=free ", False, False),
        ({"cohort": {"plan": "paid"}}, "3200 arrivals by plan=paid ", True, False),
        (
            {"requests": ["refresh"], "cohort": {"plan": "paid", "app": "2.0"}},
            "1600 arrivals of refresh by app=2.0, plan=paid ",
            True,
            True,
        ),
        ({"requests": ["refresh", "reply"]}, "4800 arrivals of refresh and reply ", False, False),
    ],
)
def test_only_those_that_are_chosen_count(chosen: dict[str, Any], counted: str, succeeds: bool, is_fast: bool) -> None:
    """By name, by cohort, or both; the sentence says whose they are."""
    finding = available(**chosen)
    assert counted in finding.because
    assert (finding.verdict == "pass") == succeeds
    finding = fast(**chosen)
    assert counted in finding.because
    assert (finding.verdict == "pass") == is_fast


@pytest.mark.parametrize(
    ("chosen", "because"),
    [
        ({"requests": ["log in"]}, "no arrival of log in fell into the window"),
        ({"requests": ["refresh", "log in"]}, "no arrival of log in fell into the window"),
        ({"cohort": {"plan": "gold"}}, "no arrival by plan=gold fell into the window"),
        (
            {"requests": ["refresh", "reply"], "cohort": {"plan": "free"}},
            "no arrival of reply by plan=free fell into the window",
        ),
    ],
)
def test_what_nobody_asked_for_is_unknown(chosen: dict[str, Any], because: str) -> None:
    """A name that no arrival has is no success, though others that are named do well."""
    for finding in (available(**chosen), fast(**chosen)):
        assert (finding.verdict, finding.value, finding.because) == ("unknown", None, because)
