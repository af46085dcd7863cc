"""One trial's history to its outcome; the same function judges a live trial and a stored one."""

from __future__ import annotations

from datetime import UTC

from shaketable.checks.expectations import evaluate
from shaketable.checks.validity import invalid_because, watches
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.result import FaultOutcome, Finding, Outcome, Trial
from shaketable.model.scenario import Scenario


def judge(history: TrialHistory, scenario: Scenario) -> Trial:
    """Evaluate every expectation, and whether the trial can count at all: invalid before fail before pass."""
    findings = tuple(evaluate(expectation, history, scenario) for expectation in scenario.expectations)
    reasons = invalid_because(history, scenario, findings)
    failed = any(f.verdict == "fail" for f in findings)
    outcome: Outcome = "invalid" if reasons else "fail" if failed else "pass"
    return Trial(
        index=history.index,
        lane=history.lane,
        outcome=outcome,
        axis=dict(history.axis),
        seed=history.seed,
        seconds=round(history.ended - history.began, 3),
        invalid_because=reasons,
        arrivals=len(history.requests),
        not_started=sum(b.not_started for b in history.load_beats),
        clean_s=0.0 if history.steady is None else round(max(0.0, history.ended - history.steady), 3),
        ended=ended.astimezone(UTC).isoformat(timespec="seconds") if (ended := history.wall(history.ended)) else "",
        detection_s=_detection(findings) if history.faults and all(f.effective for f in history.faults) else None,
        recovery_s=_since(history.recovered, history.healed) if history.faults else None,
        faults=tuple(_fault(fault, history.began) for fault in history.faults),
        expectations=findings,
        watch=watches(history, scenario),
    )


def _detection(findings: tuple[Finding, ...]) -> float | None:
    """The last moment at which any holder still listed the target; None when one never dropped it."""
    found = [f for f in findings if f.kind == "leaves"]
    if not found or any(f.verdict != "pass" or f.value is None for f in found):
        return None
    return max(f.value for f in found if f.value is not None)


def _since(moment: float | None, start: float) -> float | None:
    return None if moment is None else round(max(0.0, moment - start), 6)


def _fault(fault: FaultRecord, began: float) -> FaultOutcome:
    return FaultOutcome(
        id=fault.id,
        kind=fault.kind,
        targets=fault.targets,
        effective=fault.effective,
        sent_s=round(fault.sent - began, 6),
        injected_s=round(fault.injected - began, 6),
        witnessed_s=None if fault.witness.at is None else round(fault.witness.at - began, 6),
        healed_s=round(fault.healed - began, 6),
        skew_s=round(fault.skew, 6),
        clean=fault.clean,
        claim=fault.witness.claim,
        seen=fault.witness.seen,
        notes=fault.notes,
    )
