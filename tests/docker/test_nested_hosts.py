"""Hosts with a Docker engine of their own: real engines, real upgrades, and faults on what runs inside."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from nested_site import NestedSite, await_that, nested_site

from shaketable.faults import CATALOGUE, UnfitError
from shaketable.run.conform import CanarySite, canary, conform


@pytest.fixture(scope="module", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals of these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHAKETABLE_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def site(_own_state: None) -> Iterator[NestedSite]:
    """One topology for all."""
    with nested_site() as site:
        site.keeper.witness()
        yield site


@pytest.fixture
def fresh(site: NestedSite) -> NestedSite:
    """The topology with everything running."""
    site.begin_again()
    return site


def test_an_upgrade_is_real_and_so_is_its_undo(fresh: NestedSite) -> None:
    """Other engines answer, 26.1 and then 20.10 again, on the same data: containers keep their ids and start anew."""
    site = fresh
    before, lives = site.states("plain"), site.lives("plain")
    assert site.engine("plain").version()["version"].startswith("20.10.24")
    injection = site.inject("engine-upgrade", "plain", to="26.1")
    assert site.engine("plain").version()["version"].startswith("26.1.5")
    assert injection.record is not None
    assert "26.1.5" in injection.record.witness.seen
    assert "20.10.24" in injection.record.witness.seen
    after = site.states("plain")
    assert {name: one.id for name, one in after.items()} == {name: one.id for name, one in before.items()}
    assert [name for name, one in sorted(after.items()) if one.running] == ["always", "stopped"]
    assert site.lives("plain")["always"] > lives["always"]
    record = injection.heal()
    assert record is not None
    assert record.clean, record.notes
    assert site.engine("plain").version()["version"].startswith("20.10.24")
    await_that(lambda: site.answers(8001, "plain"), 10.0, lambda: "the service does not answer after the downgrade")


EVENTS = ("engine-restart", "engine-upgrade", "engine-kill")
ALL = {"never", "failure", "stopped", "always"}
SURVIVORS: dict[tuple[str, str], set[str]] = {
    ("plain", "engine-restart"): {"stopped", "always"},
    ("plain", "engine-upgrade"): {"stopped", "always"},
    # The next engine ends what the killed one left, as if by hand: only `always` starts after that.
    ("plain", "engine-kill"): {"always"},
    **{("live", event): ALL for event in EVENTS},
}
"""What runs after its engine was restarted, upgraded (20.10 to 26.1) or killed; `failure` ends well, so it is left alone."""


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("host", ["plain", "live"])
def test_what_survives_its_engine(host: str, event: str, fresh: NestedSite) -> None:
    """The matrix of live-restore, restart policy and event, measured: who runs, and whose life is still the old one."""
    site = fresh
    lives = site.lives(host)
    old = site.facts([host])[0].pid
    injection = site.inject(event, host, **({"to": "26.1"} if event == "engine-upgrade" else {}))
    await_that(lambda: bool(_version(site, host)), 20.0, lambda: "no engine answers")
    expected = SURVIVORS[host, event]
    await_that(lambda: set(site.lives(host)) == expected, 15.0, lambda: f"{site.lives(host)} run, not {expected}")
    now = site.lives(host)
    if host == "live":
        assert now == lives  # the very same processes
    else:
        assert all(since > lives[name] for name, since in now.items())
    assert site.facts([host])[0].pid == old
    record = injection.heal()
    assert record is not None
    assert record.clean, record.notes


def _version(site: NestedSite, host: str) -> str:
    look = {"see": "nested-engine", **site.keeper.agent().resolve(host, site.facts([host])).members[0].step}
    return str(site.keeper.witness().look({"x": look})["x"].get("version", ""))


def test_the_users_own_engine_is_never_a_target(site: NestedSite) -> None:
    """An engine fault on a host without an engine of its own is refused before anything is done, and says why."""
    with pytest.raises(UnfitError, match="engine of a nested host, and peer has none of its own"):
        site.inject("engine-stop", "peer")


def test_a_partition_of_a_nested_host_reaches_what_runs_inside(fresh: NestedSite) -> None:
    """What its containers send and get passes its rules too: a peer gets no answer from them until it is healed."""
    site = fresh
    assert site.answers(8001, "plain")
    injection = site.inject("partition", "plain", peers=["peer"])
    assert not site.answers(8001, "plain")
    record = injection.heal()
    assert record is not None
    assert record.clean, record.notes
    assert site.answers(8001, "plain")


@pytest.fixture(scope="module")
def machine(_own_state: None) -> Iterator[CanarySite]:
    """The canary with its nested host."""
    with canary(print, [CATALOGUE["engine-stop"]]) as site:
        site.keeper.witness()
        yield site


_MODES = ("stop", "kill", "freeze", "power-off", "cut")
_OTHERS = ("slow", "lossy", "jam", "throttled", "spin", "hog", "fork")
CASES = [
    (kind, role)
    for role in ("machine", "machine/app")
    for kind in (*_MODES, *(k for k in _OTHERS if os.environ.get("NESTED_KINDS") == "all" or k in ("slow", "spin")))
]


@pytest.mark.parametrize(("kind", "role"), CASES)
def test_faults_conform_on_a_nested_host_and_on_what_runs_in_it(kind: str, role: str, machine: CanarySite) -> None:
    """A host with an engine of its own, and an instance in it, have faults like any other: effective, contained, clean."""
    given = {"processes": 20} if kind == "fork" else None  # a nested host has no limit to fill
    found = conform(machine, CATALOGUE[kind], given, role)
    assert found.ok, (found.problems, found.unfit)


def test_faults_of_one_way_names_that_mean_nothing_there_are_refused(machine: CanarySite) -> None:
    """Connections to what runs in a nested host do not end in it, so reset says which target would do."""
    found = conform(machine, CATALOGUE["reset"], {"port": 8000}, role="machine")
    assert "machine/web" in found.unfit
