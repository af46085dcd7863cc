"""What the page says in words: the verdict in one sentence, what it rests on, and the figures of a finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from shaketable.checks.statistics import interval
from shaketable.checks.verdict import MAX_INVALID, exit_code
from shaketable.model.errors import Exit
from shaketable.model.result import Cell, Finding, Result, ScenarioResult, Trial, Watch
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration, show_share
from shaketable.reports.digest import cell_name

Tone = Literal["good", "bad", "unsure"]
_TONES: Final[Mapping[Exit, Tone]] = {Exit.PASS: "good", Exit.FAIL: "bad", Exit.RESIDUE: "bad"}


@dataclass(frozen=True, slots=True)
class VerdictWords:
    """The first thing a reader sees."""

    tone: Tone
    lead: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One figure the verdict rests on; `good` is None where there is nothing to judge."""

    name: str
    value: str
    note: str
    good: bool | None = None


def verdict_words(result: Result) -> VerdictWords:
    """Say the verdict in one sentence; its tone is that of the exit code."""
    lead = {None: result.verdict.capitalize(), True: "Proved", False: "Not proved"}[result.proved]
    sentence = "; ".join(_parts(result)) or "no trial was run"
    if result.interrupted:
        sentence = f"interrupted; until then, {sentence}"
    elif result.problems:
        sentence = f"broke off before all trials were run; until then, {sentence}"
    if result.residue:
        sentence += f"; {count(len(result.residue), 'thing')} left behind"
    return VerdictWords(_TONES.get(exit_code(result), "unsure"), lead, f"{sentence}.")


def _parts(result: Result) -> list[str]:
    """Say what each variant came to; what came out alike in every one of several scenarios is said once."""
    names = list(dict.fromkeys(part.name for part in result.scenarios))
    said: dict[str, list[str]] = {}
    for part in result.scenarios:
        said.setdefault(_part(result, part), []).append(part.name)
    if not names[1:]:
        return list(said)
    everywhere = f"in all {len(names)} scenarios "
    return [
        everywhere + words if who == names else "; ".join(f"{name}, {words}" for name in who)
        for words, who in said.items()
    ]


def _part(result: Result, part: ScenarioResult) -> str:
    """Say what one variant came to: as expected, or in which cells not."""
    if result.proved is None:
        worst = [cell for cell in part.cells if cell.verdict == part.verdict != "pass"]
        valid = sum(cell.trials.valid for cell in part.cells)
        return f"{part.variant} {_verb(part)}{_cells(worst)}" + ("" if worst else f" in {count(valid, 'valid trial')}")
    wrong = [cell for cell in part.cells if not cell.as_expected]
    if part.as_expected:
        return f"{part.variant} fails as it did" if part.expected == "fail" else f"{part.variant} passes"
    if part.expected == "fail" and part.verdict == "pass":
        return f"{part.variant} passes, so the checks did not catch what they are for"
    return f"{part.variant} {_verb(part)}{_cells(wrong)}, not as expected"


def _verb(part: ScenarioResult) -> str:
    return {"pass": "passes", "fail": "fails", "inconclusive": "is inconclusive"}[part.verdict]


def _cells(cells: list[Cell]) -> str:
    """Name up to four cells with their counts."""
    named = [f"{cell_name(cell.axis)} ({tally(cell)})" for cell in cells[:4] if cell.axis]
    more = f" and {len(cells) - 4} more cells" if len(cells) > 4 else ""
    return f" in {', '.join(named)}{more}" if named else ""


def tally(cell: Cell) -> str:
    """Count the failures of a cell: `9 of 20 failed`."""
    counts = cell.trials
    if not counts.valid:
        return f"{count(counts.invalid, 'trial')}, none valid"
    return f"{counts.failed} of {counts.valid} failed"


