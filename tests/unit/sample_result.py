"""A result as a real campaign leaves it: two variants, five modes, twenty trials each."""

from __future__ import annotations

from math import comb

from shaketable.model.draw import between, draw, pick
from shaketable.model.result import (
    Cell,
    Counts,
    EngineFacts,
    FaultOutcome,
    Finding,
    Outcome,
    Result,
    ScenarioResult,
    Trial,
    Watch,
)

MODES = ("stop", "kill", "freeze", "power-off", "cut")
SILENT = ("freeze", "power-off", "cut")
TRIALS = 20


def interval95(failed: int, valid: int) -> tuple[float, float]:
    """Compute the exact (Clopper-Pearson) interval by bisection."""

    def at_most(k: int, p: float) -> float:
        return sum(comb(valid, i) * p**i * (1 - p) ** (valid - i) for i in range(k + 1))

    def solve(k: int, wanted: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if at_most(k, middle) > wanted else (low, middle)
        return low

    return (solve(failed - 1, 0.975) if failed else 0.0, solve(failed, 0.025) if failed < valid else 1.0)


def trial(variant: str, mode: str, index: int) -> Trial:
    """Make one trial: the incident leaves an entry behind in some silent crashes; one in forty is invalid."""
    name = (variant, mode, index)
    host, service = f"host-{1 + int(draw(7, *name, 'host') * 3)}", pick(7, [*name, "service"], ["billing", "orders"])
    failed = variant == "incident" and mode in SILENT and draw(7, *name, "fails") < 0.5
    invalid = draw(7, *name, "invalid") < 0.025
    left = round(between(7, [*name, "left"], 3.4, 4.0), 3)
    holder = pick(7, [*name, "holder"], ["back-office-1", "back-office-2"])
    detection = round(between(7, [*name, "detection"], 1.05, 1.6) if mode in SILENT else 0.04, 3)
    outcome: Outcome = "invalid" if invalid else "fail" if failed else "pass"
    findings = (
        Finding(
            id="services-leave",
            kind="leaves",
            verdict="fail" if failed else "pass",
            value=left if failed else detection,
            limit=3.0,
            unit="s",
            because=f"{holder} still listed {host}/{service} {left} s after the crash (limit 3 s)" if failed else "",
        ),
        Finding(
            id="pages-fast",
            kind="latency",
            verdict="fail" if failed and index % 2 else "pass",
            value=0.61 if failed else 0.08,
            limit=0.3,
            unit="s",
            because=f"p99 was {600 + index} ms (limit 300 ms)" if failed else "",
        ),
    )
    return Trial(
        index=index,
        lane=index % 2,
        outcome=outcome,
        axis={"mode": mode},
        seed=f"7/crashed-host/{mode}/{index}",
        seconds=7.5,
        invalid_because=("the observer of haproxy was not looking for 0.41 s (limit 250 ms)",) if invalid else (),
        arrivals=150,
        detection_s=None if failed else detection,
        recovery_s=round(between(7, [*name, "recovery"], 0.3, 1.4), 3),
        faults=(
            FaultOutcome(
                id="crash",
                kind=mode,
                targets=(host,),
                effective=not invalid,
                sent_s=0.7,
                injected_s=0.702,
                witnessed_s=0.71,
                healed_s=4.8,
                skew_s=0.001,
                clean=True,
                claim="new connections get no answer",
                seen="new connections get no answer",
            ),
        ),
        expectations=findings,
        watch=(Watch(holder="registry", looks=1500, max_gap_s=0.0081),),
    )


def cell(mode: str, trials: list[Trial], expected: str) -> Cell:
    """Count the trials of one mode."""
    valid = sum(one.outcome != "invalid" for one in trials)
    failed = sum(one.outcome == "fail" for one in trials)
    good = failed == 0 if expected == "pass" else 0.2 <= failed / valid <= 0.95 if "%" in expected else True
    return Cell(
        axis={"mode": mode},
        expected=expected,
        verdict="fail" if failed else "pass",
        as_expected=good,
        trials=Counts(valid=valid, failed=failed, invalid=len(trials) - valid),
        failure_rate=failed / valid,
        interval95=interval95(failed, valid),
    )


def sample() -> Result:
    """Make the result of a `prove` that came out as expected."""
    scenarios = []
    for variant in ("fixed", "incident"):
        trials = {mode: [trial(variant, mode, index) for index in range(TRIALS)] for mode in MODES}
        expected = dict.fromkeys(MODES, "pass")
        if variant == "incident":
            expected |= {"freeze": "any", "power-off": "fails 20 %..95 %", "cut": "any"}
        scenarios.append(
            ScenarioResult(
                name="crashed-host",
                variant=variant,
                expected="pass" if variant == "fixed" else "fail",
                verdict="pass" if variant == "fixed" else "fail",
                as_expected=True,
                cells=tuple(cell(mode, trials[mode], expected[mode]) for mode in MODES),
                trials=tuple(one for mode in MODES for one in trials[mode]),
            )
        )
    return Result(
        run="1123065312-ab12",
        command="prove",
        verdict="fail",
        proved=True,
        seed=7,
        lanes=2,
        began="2026-11-23T06:53:12+00:00",
        seconds=812.4,
        engine=EngineFacts(version="26.1.5", api="1.45", compose="2.26.1", kernel="6.18.0", cgroup="v1", cpus=2),
        scenarios=tuple(scenarios),
    )
