"""The list `limits`: what is configured, what the kernel has, the most that was used, and how often it was hit."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shaketable.adapters.configured_limits import host_limits, service_limits
from shaketable.adapters.host_limits import HostLimits
from shaketable.model.kernel import Limit
from shaketable.run.limit_use import LimitUse, _floor
from shaketable.run.rates import Counted, Rates

FREE = {"cpu": None, "memory": None, "processes": None, "files": 1024, "disk": None}


def row(**others: Any) -> dict[str, Any]:
    """What was counted of an instance with limits of its own."""
    own = {**FREE, "cpu": 0.5, "memory": 64 << 20, "processes": 30}
    counted = {"life": 1, "held": 0.0, "bytes": 0, "tasks": 1, "peak": 1, "refused_by_it": None, "own": own}
    return {**counted, "kills": {}, "met": {}, "full": [], "refused": {}, "files": 3, "disk": 0, **others}


def limits(*looks: tuple[float, Any], cpus: float = 0.0, **configured: float) -> dict[str, Limit]:
    """Entries after these looks, by limit."""
    use = LimitUse("web", configured)  # type: ignore[arg-type]
    for at, one in looks:
        use.take(at, one, cpus)
    found = use.entries()
    assert found is not None
    return {one.limit: one for one in map(Limit.model_validate_json, found)}


def test_a_limit_that_is_configured_and_not_enforced_shows() -> None:
    """The kernel's word stands beside the file's: None, whatever is configured."""
    seen = limits((1.0, row(own=FREE)), memory=64 << 20)
    assert (seen["memory"].configured, seen["memory"].kernel) == (64 << 20, None)
    assert (seen["cpu"].configured, seen["files"].kernel) == (None, 1024)
    assert "disk" not in seen


def test_use_only_rises_and_is_never_told_as_more_than_it_was() -> None:
    """Three digits, rounded down, so that no limit seems passed."""
    seen = limits((1.0, row(bytes=67_108_863, tasks=29)), (1.1, row(bytes=5, tasks=2)), cpus=0.50349)
    assert (seen["memory"].used, seen["processes"].used, seen["cpu"].used) == (67_100_000, 29, 0.503)


@given(st.floats(1e-6, 1e12), st.integers(1, 6))
def test_rounding_is_down_and_close(number: float, digits: int) -> None:
    """By less than one unit of the last digit."""
    shown = _floor(number, digits)
    assert number * (1 - 10.0 ** (1 - digits)) - 1e-12 <= shown <= number * (1 + 1e-8)


def test_hits_are_counted_from_the_first_look_and_of_its_own_limits_only() -> None:
    """What was before is not counted; a kill is a limit's when that was met just before, by the nearest cgroup that was."""
    first = row(kills={"": 3}, met={"": 9}, held=5.0)
    seen = limits((1.0, first), (1.1, row(kills={"": 4}, met={"": 12}, held=6.25)))
    assert (seen["memory"].hits, seen["cpu"].hits) == (1, 1.2)
    assert limits((1.0, row()), (1.1, row(kills={"": 1})))["memory"].hits == 0  # by the limit of a host around it
    inner = row(kills={"docker/w": 1}, met={"": 1, "docker/w": 2})
    assert limits((1.0, row()), (1.1, inner))["memory"].hits == 0
    outer = row(kills={"docker/w": 1}, met={"": 1})
    assert limits((1.0, row()), (1.1, outer))["memory"].hits == 1
    unswapped = row(kills={"docker/w": 1}, full=[""])
    assert limits((1.0, row()), (1.1, unswapped))["memory"].hits == 1
    late = row(kills={"": 1}, met={"": 1})
    assert limits((1.0, row()), (1.1, row(met={"": 1})), (3.0, late))["memory"].hits == 0
    assert limits((1.0, row(own=FREE)), (1.1, row(own=FREE, kills={"": 1}, met={"": 1})))["memory"].hits == 0