def count(number: int, noun: str) -> str:
    """Write `1 trial` or `1,200 trials`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def facts(result: Result, scenarios: Mapping[str, Scenario]) -> list[Fact]:
    """Gather what makes the verdict trustworthy, or not: each is a reason to doubt a green one."""
    trials = [trial for part in result.scenarios for trial in part.trials]
    valid = [trial for trial in trials if trial.outcome != "invalid"]
    return [
        Fact("Valid trials", f"{len(valid):,} of {len(trials):,}", _invalid_note(trials), _enough(result)),
        _faults(trials),
        _load(trials),
        _looks(trials, result, scenarios),
        _excluded(result),
        Fact(
            "Left behind",
            "nothing" if not result.residue else count(len(result.residue), "thing"),
            "after the last heal, nothing of the run was found" if not result.residue else "see below",
            not result.residue,
        ),
    ]


def _enough(result: Result) -> bool:
    """Whether no cell has so many invalid trials that it could not pass."""
    counted = [cell.trials for part in result.scenarios for cell in part.cells]
    return all(c.valid and c.invalid <= MAX_INVALID * (c.valid + c.invalid) for c in counted)


def _invalid_note(trials: list[Trial]) -> str:
    invalid = sum(trial.outcome == "invalid" for trial in trials)
    if not invalid:
        return "none had to be set aside"
    are = "is" if invalid == 1 else "are"
    return f"{count(invalid, 'trial')} proved nothing and {are} not counted; over {show_share(MAX_INVALID)} rule out a pass"


def _faults(trials: list[Trial]) -> Fact:
    injected = [fault for trial in trials for fault in trial.faults]
    seen = sum(fault.effective for fault in injected)
    if not injected:
        return Fact("Faults witnessed", "none", "no fault was injected", good=False)
    delays = sorted(fault.injected_s - fault.sent_s for fault in injected)
    note = (
        f"seen by something other than the injector; effective {show_duration(delays[len(delays) // 2])} after sending"
    )
    return Fact("Faults witnessed", f"{seen:,} of {len(injected):,}", f"{note} (median)", seen == len(injected))


def _load(trials: list[Trial]) -> Fact:
    arrivals, missed = sum(t.arrivals for t in trials), sum(t.not_started for t in trials)
    note = "all of them started when due" if not missed else f"{missed:,} could not be started"
    return Fact(
        "Arrivals recorded", f"{arrivals:,}", note if arrivals else "there was no load", bool(arrivals) and not missed
    )


def _looks(trials: list[Trial], result: Result, scenarios: Mapping[str, Scenario]) -> Fact:
    """Name the largest gap of the trials that count, and its limit."""
    gaps: list[tuple[float, Watch]] = [
        (watch.max_gap_s, watch) for trial in trials if trial.outcome != "invalid" for watch in trial.watch
    ]
    if not gaps:
        return Fact("Largest look gap", "none", "no holder was watched in a valid trial", good=False)
    gap, watch = max(gaps, key=lambda pair: pair[0])
    limits = [scenarios[part.name].observers.max_gap for part in result.scenarios if part.name in scenarios]
    limit = f"; limit {show_duration(min(limits))}" if limits else ""
    return Fact("Largest look gap", show_duration(gap), f"at {watch.holder}, valid trials only{limit}", good=True)


def _excluded(result: Result) -> Fact:
    """Tell what the green cells exclude: the weakest of them."""
    clean = [cell.trials.valid for part in result.scenarios for cell in part.cells if cell.verdict == "pass"]
    if not clean or not min(clean):
        return Fact("What green excludes", "nothing", "no cell passed")
    high = interval(0, min(clean))[1]
    note = f"a higher failure rate is excluded (95 %) by 0 failures of {min(clean)}; more trials exclude more"
    return Fact("What green excludes", f"over {show_share(high)}", note)


def show_value(value: float | None, unit: str) -> str:
    """Write a finding's value or limit in its unit; `-` for none."""
    if value is None:
        return "-"
    if value == 0 and unit not in {"s", "share"}:
        return "none"
    if unit == "s":
        return show_duration(value)
    if unit == "share":
        return show_share(value)
    return f"{value:g} {unit}"


def relation(finding: Finding) -> str:
    """Tell which side of its limit a value must be on."""
    return "≥" if finding.unit == "share" or finding.kind == "warns-early" else "≤"


def show_moment(iso: str) -> str:
    """Write `2026-11-23T06:53:12+00:00` as `2026-11-23 06:53:12 UTC`; anything else as it is."""
    date, _, time = iso.partition("T")
    utc = time.endswith(("+00:00", "Z"))
    return f"{date} {time[:8]} UTC" if utc and len(time) >= 8 else iso


def fault_facts(trial: Trial) -> Iterator[tuple[str, str]]:
    """Yield (label, text) of what is known of a trial's fault."""
    for fault in trial.faults:
        yield "Fault", f"{fault.kind} of {' and '.join(fault.targets)}"
        yield "Had to be seen", fault.claim
        seen = (
            ""
            if fault.witnessed_s is None
            else f" ({show_duration(max(0.0, fault.witnessed_s - fault.sent_s))} after sending)"
        )
        yield "Was seen", f"{fault.seen}{seen}" if fault.effective else f"not as claimed: {fault.seen}"
        yield (
            "Effective",
            f"{show_duration(fault.injected_s - fault.sent_s)} after sending; all members within {show_duration(fault.skew_s)}",
        )
        yield (
            "After heal",
            "a look found nothing of the fault" if fault.clean else "something of the fault was still there",
        )
        if fault.notes:
            yield "Note", "; ".join(fault.notes)
    if trial.detection_s is not None:
        yield "Detection", f"{show_duration(trial.detection_s)} until the last holder had dropped the target"
    if trial.recovery_s is not None:
        yield "Recovery", f"{show_duration(trial.recovery_s)} after heal"
    missed = f", {trial.not_started} more could not be started" if trial.not_started else ""
    yield "Arrivals", f"{trial.arrivals}{missed}"
    yield "Lane, length", f"{trial.lane}, {show_duration(trial.seconds)}"
    yield "Seed", trial.seed
