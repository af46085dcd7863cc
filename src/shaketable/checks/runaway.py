"""A runaway is over in time, each time, and by whom: what ran away from gauges, who ended it from the kernel's list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shaketable.checks.findings import finding, names
from shaketable.checks.kernel_lists import Ended, by_whom, ended, how, instance_of, unread
from shaketable.checks.readings import Gauge, gauges, stretches
from shaketable.model.claims import RunawayEnds
from shaketable.model.history import FaultRecord, TrialHistory
from shaketable.model.kernel import Ender
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show

OWN = 1.0
"""Seconds that `cpu` looks back: it begins and ends to be high up to so much later than what uses the CPU.

Hence stretches that are closer together are one, an end counts up to so long after its stretch, and what is high for
less and is ended by nobody is work, not a runaway.
"""
_WORK = 1.0
"""CPU seconds: a process that left by itself and used less is not what ran away, if another was ended by force."""


@dataclass(slots=True)
class _Run:
    """A stretch in which any gauge was above its number, absolute seconds."""

    start: float
    end: float
    holder: str
    peaks: dict[str, float] = field(default_factory=dict)

    def words(self) -> str:
        """How high, as `cpu up to 1 and memory up to 0.4`."""
        return names([f"{name} up to {peak:.3g}" for name, peak in sorted(self.peaks.items()) if math.isfinite(peak)])


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a stretch came to: how long it was, and who ended it."""

    run: _Run
    seconds: float
    """Without what the heal did to it: up to heal, or from when it was finished."""
    ender: Ended | None = None
    cut: bool = False
    """Heal ended it, or the trial."""
    healed: bool = False
    """It began after heal, or is what is left of it after that."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the judgement needs beside the claim: whom it is about, the fault, and the moments in which all ends."""

    of: str
    fault: FaultRecord
    heal: float
    healed: float
    ended: float

    def since(self, moment: float) -> str:
        """`0.8 s after the deploy`."""
        return f"{show(max(0.0, moment - self.fault.injected))} after the {self.fault.kind}"


