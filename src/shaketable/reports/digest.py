"""What every report says of a result: names and figures of a cell, and its failures as few sentences, not hundreds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shaketable.model.result import Cell, Finding, Result, ScenarioResult, Trial, Verdict

Status = Literal["passed", "failed", "error"]

_NUMBERS: Final = re.compile(r"\d+(?:\.\d+)?")
_UNSAFE: Final = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What steers a terminal or cannot be written as UTF-8 or XML."""


@dataclass(frozen=True, slots=True)
class Said:
    """Sentences that are the same but for their numbers: how many there are, and the first of them."""

    times: int
    text: str
    alike: bool
    """Whether they are the same in their numbers too."""

    def __str__(self) -> str:
        if self.times == 1:
            return self.text
        return f"{self.times} times: {self.text}" if self.alike else f"{self.times} times, as: {self.text}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation of a cell that did not hold, over all its trials."""

    expectation: str
    failed: int
    valid: int
    sentences: tuple[Said, ...]

    @property
    def headline(self) -> str:
        """Which claim failed, and how often."""
        return f"{self.expectation} failed in {self.failed} of {self.valid} {'trial' if self.valid == 1 else 'trials'}"


@dataclass(frozen=True, slots=True)
class CellDigest:
    """One cell in words and figures."""

    name: str
    """`power-off`, or `mode=power-off, victim=host-1` where there are several axes; `all` where there are none."""
    cell: Cell
    status: Status
    trials: tuple[Trial, ...]
    failures: tuple[Failure, ...]
    invalid: tuple[Said, ...]
    rate: str
    """`45 % (23..68)`: share of failures among the valid trials, and its exact 95 % interval."""
    detection: str
    """`1.31/1.62 s`: median and maximum; `never` counts as longer than any time."""
    recovery: str

    @property
    def sentences(self) -> list[str]:
        """All that is wrong, as lines: each claim with its sentences below it, then the invalid trials."""
        lines = [] if self.cell.as_expected else [self.tally]
        for failure in self.failures:
            lines += [failure.headline, *(f"  {said}" for said in failure.sentences)]
        if self.invalid:
            count = self.cell.trials.invalid
            lines += [f"{count} invalid {'trial' if count == 1 else 'trials'}", *(f"  {said}" for said in self.invalid)]
        return lines

    @property
    def tally(self) -> str:
        """How many trials failed."""
        return f"{self.cell.trials.failed} of {self.cell.trials.valid} valid trials failed: {self.rate}"

    @property
    def told(self) -> bool:
        """Whether there is something to say beside the figures."""
        return bool(self.failures or self.invalid) or not self.cell.as_expected

    @property
    def title(self) -> str:
        """What it came to, and what it should have."""
        return f"{self.name}: {came_to(self.cell.verdict, self.cell.expected, self.cell.as_expected)}"


def came_to(verdict: Verdict, expected: str, as_expected: bool) -> str:
    """Say a verdict beside the expected one: `fail, as expected` or `pass, expected fail`."""
    if expected == "any":
        return f"{verdict}, where either will do"
    return f"{verdict}, as expected" if as_expected else f"{verdict}, expected {expected}"


def one_line(text: str) -> str:
    """Write any text on one line, and without what a terminal or a file format would stumble over."""
    return _UNSAFE.sub("�", " ".join(text.split()))


def indented(line: str) -> str:
    """Do as `one_line`, but keep the indentation."""
    return " " * (len(line) - len(line.lstrip(" "))) + one_line(line)


def headline(result: Result) -> str:
    """Say what a campaign came to, in a few words."""
    words = {None: f"verdict {result.verdict}", True: "proved", False: "not proved"}[result.proved]
    return f"{words} (interrupted)" if result.interrupted else words


def status(result: Result, verdict: Verdict, *, as_expected: bool) -> Status:
    """Tell whether a part of the result is green in CI.

    `prove` asks for the expected verdict, any other command for a pass, just as their exit codes do.
    """
    if as_expected if result.proved is not None else verdict == "pass":
        return "passed"
    return "error" if verdict == "inconclusive" else "failed"


