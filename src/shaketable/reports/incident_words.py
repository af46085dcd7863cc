"""The status report of a trial in plain sentences with times, as text of 80 columns and as Markdown."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from shaketable.checks.functions import Function
from shaketable.model.history import TrialHistory
from shaketable.model.result import Trial
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration
from shaketable.reports.digest import cell_name, one_line
from shaketable.reports.incident import Felt, Incident, Part, Phase, incident
from shaketable.reports.incident_signs import Cause, Sign
from shaketable.reports.markdown import plain
from shaketable.reports.status import host_runs
from shaketable.reports.status_words import show_number, spell_words

WIDTH: Final = 80
_MOST: Final = 8
"""Lines of one part of the report; what is left out is counted."""
_PAUSE: Final = 1.0
"""Seconds from which containers that ran in between are told."""
_FEW: Final = 3
"""Names in a row."""
_HARM: Final = frozenset({"exactly-once", "spared", "stays", "writes-kept"})
"""Kinds of claims that tell of harm done, beside functions and containers, when they fail."""
_HELD: Final = _HARM | {"ceiling", "limits-hold", "no-leak"}
"""Kinds of claims that tell, when they hold, what was not affected."""
_UNIT: Final = re.compile(r"(\d) (%|[mu]?s\b|UTC\b)")


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph of the report; `when` stands beside a heading."""

    style: Literal["title", "heading", "text", "item"]
    text: str
    when: str = ""


def as_text(blocks: Iterable[Block]) -> str:
    """Write a report for a terminal or a mail, 80 columns wide."""
    lines: list[str] = []
    for block in blocks:
        if lines and block.style != "item":
            lines.append("")
        if block.style == "heading":
            lines.append(f"{block.text.upper()}   {block.when}".rstrip())
            continue
        first, rest = {"item": ("  - ", "    "), "text": ("  ", "  "), "title": ("", "")}[block.style]
        text = _UNIT.sub("\\1\u00a0\\2", block.text)  # a number and its unit stay on one line
        found = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
        lines += [line.replace("\u00a0", " ") for line in found]
    return "\n".join(lines) + "\n"


def as_markdown(blocks: Iterable[Block]) -> str:
    """Write a report as Markdown."""
    lines: list[str] = []
    last = ""
    for block in blocks:
        if lines and not block.style == last == "item":
            lines.append("")
        when = f" ({plain(block.when)})" if block.when else ""
        lines.append({"title": "## ", "heading": "### ", "item": "- "}.get(block.style, "") + plain(block.text) + when)
        last = block.style
    return "\n".join(lines) + "\n"


def status_report(history: TrialHistory, scenario: Scenario, trial: Trial, why: str = "") -> tuple[Block, ...]:
    """Tell a trial as an incident is told on a status page; `why` says in a few words why this one is told."""
    return tuple(_Teller(history, scenario, trial).report(why))


