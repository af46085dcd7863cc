"""Every kind of expectation, as typed, frozen data: a claim over what was recorded, with its limit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from shaketable.model.audit import AuditRule
from shaketable.model.kernel import Ender, LimitName
from shaketable.model.parts import Label, Model, NameStr, Number
from shaketable.model.units import Duration, Share


class Claim(Model):
    """Base of every expectation: `fault` names the fault it is about, the first one of the trial unless told."""

    fault: NameStr | None = None


class Leaves(Claim):
    """Every entry of the target leaves `list` in every holder within the limit, and none comes back before heal."""

    kind: Literal["leaves"]
    id: NameStr
    list: NameStr
    within: Duration


class Stays(Claim):
    """No entry of a bystander leaves `list` in any holder, from the fault until the end of the trial."""

    kind: Literal["stays"]
    id: NameStr
    list: NameStr


class NotCalled(Claim):
    """No request that starts later than `after` the fault, and before heal, is sent on to the target."""

    kind: Literal["not-called"]
    id: NameStr
    after: Duration


class ArrivalClaim(Claim):
    """Base of the claims about arrivals: of all, or of those with one of these names, by a user of this cohort."""

    requests: tuple[str, ...] = ()
    """Names of requests: the functions as their users name them."""
    cohort: dict[Label, Label] = {}


class Availability(ArrivalClaim):
    """Share of arrivals that succeed, from the fault until steady again, without the first `except_first` seconds."""

    kind: Literal["availability"]
    id: NameStr
    at_least: Share
    except_first: Duration = 0.0


class Latency(ArrivalClaim):
    """A quantile of the latency from the scheduled start, in the same window as `availability`."""

    kind: Literal["latency"]
    id: NameStr
    quantile: Share = 0.99
    at_most: Duration
    except_first: Duration = 0.0


class Appears(Claim):
    """An entry with the text `contains` (`{target}` stands for the target's name) newly appears in `list` within the limit."""

    kind: Literal["appears"]
    id: NameStr
    list: NameStr
    contains: str = "{target}"
    within: Duration


class WritesKept(Claim):
    """Every write acknowledged before heal is in `list` of every holder at the end of the trial, and only once."""

    kind: Literal["writes-kept"]
    id: NameStr
    list: NameStr
    lost_at_most: Annotated[int, Field(ge=0)] = 0
    """The recovery point objective: how many acknowledged writes may be gone."""


class Recovers(Claim):
    """Steady state is reached, and held, within the limit after heal."""

    kind: Literal["recovers"]
    id: NameStr
    within: Duration


class RunsAgain(Claim):
    """Whatever ran when the fault was sent runs `within` after its effect at the latest, and from then on until heal."""

    kind: Literal["runs-again"]
    id: NameStr
    list: NameStr
    """A `names` list of a holder of the kind `containers`."""
    within: Duration


class FunctionsRecover(Claim):
    """Every function is good again, and every gauge at most its number, within the limit, and stays so.

    A function is the arrivals with one name. It is good in a window if enough of them succeed and their p95 is at most
    `at_most`; without `at_most` it is held against what it was before the first fault.
    """

    kind: Literal["functions-recover"]
    id: NameStr
    within: Duration
    since: Literal["fault", "heal"] = "heal"
    """What `within` counts from. After a fault the claim is judged until heal, after heal until the trial's end."""
    requests: tuple[str, ...] = ()
    """Names of the functions; all that anybody asked for unless told."""
    at_least: Share = 0.95
    at_most: Duration | None = None
    gauges: dict[NameStr, Number] = {}
    window: Duration = Field(default=1.0, gt=0)
    hold: Duration = 2.0
    """How long all must have been good at least when the claim's time is over."""


class CohortsAlike(Claim):
    """No cohort fails more often than all other arrivals, by more than `at_most` and beyond chance.

    In the same window as `availability`. Cohorts are told apart by the values of the keys in `by`.
    """

    kind: Literal["cohorts-alike"]
    id: NameStr
    by: tuple[Label, ...] = Field(min_length=1)
    at_most: Share = 0.05
    requests: tuple[str, ...] = ()


class Alerted(Claim):
    """An entry with the text `contains` appears in `list` within the limit, and none was there while all was well.

    `{target}` stands for the target's name.
    """

    kind: Literal["alerted"]
    id: NameStr
    list: NameStr
    contains: str
    within: Duration


class Quiet(Claim):
    """No entry with the text `contains` is in `list` while nothing is wrong: from steady state on until the fault."""

    kind: Literal["quiet"]
    id: NameStr
    list: NameStr
    contains: str = ""


class GaugeClaim(Claim):
    """Base of the claims about a number that some holder reads."""

    gauge: NameStr


class Ceiling(GaugeClaim):
    """From the fault until the trial's end the gauge is at most its number, in every holder that reads it.

    It may be above for `longest` at a time. While it could not be read it may have been above.
    """

    kind: Literal["ceiling"]
    id: NameStr
    at_most: Number
    longest: Duration = 0.0


class Growth(GaugeClaim):
    """What only counts up (deadlocks) is at the trial's end higher by at most `at_most` than when the fault was sent.

    When it falls, whoever counts began anew at 0: what it was before is not forgotten.
    """

    kind: Literal["growth"]
    id: NameStr
    at_most: Annotated[float, Field(allow_inf_nan=False, ge=0)]


class Returns(GaugeClaim):
    """The gauge is back, within the limit, at the most that it was before the first fault, and stays there: no orphans.

    Before the first fault is from steady state on. After a fault the claim is judged until heal, after heal until the
    trial's end, or the next fault.
    """

    kind: Literal["returns"]
    id: NameStr
    within: Duration
    since: Literal["fault", "heal"] = "heal"
    """What `within` counts from."""
    margin: Annotated[float, Field(allow_inf_nan=False, ge=0)] = 0.0
    """By how much it may stay above."""


class WarnsEarly(GaugeClaim):
    """The gauge says that it is above its number before any function of the users is degraded, if one ever is.

    A function is degraded as on the status page: more than 5 % of a second's arrivals fail, or it is slow against what
    it was. What is above in steady state already, when nothing is wrong, warns of nothing.
    """

    kind: Literal["warns-early"]
    id: NameStr
    above: Number
    lead: Duration = 0.0
    """How long before, at least."""


class NotBlocked(Claim):
    """From the fault until the trial's end no session waits for another's lock for longer than `longest`."""

    kind: Literal["not-blocked"]
    id: NameStr
    list: NameStr
    """A `waits` list of a holder of the kind `database`."""
    longest: Duration


class Slo(ArrivalClaim):
    """No endpoint burns more of its error budget than `budget`, in the same window as `availability`.

    Each name of a request is an endpoint. An arrival is good if it succeeds within `at_most`; of all, the share
    `objective` has to be good, and the rest is the error budget (Google, Site Reliability Workbook, chapter 5).
    """

    kind: Literal["slo"]
    id: NameStr
    objective: Annotated[Share, Field(gt=0, lt=1)] = 0.99
    at_most: Duration | None = None
    budget: Annotated[float, Field(allow_inf_nan=False, gt=0)] = 1.0
    """How much of it may be burnt: 1 is all of it."""


class Bystanders(ArrivalClaim):
    """Arrivals that are not downstream of the fault fare as in the control window: that before the first fault.

    Judged for each name of a request by itself, so that none hides behind the others. The share that fails exceeds the
    control's by at most `at_most`, and the `quantile` of the latency is at most `times` the control's, or `slower` above
    it; both beyond chance. The control window begins with the steady stretch, so `steady.hold` and the first fault's
    `after` make its length.
    """

    kind: Literal["bystanders"]
    id: NameStr
    at_most: Share = 0.02
    quantile: Annotated[Share, Field(ge=0.5, lt=1)] = 0.95
    times: Annotated[float, Field(allow_inf_nan=False, ge=1)] = 2.0
    slower: Duration = 0.25
    control: Duration = 2.0
    """How much of the control window must have been seen at least."""


class ExactlyOnce(Claim):
    """Every acknowledged write arrives at its destination: `list` of every holder has it in time, once, and in order.

    A write is late when it is first seen more than `within` after its answer. Judged are the writes whose time was over
    when the trial ended. It is out of order when one of the same cohort that was sent after its answer is seen earlier.
    """

    kind: Literal["exactly-once"]
    id: NameStr
    list: NameStr
    within: Duration
    lost_at_most: Annotated[int, Field(ge=0)] = 0
    doubled_at_most: Annotated[int, Field(ge=0)] = 0
    late_at_most: Annotated[int, Field(ge=0)] = 0
    in_order: tuple[Label, ...] = ()
    """Keys of the cohorts within which the order counts, as `tenant`; nowhere unless told."""
    out_of_order_at_most: Annotated[int, Field(ge=0)] = 0


class RunawayEnds(Claim):
    """A runaway in an instance is over within the limit, each time, and it was ended by one of these.

    It runs away while any of the gauges is above its number, from the fault on. That none ever was leaves it unknown.
    """

    kind: Literal["runaway-ends"]
    id: NameStr
    gauges: dict[NameStr, Number] = Field(min_length=1)
    ends: NameStr
    """An `ends INSTANCE` list of a holder of the kind `containers`."""
    within: Duration
    by: tuple[Ender, ...] = ("guard", "limit", "watchdog")


class Spared(Claim):
    """No process outside of the fault's targets is ended by the kernel for want of memory: no OOM kill of an innocent."""

    kind: Literal["spared"]
    id: NameStr
    list: NameStr
    """An `ends` list of a holder of the kind `containers`."""


class LimitsHold(Claim):
    """Limits that the configuration states are those that the kernel has, and use stays within them from the fault on.

    A limit that is configured and that the kernel does not have fails, however little was used.
    """

    kind: Literal["limits-hold"]
    id: NameStr
    list: NameStr
    """A `limits INSTANCE` list of a holder of the kind `containers`."""
    limits: tuple[LimitName, ...] = ("memory", "cpu", "processes")
    """Each of them must be configured."""
    reached: tuple[LimitName, ...] = ()
    """Those that must have been reached, by the kernel's counters: proof that they were tried."""


class NoLeak(GaugeClaim):
    """What the gauge falls back to in each cycle does not grow by more than `at_most` per second, beyond chance.

    The slope through the lowest reading of each cycle, with its 95 % interval; after the fault and before its heal.
    """

    kind: Literal["no-leak"]
    id: NameStr
    at_most: Annotated[float, Field(allow_inf_nan=False, ge=0)]
    """How much of the gauge's own unit each second."""
    cycle: Duration = Field(default=1.0, gt=0)
    full: Number = 1.0
    """Where the limit is, to say when it would be reached."""


class RolloutStops(Model):
    """A release that is bad is stopped by a gate after so many stages, and rolled back within the limit."""

    kind: Literal["rollout-stops"]
    id: NameStr
    stages_at_most: Annotated[int, Field(ge=1)] = 1
    """How many stages may have seen it."""
    rolled_back_within: Duration = 10.0
    """From when the gate could have known until the last stage was rolled back."""


class SoakCatches(Model):
    """The soak time of the first stage was long enough for its gate to see what was wrong.

    The value is the shortest soak that would have caught it, computed from the history.
    """

    kind: Literal["soak-catches"]
    id: NameStr


class Audit(Model):
    """The configuration has, as it was before any fault, nothing that one of these rules objects to.

    What is audited is the topology of the variant and its nested hosts, as `shaketable audit` does. The engine that the
    trials run on is the table, not a part of the topology: it is not audited.
    """

    kind: Literal["audit"]
    id: NameStr
    rules: tuple[AuditRule, ...] = ()
    """All rules unless told."""
    without: tuple[AuditRule, ...] = Field(default=(), alias="except")
    """Rules that do not count."""


Expectation = Annotated[
    Leaves
    | Stays
    | NotCalled
    | Availability
    | Latency
    | Appears
    | WritesKept
    | Recovers
    | RunsAgain
    | FunctionsRecover
    | CohortsAlike
    | Alerted
    | Quiet
    | Ceiling
    | Growth
    | Returns
    | WarnsEarly
    | NotBlocked
    | Slo
    | Bystanders
    | ExactlyOnce
    | RunawayEnds
    | Spared
    | LimitsHold
    | NoLeak
    | RolloutStops
    | SoakCatches
    | Audit,
    Field(discriminator="kind"),
]