def test_refused_forks_are_its_limits_when_that_was_full_or_the_kernel_says_so() -> None:
    """In v1 the most tasks that there were tell it; in v2 there is a counter of its own limit."""
    assert limits((1.0, row()), (1.1, row(refused={"": 7}, peak=30)))["processes"].hits == 7
    assert limits((1.0, row()), (1.1, row(refused={"": 7}, peak=29)))["processes"].hits == 0
    v2 = row(refused_by_it=0)
    assert limits((1.0, v2), (1.1, row(refused={"": 7}, refused_by_it=2, peak=30)))["processes"].hits == 2


def test_what_never_ran_is_unknown_and_what_ended_keeps_what_it_had() -> None:
    """No entry is made up."""
    use = LimitUse("web", {})
    use.take(1.0, None, None)
    assert use.entries() is None
    use.take(1.1, row(tasks=9), None)
    known = use.entries()
    use.take(1.2, None, None)
    assert use.entries() == known


def test_counters_go_on_over_lives_and_over_cgroups_that_are_gone() -> None:
    """A container that starts again begins at 0, and what was counted in a cgroup stays counted without it."""
    counted = Counted()
    counted.take(1, {"a": 5})
    counted.take(1, {"a": 7, "b": 1})
    counted.take(1, {"b": 1})
    counted.take(None, None)
    counted.take(2, {"b": 2})
    assert (counted.total, counted.all) == ({"a": 2, "b": 3}, 5)
    late = Counted()
    late.take(None, None)
    late.take(1, {"": 2})
    assert late.all == 2  # it began under our eyes


def test_the_gauge_of_time_held_back_is_of_one_limit() -> None:
    """When another limit becomes the tightest its counter is another, and for that second nothing is known."""
    rates = Rates()
    most = {"cpu": 1.0, "memory": 100, "processes": 10}
    one = {**row(), "cpu": 0.0, "most": most, "throttled": 1.0, "holder": "own"}
    rates.gauges(1.0, {"web": one})
    assert rates.gauges(2.0, {"web": {**one, "throttled": 1.25}})["throttled web"] == ("0.25",)
    assert rates.gauges(2.1, {"web": {**one, "throttled": 90.0, "holder": "host"}})["throttled web"] is None
    shown = rates.gauges(2.2, {"web": {**one, "files_share": 0.5, "disk_share": None, "kills": {"": 2}}})
    assert (shown["files web"], shown["disk web"], shown["oom-kills web"]) == (("0.5",), None, ("2",))


def test_limits_are_read_wherever_compose_has_them() -> None:
    """As `docker compose config` writes them: sizes as texts of bytes; 0 and -1 are no limit."""
    assert service_limits({"mem_limit": "67108864", "cpus": 0.5, "pids_limit": 30, "ulimits": {"nofile": 512}}, {}) == {
        "memory": 64 << 20,
        "cpu": 0.5,
        "processes": 30,
        "files": 512,
    }
    deploy = {"resources": {"limits": {"cpus": "0.25", "memory": "33554432", "pids": 20}}}
    nofile = {"nofile": {"soft": 100, "hard": 200}}
    volumes = [{"type": "volume", "source": "v", "target": "/v"}, {"type": "bind", "source": "w"}]
    assert service_limits({"deploy": deploy, "ulimits": nofile, "volumes": volumes}, {"v": 1 << 28, "w": 1}) == {
        "memory": 32 << 20,
        "cpu": 0.25,
        "processes": 20,
        "files": 200,
        "disk": 1 << 28,
    }
    assert service_limits({"cpu_quota": 6000, "cpu_period": 20000}, {}) == {"cpu": 0.3}
    assert service_limits({"cpu_quota": 30000}, {}) == {"cpu": 0.3}
    assert service_limits({"mem_limit": "0", "pids_limit": -1, "cpu_quota": -1, "cpu_period": 20000}, {}) == {}
    assert host_limits(HostLimits(512 << 20, 0.6, None), 1 << 29) == {"memory": 512 << 20, "cpu": 0.6, "disk": 1 << 29}
