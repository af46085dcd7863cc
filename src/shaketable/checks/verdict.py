"""Trials to verdicts: cells, variants, campaigns, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from shaketable.checks.statistics import clean_trials_needed, interval
from shaketable.model.errors import Exit
from shaketable.model.result import Build, Cell, Counts, Result, ScenarioResult, Trial, Verdict
from shaketable.model.scenario import Expected, FailsAtLeast, Scenario, Variant

MAX_INVALID = 0.05
"""Share of invalid trials above which nothing passes."""
_ORDER: tuple[Verdict, ...] = ("pass", "inconclusive", "fail")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Pass < inconclusive < fail; nothing at all is inconclusive."""
    return max(verdicts, key=_ORDER.index, default="inconclusive")


def counts(trials: Sequence[Trial]) -> Counts:
    """How trials came out."""
    invalid = sum(t.outcome == "invalid" for t in trials)
    return Counts(valid=len(trials) - invalid, failed=sum(t.outcome == "fail" for t in trials), invalid=invalid)


def verdict_of(c: Counts) -> Verdict:
    """Fail if any valid trial failed; pass if none did, at least one was valid and at most 5 % were not."""
    if c.failed:
        return "fail"
    if not c.valid or c.invalid > MAX_INVALID * (c.valid + c.invalid):
        return "inconclusive"
    return "pass"


def _as_expected(expected: Expected | FailsAtLeast, c: Counts, verdict: Verdict) -> bool:
    """Compare a cell with what was expected of it.

    A share that is to fail is held against the share that did; with fewer trials than could exclude the least share
    (14 for 20 %), one failure is enough and all may fail.
    """
    if isinstance(expected, FailsAtLeast):
        if expected.fails_at_least and c.valid < clean_trials_needed(expected.fails_at_least):
            return c.failed > 0
        return bool(c.valid) and expected.fails_at_least <= c.failed / c.valid <= expected.fails_at_most
    return verdict != "inconclusive" if expected == "any" else verdict == expected


def _word(expected: Expected | FailsAtLeast) -> str:
    if not isinstance(expected, FailsAtLeast):
        return expected
    most = f" to {expected.fails_at_most * 100:g} %" if expected.fails_at_most < 1 else " or more"
    return f"fails {expected.fails_at_least * 100:g}{most if most.startswith(' to') else ' %' + most}"


def expected_of(variant: Variant, axis: Mapping[str, str]) -> Expected | FailsAtLeast:
    """What a cell is expected to give: as named, `any` where only some are, else the variant's own expectation."""
    if not variant.cells:
        return variant.expect if variant.expect == "pass" or not axis else "any"
    return variant.cells.get(next(iter(axis.values()), ""), "any")


def scenario_result(
    scenario: Scenario, variant: str, trials: Sequence[Trial], build: Build | None = None
) -> ScenarioResult:
    """Cells and verdict of one variant; trials in order of their index."""
    described = scenario.variants[variant]
    by_cell: dict[tuple[tuple[str, str], ...], list[Trial]] = {}
    for trial in trials:
        by_cell.setdefault(tuple(trial.axis.items()), []).append(trial)
    places = {value: n for values in scenario.axes.values() for n, value in enumerate(values)}
    cells = []
    for axis, its in sorted(by_cell.items(), key=lambda item: [places.get(v, 0) for _, v in item[0]]):
        c, expected = counts(its), expected_of(described, dict(axis))
        verdict = verdict_of(c)
        cells.append(
            Cell(
                axis=dict(axis),
                expected=_word(expected),
                verdict=verdict,
                as_expected=_as_expected(expected, c, verdict),
                trials=c,
                failure_rate=round(c.failed / c.valid, 4) if c.valid else None,
                interval95=interval(c.failed, c.valid),
            )
        )
    verdict = worst(cell.verdict for cell in cells)
    return ScenarioResult(
        name=scenario.name,
        variant=variant,
        expected=described.expect,
        verdict=verdict,
        as_expected=verdict == described.expect and all(cell.as_expected for cell in cells),
        cells=tuple(cells),
        trials=tuple(trials),
        compression=scenario.compression,
        build=build,
    )


def campaign_verdict(results: Iterable[ScenarioResult]) -> Verdict:
    """The worst verdict of all variants."""
    return worst(r.verdict for r in results)


def exit_code(result: Result) -> Exit:
    """Residue before all, then interruption; `prove` asks whether every variant was as expected, the rest for the verdict."""
    if result.residue:
        return Exit.RESIDUE
    if result.interrupted:
        return Exit.INTERRUPTED
    if result.problems:
        return Exit.INCONCLUSIVE
    if result.proved is None:
        return {"pass": Exit.PASS, "fail": Exit.FAIL, "inconclusive": Exit.INCONCLUSIVE}[result.verdict]
    if result.proved:
        return Exit.PASS
    unsure = any(cell.verdict == "inconclusive" for part in result.scenarios for cell in part.cells)
    return Exit.INCONCLUSIVE if unsure else Exit.FAIL
