"""From trials to verdicts and exit codes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from histories import history, scenario
from hypothesis import given
from hypothesis import strategies as st
from sample_result import sample

from shaketable.checks.judge import judge
from shaketable.checks.verdict import exit_code, scenario_result, verdict_of, worst
from shaketable.model.errors import Exit
from shaketable.model.result import Counts, Residue, Trial

MODES = ("stop", "kill", "freeze", "power-off", "cut")
verdicts = st.sampled_from(["pass", "inconclusive", "fail"])


def trials(outcomes: dict[str, Sequence[str]]) -> list[Trial]:
    """Trials by mode with these outcomes."""
    flawless = judge(history(), scenario())
    return [
        flawless.model_copy(update={"index": n, "axis": {"mode": mode}, "outcome": outcome})
        for mode, several in outcomes.items()
        for n, outcome in enumerate(several)
    ]


@pytest.mark.parametrize(
    ("valid", "failed", "invalid", "verdict"),
    [
        (20, 0, 0, "pass"),
        (20, 1, 0, "fail"),
        (19, 0, 1, "pass"),
        (18, 0, 2, "inconclusive"),
        (0, 0, 5, "inconclusive"),
        (0, 0, 0, "inconclusive"),
        (1, 1, 19, "fail"),
    ],
)
def test_verdict_of_a_cell(valid: int, failed: int, invalid: int, verdict: str) -> None:
    """A failure is a failure; a pass needs valid trials, and at most 5 % that are not."""
    assert verdict_of(Counts(valid=valid, failed=failed, invalid=invalid)) == verdict


@given(st.lists(verdicts), st.lists(verdicts))
def test_verdicts_combine_as_a_lattice(left: list[str], right: list[str]) -> None:
    """Order and grouping do not matter, and more evidence never makes a verdict better."""
    assert worst([*left, *right]) == worst([*right, *left])
    if left and right:
        assert worst([worst(left), worst(right)]) == worst([*left, *right])


def test_the_incident_is_as_expected_when_its_cells_are() -> None:
    """Stop and kill pass, power-off fails in some trials but not in all."""
    good = {mode: ["pass"] * 20 for mode in MODES} | {"power-off": ["fail"] * 12 + ["pass"] * 8}
    assert scenario_result(scenario(), "incident", trials(good)).as_expected
    for wrong in ({"kill": ["fail"] + ["pass"] * 19}, {"power-off": ["fail"] * 20}, {"power-off": ["pass"] * 20}):
        assert not scenario_result(scenario(), "incident", trials(good | wrong)).as_expected


@pytest.mark.parametrize(
    ("failed", "passed", "expected"),
    [(3, 0, True), (1, 4, True), (0, 5, False), (3, 17, False), (4, 16, True), (19, 1, True), (20, 0, False)],
)
def test_a_share_that_is_to_fail(failed: int, passed: int, expected: bool) -> None:
    """20 to 95 % are asked for; where 20 % could not be excluded yet (fewer than 14 trials) one failure is enough."""
    outcomes = {mode: ["pass"] * 20 for mode in MODES} | {"power-off": ["fail"] * failed + ["pass"] * passed}
    cell = scenario_result(scenario(), "incident", trials(outcomes)).cells[MODES.index("power-off")]
    assert cell.as_expected == expected


def test_one_failure_of_the_corrected_system_is_not_as_expected() -> None:
    """`fixed` must pass in every cell."""
    good = {mode: ["pass"] * 20 for mode in MODES}
    assert scenario_result(scenario(), "fixed", trials(good)).as_expected
    assert not scenario_result(scenario(), "fixed", trials(good | {"cut": ["pass"] * 19 + ["fail"]})).as_expected


def test_the_cells_stand_in_the_scenarios_order() -> None:
    """The matrix has the axis values as the scenario lists them, whatever order the trials ended in."""
    outcomes = {mode: ["pass"] for mode in reversed(MODES)}
    cells = scenario_result(scenario(), "fixed", trials(outcomes)).cells
    assert [cell.axis["mode"] for cell in cells] == list(MODES)


def test_exit_codes() -> None:
    """Residue before all, then interruption, then what broke off; `prove` asks whether all was as expected."""
    run = sample().model_copy(update={"proved": None, "residue": (), "problems": (), "interrupted": False})
    assert exit_code(run.model_copy(update={"verdict": "pass"})) == Exit.PASS
    assert exit_code(run.model_copy(update={"verdict": "fail"})) == Exit.FAIL
    assert exit_code(run.model_copy(update={"verdict": "inconclusive"})) == Exit.INCONCLUSIVE
    assert exit_code(run.model_copy(update={"verdict": "fail", "proved": True})) == Exit.PASS
    assert (
        exit_code(run.model_copy(update={"verdict": "pass", "problems": ("the engine is gone",)})) == Exit.INCONCLUSIVE
    )
    assert exit_code(run.model_copy(update={"verdict": "pass", "interrupted": True})) == Exit.INTERRUPTED
    left = Residue(what="container", where="x", hint="shaketable heal")
    assert (
        exit_code(run.model_copy(update={"verdict": "pass", "residue": (left,), "interrupted": True})) == Exit.RESIDUE
    )
