"""The expectation `audit`: read from a scenario, judged before any fault, kept with the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from histories import history, scenario
from sample_result import sample
from test_loader_claims import GOOD, problems
from test_store import recorded

from shaketable.adapters.store import read_histories
from shaketable.checks.expectations import evaluate
from shaketable.model.audit import AuditFinding, AuditRule, Place
from shaketable.model.claims import Audit
from shaketable.run.loader import parse_scenario


def found(rule: AuditRule, service: str = "host-3/web") -> AuditFinding:
    """A finding of this rule."""
    return AuditFinding(rule, service, Place("compose.yaml", 4, 3), f"has something against {rule}", "write it")


EVERYTHING = (found("restart-policy"), found("limits"), found("limits", "db"))


def expectation(**keys: object) -> Audit:
    """An audit as a scenario says it."""
    return Audit.model_validate({"id": "sound", "kind": "audit", **keys})


@pytest.mark.parametrize(
    ("keys", "count", "because"),
    [
        ({}, 3, "host-3/web has something against restart-policy (compose.yaml:4:3); and 2 more"),
        ({"rules": ["limits"]}, 2, "host-3/web has something against limits (compose.yaml:4:3); and 1 more"),
        ({"except": ["limits"]}, 1, "host-3/web has something against restart-policy (compose.yaml:4:3)"),
        ({"rules": ["health-check", "limits"], "except": ["limits"]}, 0, "nothing to object to by health-check"),
    ],
)
def test_only_its_rules_count(keys: dict[str, object], count: int, because: str) -> None:
    """The first finding is named, and how many more there are; the value is their number."""
    judged = evaluate(expectation(**keys), history(audit=EVERYTHING), scenario())
    assert (judged.verdict, judged.value, judged.limit, judged.unit) == (
        "fail" if count else "pass",
        count,
        0.0,
        "findings",
    )
    assert judged.because == because


def test_it_needs_no_fault() -> None:
    """It is about what was there before, so a trial without a fault tells as much."""
    assert evaluate(expectation(), history(audit=(), faults=()), scenario()).verdict == "pass"
    assert evaluate(expectation(), history(audit=EVERYTHING, faults=()), scenario()).verdict == "fail"


def test_what_was_not_audited_is_not_passed() -> None:
    """No pass without proof: an earlier record says nothing of the configuration."""
    assert evaluate(expectation(), history(), scenario()).verdict == "unknown"


def test_findings_are_kept_with_the_run(tmp_path: Path) -> None:
    """What is read back is what was found; a record from before there were audits is still readable."""
    folder = tmp_path / "run"
    recorded(folder, history(audit=EVERYTHING), history(lane=2, audit=()), history(lane=3)).close(sample())
    assert [h.audit for h in read_histories(folder)] == [EVERYTHING, (), None]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    for event in events:
        event["trial"].pop("audit")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert [h.audit for h in read_histories(folder)] == [None, None, None]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("", []),
        ("rules: [restart-policy, limits], except: [limits]", []),
        ("rules: [restart-polcy]", ["did you mean 'restart-policy'?"]),
        ("rules: [limits], except: [health-chek, pined-versions]", ["'health-check'?", "'pinned-versions'?"]),
        ("exept: [limits]", ["unknown key; did you mean 'except'?"]),
        ("rules: limits", ["must be a list"]),
        ("rules: [limits, health-check], except: [health-check, limits]", ["leaves no rule"]),
        ("fault: upgrade", ["unknown key"]),
    ],
)
def test_mistakes_are_named_with_their_place(keys: str, expected: list[str]) -> None:
    """A rule that does not exist is named with the nearest that does, and a claim that nothing can fail is refused."""
    line = GOOD.count("\n") + 1
    text = f"{GOOD}  - {{id: sound, kind: audit{', ' if keys else ''}{keys}}}\n"
    if not expected:
        assert isinstance(parse_scenario(text, file="f").expectations[-1], Audit)
        return
    said = problems(text)
    assert len(said) == len(expected)
    for problem, words in zip(said, expected, strict=True):
        assert problem.startswith(f"{line}:")
        assert words in problem
