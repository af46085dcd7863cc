"""Each expectation as the claim it makes about the system, as a person would put it."""

from __future__ import annotations

from collections.abc import Sequence

from shaketable.model.claims import (
    Alerted,
    Appears,
    ArrivalClaim,
    Audit,
    Availability,
    Bystanders,
    Ceiling,
    CohortsAlike,
    ExactlyOnce,
    Expectation,
    FunctionsRecover,
    Growth,
    Latency,
    Leaves,
    LimitsHold,
    NoLeak,
    NotBlocked,
    NotCalled,
    Quiet,
    Recovers,
    Returns,
    RolloutStops,
    RunawayEnds,
    RunsAgain,
    Slo,
    SoakCatches,
    Spared,
    Stays,
    WarnsEarly,
    WritesKept,
)
from shaketable.model.units import show_duration, show_share


def claim(expectation: Expectation) -> str:
    """Put an expectation as the claim it makes about the system."""
    match expectation:
        case Availability() | Latency() | CohortsAlike() | FunctionsRecover() | Recovers():
            words = _of_use(expectation)
        case Slo() | Bystanders():
            words = _of_levels(expectation)
        case Ceiling() | Growth() | Returns() | WarnsEarly() | NotBlocked() | NoLeak():
            words = _of_resources(expectation)
        case RunawayEnds() | Spared() | LimitsHold():
            words = _of_the_kernel(expectation)
        case Alerted() | Appears() | Quiet():
            words = _of_messages(expectation)
        case Audit() | RolloutStops() | SoakCatches():
            words = _of_changes(expectation)
        case _:
            words = _of_lists(expectation)
    return words


def _of_use(expectation: Availability | Latency | CohortsAlike | FunctionsRecover | Recovers) -> str:
    match expectation:
        case Availability():
            return f"{_arrivals(expectation)} succeed{_later(expectation.except_first)}"
        case Latency():
            of = f" of {_arrivals(expectation)}" if expectation.requests or expectation.cohort else ""
            return f"p{expectation.quantile * 100:g} latency{of} from the scheduled start{_later(expectation.except_first)}"
        case CohortsAlike():
            what = f" for {_quoted(expectation.requests)}" if expectation.requests else ""
            return f"no cohort by {_and(expectation.by)} fails more often{what} than all others, beyond chance"
        case FunctionsRecover():
            which = _quoted(expectation.requests) or "every function"
            number = "are" if expectation.requests[1:] else "is"
            also = "".join(f", “{name}” is at most {most:g}" for name, most in expectation.gauges.items())
            return f"{which} {number} good again after {_moment(expectation)}{also}, and all stay so"
        case Recovers():
            return "steady again after heal, and stays so"


def _of_levels(expectation: Slo | Bystanders) -> str:
    match expectation:
        case Slo():
            which = f"no endpoint{_who(expectation)}"
            if expectation.requests:
                which = f"none of {_quoted(expectation.requests)}{_who(expectation)}"
            good = f"{show_share(expectation.objective)} succeed"
            if expectation.at_most is not None:
                good += f" within {show_duration(expectation.at_most)}"
            part = "" if expectation.budget == 1 else f"{show_share(expectation.budget)} of "
            return f"{which} burns more than {part}its error budget: {good}"
        case Bystanders():
            which = _quoted(expectation.requests) or "every function"
            number, they = ("fare", "they are") if expectation.requests[1:] else ("fares", "it is")
            before = f"as before the fault up to p{100 * expectation.quantile:g}"
            return f"{which}{_who(expectation)} {number} {before}, for {they} not downstream of it"


def _of_resources(expectation: Ceiling | Growth | Returns | WarnsEarly | NotBlocked | NoLeak) -> str:
    match expectation:
        case Ceiling():
            often = f", or above for {show_duration(expectation.longest)} at a time" if expectation.longest else ""
            return f"“{expectation.gauge}” is at most {expectation.at_most:g} after the fault{often}"
        case Growth():
            return f"“{expectation.gauge}” counts no further than {expectation.at_most:g} more after the fault"
        case Returns():
            more = f" and {expectation.margin:g}" if expectation.margin else ""
            when = _moment(expectation)
            return f"“{expectation.gauge}” is back at what it was before any fault{more} after {when}, and stays so"
        case WarnsEarly():
            lead = f" {show_duration(expectation.lead)}" if expectation.lead else ""
            return f"“{expectation.gauge}” is above {expectation.above:g}{lead} before users feel anything, if they do"
        case NotBlocked():
            return f"nobody waits for another's lock in “{expectation.list}” for longer than the limit"
        case NoLeak():
            grows = f"does not grow by more than {expectation.at_most:g} a second, beyond chance"
            return f"what “{expectation.gauge}” falls back to in each cycle {grows}"


