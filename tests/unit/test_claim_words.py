"""Every kind of claim can be judged, and is put in words as a person would."""

from __future__ import annotations

import typing

import pytest
from pydantic import TypeAdapter

from shaketable.checks.expectations import CHECKS
from shaketable.model.claims import Audit, Expectation
from shaketable.reports.html_claims import claim

KINDS = {
    typing.get_args(one.model_fields["kind"].annotation)[0] for one in typing.get_args(typing.get_args(Expectation)[0])
}


def test_every_kind_has_its_check() -> None:
    """A claim that nobody judges would pass unseen; the audit, which is about no fault, has its own way."""
    (audit,) = typing.get_args(Audit.model_fields["kind"].annotation)
    assert set(CHECKS) | {audit} == KINDS


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"kind": "ceiling", "gauge": "blocked", "at_most": 5}, "“blocked” is at most 5 after the fault"),
        (
            {"kind": "ceiling", "gauge": "blocked", "at_most": 5, "longest": 2.0},
            "“blocked” is at most 5 after the fault, or above for 2 s at a time",
        ),
        (
            {"kind": "growth", "gauge": "deadlocks", "at_most": 0},
            "“deadlocks” counts no further than 0 more after the fault",
        ),
        (
            {"kind": "returns", "gauge": "orphans", "within": 5.0},
            "“orphans” is back at what it was before any fault after heal, and stays so",
        ),
        (
            {"kind": "returns", "gauge": "orphans", "within": 5.0, "since": "fault", "margin": 2},
            "“orphans” is back at what it was before any fault and 2 after the fault, and stays so",
        ),
        (
            {"kind": "warns-early", "gauge": "cpu", "above": 0.8, "lead": 1.0},
            "“cpu” is above 0.8 1 s before users feel anything, if they do",
        ),
        (
            {"kind": "not-blocked", "list": "waits", "longest": 1.0},
            "nobody waits for another's lock in “waits” for longer than the limit",
        ),
        (
            {"kind": "exactly-once", "list": "mailbox", "within": 5.0, "in_order": ["tenant"]},
            "what was acknowledged arrives in “mailbox” in time, once, and in order for each tenant",
        ),
        (
            {"kind": "no-leak", "gauge": "memory", "at_most": 0.001},
            "what “memory” falls back to in each cycle does not grow by more than 0.001 a second, beyond chance",
        ),
        ({"kind": "slo"}, "no endpoint burns more than its error budget: 99 % succeed"),
        (
            {"kind": "slo", "at_most": 0.5, "budget": 0.5, "requests": ["a", "b"], "cohort": {"pod": "17"}},
            "none of “a” and “b” from pod 17 burns more than 50 % of its error budget: 99 % succeed within 500 ms",
        ),
        ({"kind": "bystanders"}, "every function fares as before the fault up to p95, for it is not downstream of it"),
        (
            {"kind": "bystanders", "requests": ["chat", "ticket"], "cohort": {"pod": "18"}},
            "“chat” and “ticket” from pod 18 fare as before the fault up to p95, for they are not downstream of it",
        ),
        (
            {"kind": "bystanders", "quantile": 0.99},
            "every function fares as before the fault up to p99, for it is not downstream of it",
        ),
        (
            {"kind": "runaway-ends", "gauges": {"cpu": 0.95, "memory": 0.5}, "ends": "ended", "within": 5.0},
            (
                "a runaway, while “cpu” is above 0.95 or “memory” is above 0.5, is over in time, each time, "
                "and ended by guard, limit or watchdog"
            ),
        ),
        (
            {"kind": "spared", "list": "ended"},
            "nobody outside of the fault's targets is killed for want of memory, by “ended”",
        ),
        (
            {"kind": "limits-hold", "list": "limits", "reached": ["cpu"]},
            (
                "the limits of memory, cpu and processes in “limits” are those of the kernel, "
                "and use stays within them, and cpu reached"
            ),
        ),
        (
            {"kind": "rollout-stops", "rolled_back_within": 5.0},
            "a gate stops the release after 1 stage, and it is back within 5 s",
        ),
        (
            {"kind": "soak-catches"},
            "the first stage is looked at for long enough to see what is wrong with the release",
        ),
    ],
    ids=lambda part: str(part["kind"]) if isinstance(part, dict) else "",
)
def test_a_claim_in_words(described: dict[str, object], words: str) -> None:
    """What is claimed, of whom, with the limits that are not shown beside it."""
    assert claim(TypeAdapter(Expectation).validate_python({"id": "x", **described})) == words
