"""From a scenario's faults to what one trial does: repetitions unrolled, targets and moments drawn, times in seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shaketable.faults import FaultKind, Params
from shaketable.model.claims import (
    Alerted,
    Appears,
    Bystanders,
    Ceiling,
    Claim,
    ExactlyOnce,
    Expectation,
    FunctionsRecover,
    Leaves,
    NotBlocked,
    NotCalled,
    Recovers,
    Returns,
    RunawayEnds,
    RunsAgain,
)
from shaketable.model.draw import between, draw, pick
from shaketable.model.errors import UsageError
from shaketable.model.faults import Fault, Rollout, When
from shaketable.model.scenario import Scenario
from shaketable.model.units import FROM_TEXT, show_duration, show_share
from shaketable.ports import Places
from shaketable.run.axis_text import filled
from shaketable.run.phases import Course, Event, Timing

Services = Mapping[str, Sequence[str]]
"""Names of the services (one container each) by host."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault of one trial, with everything drawn."""

    id: str
    kind: FaultKind
    params: Params
    targets: Services
    when: When | None
    event: Event
    written: Mapping[str, Any]
    """The parameters as the scenario writes them, with the axes' values, for people."""


def resolved(value: str, axis: Mapping[str, str]) -> str:
    """A field's value, with `$name` replaced by the axis value of this trial."""
    return axis[value[1:]] if value.startswith("$") else value


def unrolled(faults: Sequence[Fault]) -> list[Fault]:
    """Every repetition as a fault of its own, each but the first after the heal of the one before it.

    The first keeps its id; the n-th is called `id-n`. With `escalate` each has its own values.
    """
    found = []
    for fault in faults:
        times = fault.repeat.times if fault.repeat else 1
        for turn in range(times):
            steps = {name: values[min(turn, len(values) - 1)] for name, values in fault.escalate.items() if values}
            changes: dict[str, Any] = {"parameters": {**fault.parameters, **steps}, "repeat": None, "escalate": {}}
            if turn and fault.repeat:
                before = fault.id if turn == 1 else f"{fault.id}-{turn}"
                after = (fault.repeat.every, fault.repeat.every)
                changes |= {"id": f"{fault.id}-{turn + 1}", "when": When(healed=before), "after": after}
            found.append(fault.model_copy(update=changes))
    return found


def staged(rollout: Rollout) -> list[Fault]:
    """Every stage of a roll-out as a fault of its own, with its id in its parameters.

    Only the first has a moment or a marker. When the others begin, and when all end, is the roll-out's to say.
    """
    return [
        Fault.model_validate(
            {
                "id": name,
                "kind": rollout.kind,
                "target": stage.target,
                "when": None if number else rollout.when,
                "after": (0.0, 0.0) if number else rollout.after,
                "lasts": rollout.lasts,
                "with": {key: with_stage(value, stage.id) for key, value in rollout.parameters.items()},
            }
        )
        for number, (name, stage) in enumerate(zip(rollout.names, rollout.stages, strict=True))
    ]