def _of_the_kernel(expectation: RunawayEnds | Spared | LimitsHold) -> str:
    match expectation:
        case RunawayEnds():
            above = " or ".join(f"“{name}” is above {most:g}" for name, most in expectation.gauges.items())
            return f"a runaway, while {above}, is over in time, each time, and ended by {_or(expectation.by)}"
        case Spared():
            return f"nobody outside of the fault's targets is killed for want of memory, by “{expectation.list}”"
        case LimitsHold():
            tried = f", and {_and(expectation.reached)} reached" if expectation.reached else ""
            limits = f"{_and(expectation.limits)} in “{expectation.list}”"
            return f"the limits of {limits} are those of the kernel, and use stays within them{tried}"


def _of_changes(expectation: Audit | RolloutStops | SoakCatches) -> str:
    match expectation:
        case Audit():
            return _of_configuration(expectation)
        case RolloutStops():
            stages = "stage" if expectation.stages_at_most == 1 else "stages"
            back = show_duration(expectation.rolled_back_within)
            return f"a gate stops the release after {expectation.stages_at_most} {stages}, and it is back within {back}"
        case SoakCatches():
            return "the first stage is looked at for long enough to see what is wrong with the release"


def _of_messages(expectation: Alerted | Appears | Quiet) -> str:
    match expectation:
        case Alerted():
            said = f"an alert with “{expectation.contains}” is delivered in “{expectation.list}”"
            return f"{said} after the fault, and none before"
        case Appears():
            return f"the fault is announced in “{expectation.list}”"
        case Quiet():
            text = f" with “{expectation.contains}”" if expectation.contains else ""
            return f"no alert{text} is in “{expectation.list}” while nothing is wrong"


def _of_configuration(expectation: Audit) -> str:
    rules = f" by {_and(expectation.rules)}" if expectation.rules else ""
    apart = f", {_and(expectation.without)} apart" if expectation.without else ""
    return f"before any fault nothing is to object to in the configuration{rules}{apart}"


def _of_lists(expectation: Leaves | NotCalled | RunsAgain | Stays | WritesKept | ExactlyOnce) -> str:
    match expectation:
        case Leaves():
            return f"every entry of the target leaves “{expectation.list}” in each holder, and stays away"
        case NotCalled():
            return f"nothing is sent to the target from {show_duration(expectation.after)} after the fault"
        case RunsAgain():
            return f"all of “{expectation.list}” that ran before the fault runs again, and goes on until heal"
        case Stays():
            return f"no healthy entry leaves “{expectation.list}” in any holder"
        case WritesKept():
            return f"what was acknowledged is in “{expectation.list}” afterwards, each write once"
        case ExactlyOnce():
            order = f", and in order for each {_and(expectation.in_order)}" if expectation.in_order else ""
            return f"what was acknowledged arrives in “{expectation.list}” in time, once{order}"


def _arrivals(expectation: Availability | Latency) -> str:
    """Name the arrivals that count: all, or those for some functions or of one cohort."""
    which = f"arrivals for {_quoted(expectation.requests)}" if expectation.requests else "arrivals"
    return f"{which}{_who(expectation)}"


def _who(expectation: ArrivalClaim) -> str:
    who = ", ".join(f"{key} {value}" for key, value in expectation.cohort.items())
    return f" from {who}" if who else ""


def _later(except_first: float) -> str:
    return f", the first {show_duration(except_first)} after the fault apart" if except_first else ""


def _moment(expectation: FunctionsRecover | Returns) -> str:
    return "the fault" if expectation.since == "fault" else "heal"


def _quoted(names: Sequence[str]) -> str:
    return _and([f"“{name}”" for name in names])


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else "".join(names)


def _or(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if names[1:] else "".join(names)