def digest(result: Result, scenario: ScenarioResult) -> list[CellDigest]:
    """Digest each cell of one variant, in the order of the result."""
    return [
        CellDigest(
            name=one_line(cell_name(cell.axis)),
            cell=cell,
            status=status(result, cell.verdict, as_expected=cell.as_expected),
            trials=trials,
            failures=tuple(_failures(trials)),
            invalid=grouped(reason for trial in trials if trial.outcome == "invalid" for reason in _reasons(trial)),
            rate=show_rate_of_failure(cell),
            detection=median_and_max([trial.detection_s for trial in trials if trial.outcome != "invalid"]),
            recovery=median_and_max([trial.recovery_s for trial in trials if trial.outcome != "invalid"]),
        )
        for cell in scenario.cells
        for trials in [tuple(trial for trial in scenario.trials if dict(trial.axis) == dict(cell.axis))]
    ]


def cell_name(axis: Mapping[str, str]) -> str:
    """Name a cell by its axis values."""
    if len(axis) <= 1:
        return next(iter(axis.values()), "all")
    return ", ".join(f"{name}={value}" for name, value in axis.items())


def show_rate_of_failure(cell: Cell) -> str:
    """Write the failure rate with its interval, all in percent; `-` without a valid trial."""
    if cell.failure_rate is None:
        return "-"
    low, high = cell.interval95
    return f"{_percent(cell.failure_rate)} % ({_percent(low)}..{_percent(high)})"


def _percent(share: float) -> str:
    percent = share * 100
    return f"{percent:.0f}" if percent >= 9.95 else f"{percent:.1f}".removesuffix(".0")


def median_and_max(seconds: Sequence[float | None]) -> str:
    """Write median and maximum in one unit; `-` where nothing was ever timed."""
    known = sorted(second for second in seconds if second is not None)
    if not known:
        return "-"
    longest = known[-1]
    in_order: list[float | None] = [*known, *[None] * (len(seconds) - len(known))]
    middle = in_order[(len(in_order) - 1) // 2]
    scale, digits, unit = (1.0, 2, "s") if longest >= 1 else (1000.0, 0, "ms")
    if middle is None:
        return "never"
    first = f"{middle * scale:.{digits}f}"
    return f"{first} {unit}/never" if in_order[-1] is None else f"{first}/{longest * scale:.{digits}f} {unit}"


def _failures(trials: Iterable[Trial]) -> Iterator[Failure]:
    """Gather the failed findings of all valid trials by expectation, the most frequent first."""
    valid = [trial for trial in trials if trial.outcome != "invalid"]
    found: dict[str, list[Finding]] = {}
    for trial in valid:
        for finding in trial.expectations:
            if finding.verdict == "fail":
                found.setdefault(finding.id, []).append(finding)
    for name, findings in sorted(found.items(), key=lambda item: -len(item[1])):
        worst_first = sorted(findings, key=lambda finding: -_excess(finding))
        yield Failure(one_line(name), len(findings), len(valid), grouped(finding.because for finding in worst_first))


def _excess(finding: Finding) -> float:
    """Tell how far a value is from its limit; the worst, and what has none, is first to be shown."""
    if finding.value is None or finding.limit is None:
        return float("inf")
    return abs(finding.value - finding.limit)


def _reasons(trial: Trial) -> Sequence[str]:
    return trial.invalid_because or ("no reason is recorded",)


def grouped(sentences: Iterable[str]) -> tuple[Said, ...]:
    """Say sentences that differ only in their numbers once, in the words of the first; the most frequent first."""
    groups: dict[str, list[str]] = {}
    for sentence in sentences:
        line = one_line(sentence)
        groups.setdefault(_NUMBERS.sub("#", line), []).append(line)
    said = [Said(len(lines), lines[0], len(set(lines)) == 1) for lines in groups.values()]
    return tuple(sorted(said, key=lambda one: -one.times))