def with_stage(value: Any, stage: str) -> Any:
    """A parameter with `{stage}` replaced in every text of it, at any depth."""
    if isinstance(value, str):
        return value.replace("{stage}", stage)
    if isinstance(value, Mapping):
        return {key: with_stage(one, stage) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [with_stage(one, stage) for one in value]
    return value


def all_faults(scenario: Scenario) -> list[Fault]:
    """Whatever a trial injects, in the order of the scenario: faults with their repetitions, then stages."""
    return unrolled(scenario.faults) + (staged(scenario.rollout) if scenario.rollout else [])


def marker(when: When | None) -> str:
    """What `after` counts from, in words."""
    if when is None:
        return "steady"
    if when.answered is not None:
        return f"request {when.answered} was answered"
    if when.changes is not None:
        return f"the list {when.changes} has changed"
    return f"{when.effective} is effective" if when.effective is not None else f"{when.healed} is healed"


def begins_and_ends(planned: Planned, scenario: Scenario, variant: str) -> str:
    """When one fault of a variant begins and how long it lasts, in words."""
    rollout, event = scenario.rollout, planned.event
    begins = f"{show_duration(event.delay)} after {marker(planned.when)}"
    if rollout is None or event.id not in rollout.names:
        return f"{begins}, for {show_duration(event.lasts)}{_of_life(event.lasts, scenario)}"
    soak = f"{show_duration(scenario.soak(variant))}{_of_life(scenario.soak(variant), scenario)}"
    place = rollout.names.index(event.id)
    if place:
        begins = f"{soak} after {rollout.names[place - 1]} took effect, if no gate has tripped"
    following = place + 1 < len(rollout.names)
    lasts = "until all are undone" if following else f"for its soak of {soak} and {show_duration(event.lasts)} more"
    if not following:
        lasts += _of_life(event.lasts, scenario)
    return f"as {event.id} {begins}, {lasts}"


def _of_life(seconds: float, scenario: Scenario) -> str:
    """What a time of the scenario stands for, where it passes faster than life: ` (1 h 20 min of life)`."""
    return "" if scenario.compression is None else f" ({scenario.compression.life(seconds)})"


def gate_in_words(rollout: Rollout) -> str:
    """What makes a roll-out stop, and what happens then."""
    gate = rollout.gate
    which = f" of {', '.join(gate.requests)}" if gate.requests else ""
    whose = f" whose {gate.by} is the stage" if gate.by else ""
    slow = f" or take longer than {show_duration(gate.at_most)}" if gate.at_most is not None else ""
    few = f"of the arrivals{which}{whose} within {show_duration(gate.window)}, {gate.arrivals} at least"
    share = min(1.0, gate.burn * (1 - gate.objective))
    return f"gate: more than {show_share(share)} {few}, fail{slow}; then no stage follows and all are undone, the last first"


def selected(selector: str, names: Sequence[str], seed: str, fault: str) -> list[str]:
    """The names that a selector means: one of SELECTORS, drawn from the seed, or a name itself."""
    ordered = sorted(names)
    if selector == "all":
        return ordered
    if selector == "one of":
        return [pick(seed, (fault, "host"), ordered)]
    if selector in ("minority", "majority"):
        shuffled = sorted(ordered, key=lambda name: draw(seed, fault, "part", name))
        small = (len(ordered) - 1) // 2
        return sorted(shuffled[:small] if selector == "minority" else shuffled[small:])
    return [selector]


def plan_trial(
    scenario: Scenario, seed: str, axis: Mapping[str, str], places: Places, catalogue: Mapping[str, FaultKind]
) -> list[Planned]:
    """Everything that a trial injects. Raises UsageError for a target that does not exist, or none."""
    planned = []
    for fault in all_faults(scenario):
        kind = catalogue[resolved(fault.kind, axis)]
        known = {
            name: filled(value, axis) for name, value in fault.parameters.items() if name in kind.params.model_fields
        }
        wanted = resolved(fault.target.name, axis)
        if fault.target.host is not None:
            choices: Services = places.everything
            drawn = list(places.hosts)
        else:
            choices = {service: [service] for service in places.instances}
            drawn = [service for services in places.hosts.values() for service in services]
        names = selected(wanted, drawn, seed, fault.id)
        if missing := [name for name in names if name not in choices]:
            raise UsageError(f"{fault.id}: there is no {' or '.join(missing)}; there are {', '.join(sorted(choices))}")
        if not names:
            raise UsageError(f"{fault.id}: {wanted} of {len(choices)} is nobody, so the fault has no target")
        planned.append(
            Planned(
                id=fault.id,
                kind=kind,
                params=kind.params.model_validate(known, context=dict(FROM_TEXT)),
                targets={name: choices[name] for name in names},
                when=fault.when,
                written=known,
                event=Event(
                    fault.id,
                    between(seed, (fault.id, "after"), *fault.after),
                    fault.lasts,
                    marked=fault.when is not None,
                    waits_for=(fault.when.effective or fault.when.healed or "") if fault.when else "",
                ),
            )
        )
    return planned


def timing(scenario: Scenario, events: Sequence[Event], variant: str = "") -> Timing:
    """The times of a trial of this variant."""
    tails = {fault.id: 0.0 for fault in scenario.faults}
    if scenario.rollout is not None:
        tails |= dict.fromkeys(scenario.rollout.names, 0.0)
    recover, watch = [scenario.steady.within], [0.0]
    for expectation in scenario.expectations:
        about = (expectation.fault if isinstance(expectation, Claim) else None) or next(iter(tails))
        tails[about] = max(tails[about], _tail(expectation))
        if isinstance(expectation, Recovers):
            recover.append(expectation.within)
        elif isinstance(expectation, FunctionsRecover) and expectation.since == "heal":
            watch.append(expectation.within + expectation.hold)
        elif isinstance(expectation, ExactlyOnce) or (isinstance(expectation, Returns) and expectation.since == "heal"):
            watch.append(expectation.within + scenario.steady.hold)
    return Timing(
        hold=scenario.steady.hold,
        steady_within=scenario.steady.within,
        events=tuple(events),
        tails=tails,
        recover_within=max(recover[1:] or recover) + 1.0,
        marker_within=scenario.steady.within,
        watch_after_heal=max(watch),
        course=_course(scenario, variant),
        control=any(isinstance(expectation, Bystanders) for expectation in scenario.expectations),
    )


def _course(scenario: Scenario, variant: str) -> Course | None:
    rollout = scenario.rollout
    return None if rollout is None else Course(rollout.names, scenario.soak(variant), rollout.lasts)


def _tail(expectation: Expectation) -> float:
    """How long after its fault an expectation can first be judged, seconds; 0 for what has no such limit."""
    if isinstance(expectation, Leaves | Appears | RunsAgain | Alerted | RunawayEnds):
        return expectation.within
    if isinstance(expectation, Returns):
        return expectation.within if expectation.since == "fault" else 0.0
    if isinstance(expectation, Ceiling | NotBlocked):
        return expectation.longest
    if isinstance(expectation, FunctionsRecover) and expectation.since == "fault":
        return expectation.within + expectation.hold
    return expectation.after if isinstance(expectation, NotCalled) else 0.0
