"""Each expectation, and what makes a trial invalid, on histories made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import (
    BEGAN,
    ENDED,
    HEALED,
    INJECTED,
    beats,
    entries,
    fault,
    history,
    load_beats,
    looks,
    requests,
    scenario,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from shaketable.checks.judge import judge
from shaketable.model.history import LoadBeat, Look, TrialHistory, Witnessed
from shaketable.model.result import Finding


def finding(of: TrialHistory, id_: str) -> Finding:
    """What one expectation came to."""
    return next(f for f in judge(of, scenario()).expectations if f.id == id_)


def with_look(*more: Look) -> TrialHistory:
    """The flawless trial with further looks."""
    return history(looks=sorted([*looks(), *more], key=lambda look: look.at))


def test_a_flawless_trial_passes() -> None:
    """Every expectation passes, with its value, and the trial counts."""
    trial = judge(history(), scenario())
    assert trial.outcome == "pass"
    assert trial.invalid_because == ()
    assert trial.detection_s == pytest.approx(1.2)
    assert trial.recovery_s == pytest.approx(0.3)
    assert {f.verdict for f in trial.expectations} == {"pass"}


def test_an_entry_that_stays_fails_by_name() -> None:
    """The holder, the entry and the time are named when one entry of the dead host stays in one list."""
    stale = (*entries("host-1", "host-3")["services"], "host-2/billing")
    rows = [
        replace(look, entries=stale)
        if look.holder == "back-office-2" and look.list == "services" and INJECTED < look.at < HEALED
        else look
        for look in looks()
    ]
    found = finding(history(looks=rows), "services-leave")
    assert found.verdict == "fail"
    assert found.because == (
        "back-office-2 still listed host-2/billing 4 s after the power-off when it was healed (limit 3 s)"
    )
    assert judge(history(looks=rows), scenario()).detection_s is None


def test_late_is_late_even_if_it_leaves() -> None:
    """An entry that leaves after the limit fails, with the time it took."""
    found = finding(history(looks=looks(left_after=3.4)), "servers-leave")
    assert found.verdict == "fail"
    assert found.value == pytest.approx(3.4)


def test_a_resurrection_fails() -> None:
    """An entry that was gone and comes back while the host is down fails, however short."""
    back = Look(INJECTED + 3.5, "haproxy", "servers", ("host-1", "host-2", "host-3"))
    gone = Look(INJECTED + 3.6, "haproxy", "servers", ("host-1", "host-3"))
    found = finding(with_look(back, gone), "servers-leave")
    assert found.verdict == "fail"
    assert "haproxy listed host-2 again 3.5 s after" in found.because


def test_flapping_within_the_limit_is_not_a_resurrection() -> None:
    """What counts is being gone by the limit and staying gone."""
    back = Look(INJECTED + 2.0, "haproxy", "servers", ("host-1", "host-2", "host-3"))
    gone = Look(INJECTED + 2.1, "haproxy", "servers", ("host-1", "host-3"))
    assert finding(with_look(back, gone), "servers-leave").verdict == "pass"


def test_an_unreadable_holder_proves_nothing() -> None:
    """A holder that cannot be read at the limit neither lists nor drops: unknown, and the trial is invalid."""
    rows = [
        replace(look, entries=None) if look.holder == "registry" and INJECTED < look.at < HEALED else look
        for look in looks()
    ]
    trial = judge(history(looks=rows), scenario())
    assert trial.outcome == "invalid"
    assert any("registry could not be read" in why for why in trial.invalid_because)


def test_removing_a_healthy_instance_fails() -> None:
    """A bystander that disappears from any list, even for a moment, fails by name."""
    missing = Look(INJECTED + 2.0, "back-office-1", "servers", ("host-3",))
    there = Look(INJECTED + 2.2, "back-office-1", "servers", ("host-1", "host-3"))
    found = finding(with_look(missing, there), "healthy-servers-stay")
    assert found.verdict == "fail"
    assert found.because == "back-office-1 did not list host-1 for 200 ms, though it was healthy"


def test_a_call_to_the_dead_fails() -> None:
    """A request that is sent on to the dead host after the limit fails, naming who called whom and when."""
    rows = requests()
    late = next(i for i, r in enumerate(rows) if r.started > INJECTED + 3.2)
    rows[late] = replace(rows[late], upstreams=("host-1/catalog", "host-2/billing"))
    found = finding(history(requests=rows), "dead-not-called")
    assert found.verdict == "fail"
    assert "host-2/billing was called by back-office-1" in found.because


def test_a_call_before_the_limit_is_forgiven() -> None:
    """Until the limit has passed nobody can know."""
    rows = [replace(r, upstreams=("host-2/billing",)) if r.started < INJECTED + 2.9 else r for r in requests()]
    assert finding(history(requests=rows), "dead-not-called").verdict == "pass"


def test_failed_and_slow_arrivals_count_from_their_schedule() -> None:
    """Latency is from when an arrival was due, and a failed one is both unavailable and slow."""
    rows = [
        replace(r, ended=r.ended + 1.0, ok=False, status=0, error="no answer") if r.scheduled > INJECTED + 3.5 else r
        for r in requests()
    ]
    of = history(requests=rows, heard=ENDED + 2)
    assert finding(of, "pages-available").verdict == "fail"
    slow = finding(of, "pages-fast")
    assert slow.verdict == "fail"
    assert slow.value == pytest.approx(1.01)


def test_no_notice_fails_and_a_late_one_too() -> None:
    """The team has to be told within the limit; notices from before the fault do not count."""
    silent = [look for look in looks() if look.list != "notices"]
    old = Look(BEGAN - 1, "inbox", "notices", ("1 host-2 is gone",))
    assert finding(history(looks=[old, *silent]), "team-notified").verdict == "fail"
    late = Look(INJECTED + 5.1, "inbox", "notices", ("1 host-2 is gone", "2 host-2 is gone"))
    found = finding(history(looks=[old, *silent, late]), "team-notified")
    assert found.verdict == "fail"
    assert "only after 5.1 s" in found.because


def test_no_recovery_fails() -> None:
    """Steady state has to come back, and within the limit."""
    assert finding(history(recovered=None), "recovery").verdict == "fail"
    assert finding(history(recovered=HEALED + 5.2), "recovery").verdict == "fail"


INVALID = {
    "not steady": ({"steady": None, "faults": ()}, "not steady"),
    "broke off": ({"broke": "the agent vanished"}, "the agent vanished"),
    "not witnessed": ({"faults": (fault(witness=Witnessed(None, "silence", "it still answers")),)}, "it still answers"),
    "not clean": ({"faults": (fault(clean=False),)}, "not clean after heal"),
    "a gap": ({"look_beats": beats(gap=0.6)}, "was not looked at for 600 ms"),
    "a holder unseen": ({"look_beats": [b for b in beats() if b.holder != "haproxy"]}, "haproxy was not looked at"),
    "beats that end": ({"look_beats": [b for b in beats() if b.at < INJECTED + 2]}, "was not looked at"),
    "no load": ({"load_beats": [], "requests": []}, "the load was never heard of"),
    "load that ends": ({"load_beats": load_beats()[:10]}, "the load was silent"),
    "arrivals not started": ({"load_beats": [LoadBeat(b.at, 4, 1) for b in load_beats()]}, "could not be started"),
    "too few arrivals": ({"requests": requests()[::3]}, "arrivals of about"),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_makes_a_trial_invalid(name: str) -> None:
    """A fault that did not bite, a load that did not arrive or an observer that was starved is never green."""
    changes, because = INVALID[name]
    trial = judge(history(**changes), scenario())
    assert trial.outcome == "invalid"
    assert any(because in why for why in trial.invalid_because), trial.invalid_because


@settings(deadline=None)
@given(st.floats(0.001, 3.9))
def test_the_limit_is_sharp(left_after: float) -> None:
    """A list that is left at a moment passes exactly if the moment is within the limit."""
    found = finding(history(looks=looks(left_after=left_after)), "servers-leave")
    assert (found.verdict == "pass") == (INJECTED + left_after <= INJECTED + 3.0)
