"""Arrivals after the fault: whom they were sent on to, how many succeeded, and how long they took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shaketable.checks.findings import finding, names
from shaketable.checks.listed import belongs
from shaketable.checks.statistics import quantile
from shaketable.model.claims import Availability, Latency, NotCalled
from shaketable.model.history import FaultRecord, Request, TrialHistory
from shaketable.model.result import Evidence, Finding
from shaketable.model.scenario import Scenario
from shaketable.model.units import show_duration as show


def not_called(e: NotCalled, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """No request that starts after the limit and before heal is sent on to the target."""
    start, end = fault.injected + e.after, fault.heal_began
    window = [r for r in history.requests if start < r.started < end]
    if not window:
        return finding(
            e,
            "unknown",
            f"no request started between {show(e.after)} after the fault and heal",
            None,
            0.0,
            unit="requests",
        )
    if not any(r.upstreams for r in history.requests):
        return finding(e, "unknown", "no answer names the instances that were called", None, 0.0, unit="requests")
    bad = [(r, u) for r in window for u in r.upstreams if belongs(u, fault.targets)]
    if bad:
        first, upstream = bad[0]
        by = f" by {first.served_by}" if first.served_by else ""
        because = (
            f"{upstream} was called{by} {show(first.started - fault.injected)} after the {fault.kind}; "
            f"{len(bad)} such calls in {len(window)} requests"
        )
        evidence = [
            Evidence(where="pages", start=r.started - fault.injected, end=r.ended - fault.injected, text=f"called {u}")
            for r, u in bad[:50]
        ]
        return finding(e, "fail", because, float(len(bad)), 0.0, unit="requests", evidence=evidence)
    return finding(
        e, "pass", f"none of {len(window)} requests was sent on to {names(fault.targets)}", 0.0, 0.0, unit="requests"
    )


def since_fault(history: TrialHistory, fault: FaultRecord, except_first: float = 0.0) -> list[Request]:
    """Arrivals that were due from so many seconds after the fault's effect until the system was steady again."""
    start = fault.injected + except_first
    end = history.recovered if history.recovered is not None else history.ended
    return [r for r in history.requests if start <= r.scheduled <= max(end, start)]


def chosen(requests: Sequence[Request], wanted: Sequence[str], cohort: Mapping[str, str]) -> list[Request]:
    """Those with one of these names (any, if there are none) whose user was of this cohort."""
    return [
        r for r in requests if (not wanted or r.name in wanted) and (not cohort or cohort.items() <= r.labels.items())
    ]


def by_cohort(cohort: Mapping[str, str]) -> str:
    """` by app=2.0, plan=free`, to follow whatever these users did; empty for anybody."""
    return f" by {', '.join(f'{key}={value}' for key, value in sorted(cohort.items()))}" if cohort else ""


def _window(e: Availability | Latency, history: TrialHistory, fault: FaultRecord) -> tuple[list[Request], str, str]:
    """The arrivals that count, whose they are in words, and why nothing can be said of them; empty if something can."""
    window = chosen(since_fault(history, fault, e.except_first), e.requests, e.cohort)
    by = by_cohort(e.cohort)
    whose = f"{f' of {names(e.requests)}' if e.requests else ''}{by}"
    seen = {r.name for r in window}
    if window and (missing := [name for name in e.requests if name not in seen]):
        return window, whose, f"no arrival of {names(missing)}{by} fell into the window"
    return window, whose, "" if window else f"no arrival{whose} fell into the window"


def availability(e: Availability, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """The share of arrivals that succeeded."""
    window, whose, unseen = _window(e, history, fault)
    if unseen:
        return finding(e, "unknown", unseen, None, e.at_least, unit="share")
    bad = [r for r in window if not r.ok]
    share = 1 - len(bad) / len(window)
    because = (
        f"{len(window) - len(bad)} of {len(window)} arrivals{whose} succeeded"
        f" ({share:.1%}, at least {e.at_least:.3g} asked)"
    )
    if bad:
        because += f"; the first to fail: {bad[0].error or f'status {bad[0].status}'} after {show(bad[0].latency)}"
    return finding(e, "pass" if share >= e.at_least - 1e-12 else "fail", because, share, e.at_least, unit="share")


def latency(e: Latency, history: TrialHistory, fault: FaultRecord, _: Scenario) -> Finding:
    """A quantile of the latency, failed arrivals included, from the scheduled start."""
    window, whose, unseen = _window(e, history, fault)
    if unseen:
        return finding(e, "unknown", unseen, None, e.at_most)
    value = quantile([r.latency for r in window], e.quantile)
    slow = sum(r.latency > e.at_most for r in window)
    what = f"p{e.quantile * 100:g} of {len(window)} arrivals{whose}"
    because = f"{what} was {show(value)} (limit {show(e.at_most)}), {slow} were slower"
    return finding(e, "pass" if value <= e.at_most else "fail", because, value, e.at_most)