def runaway_ends(e: RunawayEnds, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> Finding:
    """Every runaway from the fault's effect on is over within the limit, ended by one of those that are named.

    What heal cuts short was ended by nobody: it counts with its length up to heal. After heal work is done that was
    held up: of that only the length is judged, and an end by force is a proof as any other.
    """
    held = [(gauge, most) for name, most in e.gauges.items() for gauge in gauges(history, scenario, name)]
    at = _moments(e, history, fault, scenario)
    if missing := [name for name in e.gauges if not any(gauge.name == name for gauge, _ in held)]:
        return finding(e, "unknown", f"nobody ever said what {names(missing)} is", None, e.within)
    ends = ended(history, e.ends, fault.injected)
    found = [j for run in _runs(held, fault.injected, history.ended) for j in _judged(run, ends, at)]
    evidence = _evidence(found, fault)
    hidden = unread(history, scenario, e.ends, fault.injected)
    if wrong := _too_long(e, found, at) or _wrongly_ended(e, found, at, hidden):
        return finding(e, "fail", wrong[0], wrong[1], e.within, evidence=evidence)
    proofs = [j for j in found if _proves(e, j)]
    matters = not proofs or any(_alone(j) for j in found)
    if unseen := _unseen(e, held, found, at) or (hidden if matters else ""):
        return finding(e, "unknown", unseen, None, e.within, evidence=evidence)
    if not proofs:
        return finding(e, "unknown", _none(e, found, at), None, e.within, evidence=evidence)
    worst = max(j.seconds for j in proofs)
    return finding(e, "pass", _over(e, proofs, found, at), worst, e.within, evidence=evidence)


def _moments(e: RunawayEnds, history: TrialHistory, fault: FaultRecord, scenario: Scenario) -> _Trial:
    heal = fault.heal_began if fault.heal_began > fault.injected else math.inf
    of = instance_of(scenario, e.ends) or names(list(e.gauges))
    return _Trial(of, fault, heal, max(heal, fault.healed), history.ended)


def _runs(held: Sequence[tuple[Gauge, float]], start: float, end: float, *, blind: bool = False) -> list[_Run]:
    """All stretches of all gauges, in time order; those that are less than a second apart are one."""
    found = sorted(
        (
            _Run(a, b, gauge.holder, {gauge.name: peak})
            for gauge, most in held
            for a, b, peak in stretches(gauge.within(start, end), most, unread=blind)
        ),
        key=lambda run: (run.start, run.end),
    )
    merged: list[_Run] = []
    for run in found:
        if merged and run.start < merged[-1].end + OWN:
            last = merged[-1]
            last.end = max(last.end, run.end)
            for name, peak in run.peaks.items():
                last.peaks[name] = max(peak, last.peaks.get(name, -math.inf))
        else:
            merged.append(run)
    return merged


def _judged(run: _Run, ends: Sequence[Ended], at: _Trial) -> Iterator[_Judged]:
    """One stretch, or two where heal lies within it: what came before it, and what is left when it is finished."""
    going = run.end >= at.ended - 1e-9
    if run.start < at.heal:
        crosses = run.end > at.heal
        ender = _ender(run, ends, min(run.end + OWN, at.heal) if crosses else run.end + OWN)
        over = ender is not None and ender.end.by != "itself" and run.end <= at.heal + OWN
        cut = (crosses and not over) or (going and not crosses)
        yield _Judged(run, min(run.end, at.heal) - run.start, None if cut else ender, cut)
    if run.end > at.healed:
        ender = None if going or run.start < at.heal else _ender(run, ends, run.end + OWN)
        yield _Judged(run, run.end - max(run.start, at.healed), ender, going, healed=True)


def _ender(run: _Run, ends: Sequence[Ended], until: float) -> Ended | None:
    """Who ended it: of what ended in the stretch, or so soon after it that the gauge could not know.

    Processes come and go by themselves all the time, so one that was ended by force goes before one that left, unless
    that used more CPU than all of the others and a good deal of it. Of those ended by force the kind that used most
    counts: a runaway may be many processes. Of that kind the last one is named.
    """
    mine = [one for one in ends if run.start <= one.end.at <= until and one.end.began <= run.end]
    used: dict[Ender, float] = {}
    for one in mine:
        used[one.end.by] = used.get(one.end.by, 0.0) + one.end.cpu
    last = {one.end.by: one for one in mine}
    forced = [by for by in used if by != "itself"]
    left = [one for one in mine if one.end.by == "itself"]
    if left:
        most = max(left, key=lambda one: one.end.cpu)
        if not forced or most.end.cpu > max(_WORK, sum(used[by] for by in forced)):
            return most
    return last[max(forced, key=lambda by: (used[by], last[by].end.at))] if forced else None


def _alone(j: _Judged) -> bool:
    """Whether nobody ended it, though it was no work: it was high for longer than what the gauge looks back."""
    return not j.cut and not j.healed and (j.ender is None or j.ender.end.by == "itself") and j.seconds >= OWN


def _proves(e: RunawayEnds, j: _Judged) -> bool:
    """Whether it ran away and was ended by one of those that may."""
    if j.ender is not None and j.ender.end.by != "itself":
        return j.ender.end.by in e.by
    return _alone(j) and "itself" in e.by


def _too_long(e: RunawayEnds, found: Sequence[_Judged], at: _Trial) -> tuple[str, float] | None:
    """The longest stretch that is longer than the limit, in words, and how long it is."""
    worst = max(found, key=lambda j: j.seconds, default=None)
    if worst is None or worst.seconds <= e.within + 1e-9:
        return None
    long = [j for j in found if j.seconds > e.within + 1e-9]
    left = worst.healed and worst.run.start < at.healed
    when = "after it was healed" if left else f"from {at.since(worst.run.start)} on"
    if worst.ender is not None and worst.ender.end.by != "itself":
        end = f"it was over only then, ended by {by_whom(worst.ender.end)} ({how(worst.ender.end)})"
    elif worst.cut:
        still = worst.healed or worst.run.end < at.heal
        end = "it went on until the trial ended" if still else "nobody ended it before heal"
    else:
        end = "nobody ended it"
    more = f"; {len(long) - 1} more were too long" if long[1:] else ""
    said = f"{at.of} ran away for {show(worst.seconds)} (limit {show(e.within)}), {when}: {worst.run.words()}; {end}"
    return f"{said}{more}", worst.seconds


def _wrongly_ended(e: RunawayEnds, found: Sequence[_Judged], at: _Trial, hidden: str) -> tuple[str, float] | None:
    """The first one that was ended by somebody else, in words; that nobody did counts if everybody could be seen."""
    for j in found:
        ender = j.ender
        forced = ender is not None and ender.end.by != "itself" and not j.cut
        if ender is not None and forced and ender.end.by not in e.by:
            said = f"ended by {by_whom(ender.end)} ({how(ender.end)}), which is not one of those asked for"
        elif _alone(j) and "itself" not in e.by and not hidden:
            last = f" (the last to leave: {how(ender.end)})" if ender is not None else ""
            said = f"over by itself{last}: nobody ended it"
        else:
            continue
        ran = f"{at.of} ran away for {show(j.seconds)}, from {at.since(j.run.start)} on: {j.run.words()}"
        return f"{ran}; it was {said} ({', '.join(e.by)})", j.seconds
    return None


def _unseen(e: RunawayEnds, held: Sequence[tuple[Gauge, float]], found: Sequence[_Judged], at: _Trial) -> str:
    """Why a runaway could have been longer than it was seen to be; empty if it could not."""
    start, end = at.fault.injected, at.ended
    for gauge, _ in held:
        if not any(r.value is not None for r in gauge.within(start, end)):
            return f"nobody said what {gauge} was after the {at.fault.kind}"
    for run in _runs(held, start, end, blind=True):
        if any(j.seconds > e.within + 1e-9 for j in _judged(run, (), at)):
            longest = max(
                ((r.end - r.start, g) for g, _ in held for r in g.within(run.start, run.end) if r.value is None),
                key=lambda pair: pair[0],
                default=None,
            )
            if longest is not None:
                return f"{longest[1]} could not be read for {show(longest[0])}, from {at.since(run.start)} on or later"
    for j in found:
        if j.cut and j.seconds >= OWN and j.run.end >= at.ended - 1e-9 and (j.healed or j.run.end <= at.heal):
            return f"the trial ended while {at.of} ran away, after {show(j.seconds)} of at most {show(e.within)}"
    return ""


def _none(e: RunawayEnds, found: Sequence[_Judged], at: _Trial) -> str:
    """Why nothing was proven."""
    if cut := [j for j in found if j.cut and not j.healed]:
        return (
            f"heal ended what ran away, after {show(cut[0].seconds)} of at most {show(e.within)}, so nobody else could"
        )
    above = names([f"{name} above {most:g}" for name, most in e.gauges.items()])
    brief = f", but for {show(max(j.seconds for j in found))} at a time" if found else ""
    return f"no runaway was seen: nobody saw {above} in {at.of} after the {at.fault.kind}{brief}"


def _over(e: RunawayEnds, proofs: Sequence[_Judged], found: Sequence[_Judged], at: _Trial) -> str:
    """How many there were, how long, and who ended them."""
    worst = show(max(j.seconds for j in proofs))
    kinds: dict[str, list[str]] = {}
    for j in proofs:
        who = f"{by_whom(j.ender.end)} ({how(j.ender.end)})" if j.ender is not None else "itself"
        kinds.setdefault(who.partition(" (")[0], []).append(who)
    many = len(kinds) > 1
    by = names([f"{f'{len(of)} times ' if many else ''}by {of[-1]}" for of in kinds.values()])
    count = f"{len(proofs)} runaways of {at.of} were over within {worst} each"
    one = f"the one runaway of {at.of} was over within {worst}"
    cut = [j for j in found if j.cut and not j.healed]
    more = f"; heal cut one more short after {show(cut[0].seconds)}" if cut else ""
    return f"{count if proofs[1:] else one} (limit {show(e.within)}), ended {by}{more}"


def _evidence(found: Sequence[_Judged], fault: FaultRecord) -> list[Evidence]:
    """Each stretch on the row of a holder of its gauge, and each end on that of the holder that tells it."""
    t0 = fault.injected
    rows = [
        Evidence(where=j.run.holder, start=j.run.start - t0, end=j.run.end - t0, text=f"ran away: {j.run.words()}")
        for j in found
        if not j.healed or j.seconds >= OWN
    ]
    for j in found:
        if j.ender is not None and (j.ender.end.by != "itself" or _alone(j)):
            moment, end = j.ender.end.at - t0, j.ender.end
            text = f"{end.command} ended by {by_whom(end)} ({how(end)})"
            rows.append(Evidence(where=j.ender.holder, start=moment, end=moment, text=text))
    return rows[:50]
