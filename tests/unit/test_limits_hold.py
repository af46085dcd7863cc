"""Limits as configured and as the kernel has them, on histories built by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inbox_histories import BEGAN, ENDED, INJECTED
from kernel_histories import TENANT, judged, limit, looks

from shaketable.model.claims import LimitsHold
from shaketable.model.history import Look
from shaketable.model.result import Finding

MIB = float(1 << 20)


def held(looked: list[Look], **described: Any) -> Finding:
    """Memory alone unless told."""
    plain = {"kind": "limits-hold", "id": "l", "list": "limits-a", "limits": ["memory"], **described}
    return judged(LimitsHold.model_validate(plain), looked)


def of(*entries: str) -> list[Look]:
    """The same all the time."""
    return looks("limits-a", entries)


def memory(kernel: float | None = 64 * MIB, used: float = 60 * MIB, hits: float = 0) -> str:
    """The compose file limits it to 64 MiB."""
    return limit("memory", 64 * MIB, kernel, used, hits)


def test_as_configured_passes() -> None:
    """With what it is held to and the most that was used, in the units of people."""
    finding = held(
        of(memory(), limit("cpu", 0.25, 0.25, 0.249, 3.0), limit("processes", 40, 40, 12)),
        limits=["memory", "cpu", "processes"],
    )
    assert finding.verdict == "pass"
    assert finding.because == (
        f"{TENANT} is held to 64 MiB of memory, used 60 MiB at most; "
        f"{TENANT} is held to 0.25 CPUs, used 0.249 CPUs at most; "
        f"{TENANT} is held to 40 processes, used 12 processes at most"
    )


def test_configured_and_not_enforced_is_said_in_a_sentence_of_its_own() -> None:
    """However little was used."""
    finding = held(of(memory(kernel=None, used=1)))
    assert (finding.verdict, finding.value) == ("fail", 1.0)
    assert finding.because == (
        f"{TENANT}: the compose file limits memory to 64 MiB, yet the kernel holds it to none: "
        "the limit is configured and not enforced"
    )
    assert [(e.where, round(e.end, 6)) for e in finding.evidence] == [("kernel", ENDED - INJECTED)]


def test_another_number_is_another_limit() -> None:
    """A higher one is not enforced as it is; a lower one is not what was configured."""
    higher = held(of(memory(kernel=96 * MIB))).because
    assert "yet the kernel holds it to 96 MiB: the limit is configured and not enforced as it is" in higher
    lower = held(of(memory(kernel=32 * MIB)))
    assert (lower.verdict, lower.because.endswith("yet the kernel holds it to 32 MiB")) == ("fail", True)
    assert held(of(limit("processes", 40, 41)), limits=["processes"]).verdict == "fail"


def test_a_limit_that_is_not_configured_fails() -> None:
    """Also where the kernel has one, which then comes from elsewhere."""
    finding = held(of(limit("cpu", None, 0.5)), limits=["cpu"])
    assert (finding.verdict, finding.because) == ("fail", f"{TENANT}: the compose file does not limit CPU")


@pytest.mark.parametrize(
    ("name", "configured", "kernel", "verdict"),
    [
        ("memory", 64 * MIB + 100, 64 * MIB, "pass"),
        ("memory", 64 * MIB + 65536, 64 * MIB, "fail"),
        ("cpu", 0.333, 0.33299, "pass"),
        ("cpu", 0.333, 0.32, "fail"),
        ("processes", 40, 40, "pass"),
        ("files", 1024, 1023, "fail"),
    ],
)
def test_the_kernel_rounds(name: str, configured: float, kernel: float, verdict: str) -> None:
    """Memory to pages, CPU to microseconds, nothing else."""
    assert held(of(limit(name, configured, kernel)), limits=[name]).verdict == verdict


@pytest.mark.parametrize(
    ("name", "most", "used", "verdict"),
    [
        ("cpu", 0.5, 0.55, "pass"),
        ("cpu", 0.5, 0.56, "fail"),
        ("memory", 64 * MIB, 64.5 * MIB, "pass"),
        ("memory", 64 * MIB, 65 * MIB, "fail"),
        ("processes", 40, 56, "pass"),
        ("processes", 40, 57, "fail"),
        ("files", 1024, 1025, "fail"),
    ],
)
def test_use_above_the_limit_fails(name: str, most: float, used: float, verdict: str) -> None:
    """But for what the kernel lets be above it though the limit holds."""
    finding = held(of(limit(name, most, most, used)), limits=[name])
    assert finding.verdict == verdict
    assert (": the limit does not hold" in finding.because) == (verdict == "fail")


@given(st.floats(-1.5, 70), st.floats(0.3, 20))
def test_a_limit_that_is_lifted_in_the_middle_is_caught(at: float, seconds: float) -> None:
    """Whenever that is from steady state on, and for however short a time."""
    finding = held(looks("limits-a", [memory()], (at, [memory(kernel=None)]), (at + seconds, [memory()])))
    assert finding.verdict == "fail"
    assert ("before the deploy on" if INJECTED + at < INJECTED else "after the deploy on") in finding.because


def test_before_steady_state_nothing_counts() -> None:
    """Limits that an installer sets as it starts."""
    early = looks("limits-a", [memory(kernel=None)], (BEGAN + 1 - INJECTED, [memory()]))
    assert held(early).verdict == "pass"


def test_reached_is_proof_and_never_reached_is_unknown() -> None:
    """By the kernel's counters, from steady state on; a counter that begins anew has counted."""
    quiet = held(of(memory(hits=3)), reached=["memory"])
    assert (quiet.verdict, quiet.because) == (
        "unknown",
        f"the limit of memory of {TENANT} was never reached after the deploy, so nothing shows that it holds",
    )
    hit = held(looks("limits-a", [memory(hits=3)], (5, [memory(hits=5)])), reached=["memory"])
    assert (hit.verdict, hit.because.endswith("and ran into it 2 times")) == ("pass", True)
    assert held(looks("limits-a", [memory(hits=3)], (5, [memory(hits=1)])), reached=["memory"]).verdict == "pass"
    full = {"limits": ["files"], "reached": ["files"]}
    assert held(of(limit("files", 1024, 1024, 1020)), **full).verdict == "pass"
    assert held(of(limit("files", 1024, 1024, 900)), **full).verdict == "unknown"


def test_what_nobody_said_is_unknown() -> None:
    """No list, an empty one, one without the limit, one that nobody understands, or dark for long or at the end."""
    assert held([]).because == f"nobody ever said what the limits of {TENANT} are"
    assert held(of()).because == f"kernel said nothing of the limits of {TENANT}"
    assert (
        held(of(memory()), limits=["memory", "cpu"]).because == f"kernel said nothing of the limit of cpu of {TENANT}"
    )
    assert held(of(memory(), "{}")).verdict == "unknown"
    assert held(looks("limits-a", [memory()], (3, None), (6, [memory()]))).verdict == "unknown"
    assert held(looks("limits-a", [memory()], (3, None), (4, [memory()]))).verdict == "pass", "it was started again"
    assert held(looks("limits-a", [memory()], (ENDED - INJECTED - 1.5, None))).verdict == "unknown"
    assert held(looks("limits-a", [memory(kernel=None)], (3, None))).verdict == "fail"
