"""Nobody outside of the fault's targets is killed for want of memory, on histories built by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import ENDED, INJECTED
from kernel_histories import TENANT, end, judged, looks, release

from shaketable.model.claims import Spared
from shaketable.model.history import Look
from shaketable.model.result import Finding

HOST = "the memory limit of server-1"


def spared(looked: list[Look], claim: dict[str, Any] | None = None, **changes: object) -> Finding:
    """By the list of all ends."""
    plain = {"kind": "spared", "id": "s", "list": "ended", **(claim or {})}
    return judged(Spared.model_validate(plain), looked, **changes)


def killed(at: float, of: str, command: str = "mariadbd", **described: Any) -> str:
    """A process that the kernel killed as the host's memory was used up."""
    return end(at, of=of, command=command, by="limit", signal=9, who=HOST, **described)


def ended(*entries: str) -> list[Look]:
    """All of them on the list from 30 s after the fault on."""
    return looks("ended", [], (30, entries))


def test_nobody_killed_passes() -> None:
    """And the target's own processes may be."""
    assert spared(ended()).because == f"no process outside of {TENANT} was killed for want of memory"
    finding = spared(ended(killed(3, TENANT, "python3", pid=1), killed(4, TENANT, "python3", pid=2)))
    assert (finding.verdict, finding.value) == ("pass", 0.0)
    assert finding.because.endswith("; of those 2 were")


def test_an_innocent_fails_with_who_when_and_whose_limit() -> None:
    """The first by name, the others after it, and each as a point on the timeline."""
    finding = spared(
        ended(
            killed(4.2, "server-1/mariadb"),
            killed(5, "server-1/tenant-b", "python3", pid=8),
            killed(6, "server-1/tenant-b", "python3", pid=9),
            killed(3, TENANT, "python3", pid=3),
        )
    )
    assert (finding.verdict, finding.value, finding.unit) == ("fail", 3.0, "processes")
    assert finding.because == (
        "mariadbd of server-1/mariadb was killed for want of memory 4.2 s after the deploy, "
        f"as {HOST} was reached; so was python3 of server-1/tenant-b 2 times; the fault was aimed at {TENANT}"
    )
    assert [(e.where, round(e.start, 6)) for e in finding.evidence] == [("kernel", n) for n in (3.0, 4.2, 5.0, 6.0)]


def test_ended_otherwise_is_not_killed_for_want_of_memory() -> None:
    """By its guard, by itself, or by the engine."""
    others = [end(3, of="server-1/tenant-b", by=by, pid=n) for n, by in enumerate(("guard", "itself", "engine"))]
    assert spared(ended(*others)).verdict == "pass"


def test_of_a_host_that_is_the_target_all_is() -> None:
    """And nothing of another; `server-10` is not on `server-1`."""
    aimed = {"faults": (release(targets=("server-1",), members={}),)}
    assert spared(ended(killed(3, "server-1/mariadb"), killed(3, "server-1")), **aimed).verdict == "pass"
    assert spared(ended(killed(3, "server-10/mariadb")), **aimed).verdict == "fail"
    assert spared(ended(killed(3, "server-1"))).verdict == "fail"


def test_with_several_faults_none_of_their_targets_is_innocent_unless_the_claim_names_one() -> None:
    """What the second was aimed at is not the first one's."""
    both = (release(), release(id="second", targets=("server-2/tenant-a",), members={}))
    victim = ended(killed(3, "server-2/tenant-a"))
    assert spared(victim, faults=both).verdict == "pass"
    assert spared(victim, {"fault": "release"}, faults=both).verdict == "fail"


@given(st.floats(-20, 100))
def test_it_counts_from_the_fault_until_the_trial_ends(at: float) -> None:
    """What was on the list before is of the trial before."""
    counts = INJECTED <= INJECTED + at <= ENDED
    assert spared(ended(killed(at, "server-1/mariadb"))).verdict == ("fail" if counts else "pass")


def test_what_nobody_could_read_is_unknown() -> None:
    """No list, none after the fault, none at the end, or entries that nobody understands; what was seen counts."""
    assert spared([]).because == "nobody ever said what is on the list ended"
    assert spared(looks("ended", [], (-1, None))).verdict == "unknown"
    assert spared(looks("ended", [], (70, None))).verdict == "unknown"
    assert spared(looks("ended", [], (3, None), (9, []))).verdict == "pass"
    lost = "3 signals were lost: more were sent than could be read, at 108.00"
    finding = spared(looks("ended", [], (3, [lost])))
    assert finding.verdict == "unknown"
    assert finding.because == f"the list ended of kernel says of itself: {lost}"
    assert spared(looks("ended", [lost], (3, [lost]))).verdict == "pass", "that was before the fault"
    assert spared(looks("ended", [], (3, [killed(2, "server-1/mariadb")]), (5, None))).verdict == "fail"


def test_what_two_holders_say_of_one_end_is_said_once() -> None:
    """Also when one is not of the trial's own list any more."""
    one = killed(4, "server-1/mariadb")
    twice = [*ended(one), *(Look(look.at, "other", look.list, look.entries) for look in ended(one))]
    assert spared(twice).value == 1.0