class _Teller:
    """One trial and the words for it."""

    def __init__(self, history: TrialHistory, scenario: Scenario, trial: Trial) -> None:
        self.history, self.scenario, self.trial = history, scenario, trial
        self.told: Incident = incident(history, scenario)
        self.since = min((cause.sent for cause in self.told.causes), default=history.began)

    def report(self, why: str) -> Iterator[Block]:
        trial, told = self.trial, self.told
        cell = f", {cell_name(trial.axis)}" if trial.axis else ""
        yield Block("title", one_line(f"Status report: {self.history.scenario}, {self.history.variant}{cell}"))
        yield Block("text", one_line(self._which(why)))
        if self.history.broke:
            broke = f"The trial broke off: {self.history.broke.rstrip('.')}. What follows is told up to then."
            yield Block("text", one_line(broke))
        if not told.causes:
            yield Block("text", "No fault was injected: there is no incident to tell.")
        elif not told.phases:
            yield Block("text", self._nobody())
            yield from (Block("item", self._fault(cause)) for cause in told.causes)
        for phase in told.phases:
            yield from self._phase(phase)
        nothing = "No function of its users; what else was seen stands above." if told.phases else "Nothing."
        yield from _part("Affected", list(self._affected()), nothing)
        yield from _part("Not affected", list(self._spared()), self._none_spared())
        yield from self._expected()

    def _which(self, why: str) -> str:
        came = {"pass": "passed", "fail": "failed", "invalid": "is invalid"}[self.trial.outcome]
        reason = f", {why}" if why else ""
        of = "the first fault's effect" if len(self.told.causes) > 1 or self._steps() else "the fault's effect"
        base = of if self.told.causes else "the trial's begin"
        wall = self.history.wall(self.told.zero)
        zero = f" at {wall:%H:%M:%S} UTC on {wall:%Y-%m-%d}" if wall else ""
        pace = self.scenario.compression
        faster = f" Time passes {pace.times:g} times as fast as in life: {pace.because.rstrip('.')}." if pace else ""
        return f"Trial {self.trial.index}{reason}: it {came}. Times count from {base}{zero}.{faster}"

    def _steps(self) -> bool:
        return any(len(cause.ids) > 1 for cause in self.told.causes)

    def _nobody(self) -> str:
        gauges = any(d.gauges for d in self.scenario.observers.holders.values())
        seen = "no function was degraded, no alert came, no list changed"
        gone = f"{seen} and no gauge went above its number" if gauges else seen
        return f"Nothing was seen: {gone}, from the fault on until the record ends {self._at(self.history.ended)}."

    def _at(self, moment: float) -> str:
        return f"at {self._stamp(moment)}"

    def _stamp(self, moment: float, zone: str = "") -> str:
        """Write a moment: `14:02:07 (+1.2 s)`, or `+1.2 s` where the record does not say the time of day."""
        wall, since = self.history.wall(moment), moment - self.told.zero
        told = f"{'-' if round(since, 3) < 0 else '+'}{show_duration(abs(round(since, 3)))}"
        return f"{wall:%H:%M:%S}{zone} ({told})" if wall else told

    def _span(self, start: float, end: float) -> str:
        until = "until the record ends" if end >= self.history.ended else f"to {self._stamp(end)}"
        return f"from {self._stamp(start)} {until}"

    def _fault(self, cause: Cause) -> str:
        ids = _named(cause.ids)
        steps = f" in {len(cause.ids)} steps ({ids})" if cause.ids[1:] else f" ({ids})"
        effect = f"took effect {self._at(cause.injected)}"
        undone = "was not undone" if math.isinf(cause.healed) else f"was undone {self._at(cause.healed)}"
        return one_line(f"The {cause.kind} on {_named(cause.targets)}{steps} {effect} and {undone}.")

    def _phase(self, phase: Phase) -> Iterator[Block]:
        when = "" if phase.at is None else self._stamp(phase.at, " UTC")
        if phase.at is None:
            when = {"identified": "never", "monitoring": "never"}.get(phase.name, "not when the record ends")
        yield Block("heading", phase.name, when)
        text = {
            "investigating": self._investigating,
            "identified": self._identified,
            "monitoring": self._monitoring,
            "resolved": self._resolved,
        }
        for sentence in text[phase.name](phase):
            yield Block("text", sentence)
        if phase.name != "resolved":
            yield from _items([f"{self._stamp(sign.start)}: {self._sign(sign)}" for sign in phase.signs], _MOST)

    def _investigating(self, phase: Phase) -> Iterator[str]:
        if not phase.signs:
            yield "The first that was seen named the cause at once."

    def _identified(self, phase: Phase) -> Iterator[str]:
        named = [cause for cause in self.told.causes if any(cause in s.names for s in self._signs())]
        if named:
            faults = [f"{cause.kind} on {_named(cause.targets)}" for cause in named]
            which = "causes" if named[1:] else "cause"
            yield one_line(f"From then on what was observed names the {which}: the {_named(faults, _MOST)}.")
            yield " ".join(map(self._fault, named))
        for cause in self.told.causes:
            if cause not in named:
                yield f"{self._fault(cause)} That was never identified from what was observed."

    def _signs(self) -> Iterator[Sign]:
        for phase in self.told.phases[:3]:
            yield from phase.signs

    def _monitoring(self, phase: Phase) -> Iterator[str]:
        held = [cause for cause in self.told.causes if math.isinf(cause.healed)]
        if phase.at is None:
            yield f"The record ends before everything was undone: {_named([c.kind for c in held])} was still in force."
            return
        trip = self.history.tripped
        healed = max(cause.healed for cause in self.told.causes)
        by = f"The gate of the roll-out had stopped it after {one_line(trip.stage)}; it was rolled back" if trip else ""
        unclean = [cause for cause in self.told.causes if not cause.clean]
        left = f" Something of {_named([c.kind for c in unclean])} was still found afterwards." if unclean else ""
        one = self.told.causes[0]
        all_of = "Everything" if self.told.causes[1:] else f"The {one.kind} on {_named(one.targets)}"
        done = by or f"{all_of} was undone by the trial, as its schedule says,"
        early = " Nobody had noticed anything until then." if healed < phase.at else ""
        yield f"{done} {self._at(healed)}.{early}{left}"
        still = [s for s in self._signs() if s.unwell and s.start < phase.at < s.end]
        if not still:
            yield "Nothing was degraded or above its number any more when that was done."
        else:
            told = [f"{self._subject(s)} ({self._until(s.end)})" for s in still[:_MOST]]
            more = f", and {len(still) - _MOST} more" if still[_MOST:] else ""
            yield f"Not well yet when that was done: {', '.join(dict.fromkeys(told))}{more}."

    def _until(self, end: float) -> str:
        return "until the record ends" if end >= self.history.ended else f"until {self._stamp(end)}"

    def _resolved(self, phase: Phase) -> Iterator[str]:
        ended = self.history.ended
        if phase.at is not None:
            yield f"Everything was well from then on, for the {show_duration(ended - phase.at)} until the record ends."
            return
        wrong = [self._subject(sign) for sign in phase.signs]
        if wrong:
            yield f"Not well when the record ends {self._at(ended)}: {_named(list(dict.fromkeys(wrong)), _MOST)}."
        elif any(math.isinf(cause.healed) for cause in self.told.causes):
            yield f"The record ends {self._at(ended)}, before everything was undone."
        else:
            hold = show_duration(self.scenario.steady.hold)
            yield f"Steady state did not hold again for {hold} before the record ends {self._at(ended)}."

    def _subject(self, sign: Sign) -> str:
        """Name what is not well, in a few words."""
        what, entries, by = one_line(sign.what), _named(sign.entries), _named(sign.by)
        if sign.kind == "function":
            return what + (f" for {one_line(' '.join(sign.entries))}" if sign.entries else "")
        words = {
            "gauge": f"“{what}” above {show_number(sign.limit or 0.0)}",
            "absent": f"{entries} not running",
            "gone": f"{entries} not on the list “{what}”",
            "came": f"{entries} on the list “{what}”",
            "locks": f"locks held by session {what} of {by}",
            "unread": f"the list “{what}” of {by} unreadable",
        }
        return words.get(sign.kind, what)

    def _sign(self, sign: Sign) -> str:
        what, by, entries = one_line(sign.what), _named(sign.by), _named(sign.entries)
        until = self._until(sign.end)
        words = {
            "function": lambda: f"users felt it: {self._subject(sign)} was degraded {until}: {sign.detail}",
            "alert": lambda: f"{by} was told “{what}”",
            "gauge": lambda: (
                f"{by} read “{what}” above {show_number(sign.limit or 0.0)} (at most {show_number(sign.peak or 0.0)}) {until}"
            ),
            "absent": lambda: f"{by} saw that {entries} no longer ran, {until}",
            "gone": lambda: f"{by} no longer listed {entries} on “{what}”, {until}",
            "came": lambda: f"{by} listed {entries} on “{what}”, {until}",
            "unread": lambda: f"{by} did not say what is on the list “{what}”, {until}",
            "locks": lambda: f"{by} showed that {sign.detail}",
            "ended": lambda: (
                f"{by} saw {_count(int(sign.peak or 0), 'process')} of {what} ended by force: {sign.detail}"
            ),
            "limit": lambda: f"{by} saw {what} held at its limit of {entries}",
            "start": lambda: f"{by} saw {entries} start anew",
            "gate": lambda: f"the gate of the roll-out found {sign.detail} arrivals bad in {what}, and stopped it",
        }
        return f"{one_line(words[sign.kind]())}."

    def _affected(self) -> Iterator[str]:
        for one in self.told.felt:
            if one.whole.spells:
                yield f"{one_line(one.whole.name)}{_all(one)}: {self._degraded(one.whole)}."
            for part in one.parts:
                yield from self._part(one, part)
        for run in host_runs(self.history, self.scenario):
            mine = [a for a in run.absences if a.end > self.since]
            if mine:
                services = sorted({service for absence in mine for service in absence.services})
                entries = [s if s == run.host else f"{run.host}/{s}" for s in services]
                pauses = ", with pauses," if any(b.start - a.end > _PAUSE for a, b in pairwise(mine)) else ""
                when = self._span(max(mine[0].start, self.since), mine[-1].end)
                yield one_line(f"{_named(entries)} did not run{pauses} {when}.")
        yield from self._claims("fail", _HARM)

    def _part(self, one: Felt, part: Part) -> Iterator[str]:
        name, key = one_line(one.whole.name), one_line(part.key)
        for value, function in part.degraded[:_MOST]:
            yield f"{name} for {key} {one_line(value)}: {self._degraded(function)}."
        if part.degraded[_MOST:]:
            yield f"{name} for {_named([value for value, _ in part.degraded[_MOST:]], _MOST)} ({key}) as well."

    def _degraded(self, function: Function) -> str:
        spells = function.spells
        times = f" {len(spells)} times" if spells[1:] else ""
        return f"degraded{times} {self._span(spells[0].start, spells[-1].end)}: {spell_words(spells)}"

    def _claims(self, verdict: str, kinds: frozenset[str]) -> Iterator[str]:
        for f in self.trial.expectations:
            if f.kind in kinds and f.verdict == verdict:
                yield one_line(f"{f.id}: {f.because}.")

    def _spared(self) -> Iterator[str]:
        fine = [one for one in self.told.felt if not one.degraded]
        for one in fine[:_MOST]:
            compared = "" if one.whole.baseline else "; it was not used enough before the fault to compare its speed"
            yield f"{one_line(one.whole.name)}: {_failed(one.failed, one.arrivals)}{compared}."
        if fine[_MOST:]:
            yield f"{len(fine) - _MOST} more functions: {_named([one.whole.name for one in fine[_MOST:]], _MOST)}."
        for one in self.told.felt:
            for part in one.parts:
                if part.fine:
                    yield one_line(f"{one.whole.name} for {part.key} {_named(part.fine, _MOST)}.")
        runs = host_runs(self.history, self.scenario)
        if whole := [run for run in runs if not any(a.end > self.since for a in run.absences)]:
            containers = _count(sum(len(run.services) for run in whole), "container")
            yield one_line(f"{containers} of {_named([run.host for run in whole], _MOST)} ran throughout.")
        yield from self._claims("pass", _HELD)

    def _none_spared(self) -> str:
        return "Every function that was asked for was affected." if self.told.felt else "No function was asked for."

    def _expected(self) -> Iterator[Block]:
        trial = self.trial
        if trial.invalid_because:
            yield Block("heading", "Why this trial does not count")
            yield from _items([f"{one_line(reason)}." for reason in trial.invalid_because], _MOST)
        failed = [f for f in trial.expectations if f.verdict == "fail"]
        unknown = [f for f in trial.expectations if f.verdict == "unknown"]
        if failed or unknown:
            yield Block("heading", "What was expected and did not hold" if failed else "What nobody can tell")
            yield from _items([one_line(f"{f.id}: {f.because}.") for f in failed], 2 * _MOST)
            yield from _items([one_line(f"{f.id} (nobody can tell): {f.because}.") for f in unknown], _MOST)
        if not failed and not unknown and trial.expectations:
            yield Block("text", f"All {len(trial.expectations)} expectations of the scenario held.")


def _part(heading: str, lines: Sequence[str], none: str) -> Iterator[Block]:
    yield Block("heading", heading)
    if lines:
        yield from _items(lines, 2 * _MOST)
    else:
        yield Block("text", none)


def _items(lines: Sequence[str], most: int) -> Iterator[Block]:
    yield from (Block("item", line) for line in lines[:most])
    if lines[most:]:
        yield Block("item", f"and {len(lines) - most} more.")


def _all(one: Felt) -> str:
    """Say that all of a function's users are meant, where a part of them is told as well."""
    return ", over all its users" if one.parts else ""


def _failed(failed: int, arrivals: int) -> str:
    return f"{f'{failed:,}' if failed else 'none'} of {_count(arrivals, 'arrival')} failed"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def _named(names: Sequence[str], most: int = _FEW) -> str:
    """Write `web`, `web and sender`, `web, sender, fetcher and 3 more`."""
    if len(names) > most:
        return one_line(f"{', '.join(names[:most])} and {len(names) - most} more")
    return one_line(" and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])))
