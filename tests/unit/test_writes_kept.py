"""Acknowledged writes are neither lost nor doubled: the check, on synthetic histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from histories import BEGAN, ENDED, HEALED, INJECTED, fault, history, scenario
from hypothesis import given
from hypothesis import strategies as st

from shaketable.checks.expectations import evaluate
from shaketable.model.claims import WritesKept
from shaketable.model.history import Look, Request, TrialHistory
from shaketable.model.result import Finding


def write(name: str, at: float, *, ok: bool = True, kind: str = "store") -> Request:
    """A request that stored this entry, by its answer's word."""
    return Request(at, at, at + 0.01, kind, ok, 201 if ok else 0, "" if ok else "no answer", "", (), name)


EARLY = [write(f"w{n}", BEGAN + 0.1 * n) for n in range(8)]
ALL = tuple(request.wrote for request in EARLY)


def kept(entries: Sequence[str] | None, requests: Sequence[Request] = tuple(EARLY), **changes: object) -> TrialHistory:
    """Eight writes before the fault; the ledger listed the first at once, and has these entries after heal."""
    looks = [
        Look(BEGAN + 0.2, "db", "ledger", ALL[:1]),
        Look(INJECTED + 0.3, "db", "ledger", None),
        Look(HEALED + 0.2, "db", "ledger", None if entries is None else tuple(entries)),
    ]
    return history(requests=list(requests), looks=looks, **changes)


def found(of: TrialHistory, lost_at_most: int = 0) -> Finding:
    """The finding."""
    claim = WritesKept(kind="writes-kept", id="kept", list="ledger", lost_at_most=lost_at_most)
    return evaluate(claim, of, scenario())


def test_all_are_there() -> None:
    """Every acknowledged write, each once, whatever else is listed."""
    finding = found(kept([*ALL, "somebody-elses"]))
    assert (finding.verdict, finding.value) == ("pass", 0.0)


@given(st.sets(st.sampled_from(ALL)), st.integers(0, 8))
def test_the_loss_is_counted(lost: set[str], allowed: int) -> None:
    """As many as are not there, whichever they are; more than is allowed fails."""
    finding = found(kept([entry for entry in ALL if entry not in lost]), allowed)
    assert (finding.verdict == "pass") == (len(lost) <= allowed)
    assert finding.value == len(lost)


def test_a_write_that_is_there_twice_fails() -> None:
    """Doubled is as wrong as lost, however much may be lost."""
    finding = found(kept([*ALL, ALL[3]]), 5)
    assert finding.verdict == "fail"
    assert "twice, as w3 in db" in finding.because


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    """A write without an answer proves nothing, either way."""
    unsure = [*EARLY, write("w-unsure", BEGAN + 0.9, ok=False)]
    assert found(kept(ALL, unsure)).verdict == "pass"
    assert found(kept([*ALL, "w-unsure"], unsure)).verdict == "pass"


def test_what_was_acknowledged_after_heal_is_not_asked_for() -> None:
    """The last look may have been taken before it."""
    assert found(kept(ALL, [*EARLY, write("later", ENDED - 0.05)])).verdict == "pass"


def test_other_requests_writes_belong_to_other_lists() -> None:
    """A write counts for the list that its kind of request was ever seen in."""
    assert found(kept(ALL, [*EARLY, write("x1", BEGAN + 0.5, kind="other")])).verdict == "pass"


def test_a_ledger_that_never_comes_back_has_lost_all() -> None:
    """Unreadable until the end of a trial that did not recover is a loss; where it did recover nobody knows."""
    finding = found(kept(None, recovered=None))
    assert finding.verdict == "fail"
    assert "db did not come back: 8 acknowledged writes" in finding.because
    assert found(kept(None)).verdict == "unknown"


@pytest.mark.parametrize(
    "of",
    [
        kept(ALL, []),
        kept(ALL, [replace(r, wrote="") for r in EARLY]),
        replace(kept(ALL), looks=[Look(BEGAN, "db", "ledger", ALL)]),
        replace(kept(ALL), looks=[]),
        replace(kept(ALL), faults=(fault(healed=ENDED),)),
    ],
)
def test_what_cannot_be_known_is_not_green(of: TrialHistory) -> None:
    """No write, no name of what was written, or no look after heal: unknown."""
    assert found(of).verdict == "unknown"
