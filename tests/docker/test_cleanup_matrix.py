"""Every fault with every way in which it can end badly: within 2 s the machine is as it was before.

Each fault meets a killed agent and one of the other events, in turn. `CLEANUP_EVENTS=all` tries all of them, as `make
matrix` does; `CLEANUP_KINDS=kill,slow` these faults only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import docker
import pytest
from cleanup import LIMIT, inside, machine, seconds_until
from hold_fault import begin

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.faults import OURS
from shaketable.model.errors import AgentError, TopologyError
from shaketable.run.conform import CanarySite, canary

KINDS = [k for k in os.environ.get("CLEANUP_KINDS", "").split(",") if k] or list(OURS)
CASES = [
    pytest.param(kind, role, id=kind if len(OURS[kind].roles) == 1 else f"{kind}-{role}")
    for kind in KINDS
    for role in OURS[kind].roles
]


@pytest.fixture(scope="module", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Journals of these tests alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHAKETABLE_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def site(_own_state: None) -> Iterator[CanarySite]:
    """One canary for all in-process events."""
    with canary(lambda _: None, [OURS[kind] for kind in KINDS]) as site:
        site.keeper.witness()  # so that every tool is there before the first test
        yield site


def _agent_killed(client: docker.DockerClient, site: CanarySite, role: str) -> None:
    run = site.project.run
    for agent in client.containers.list(filters={"label": [f"{RUN_LABEL}={run}", "shaketable.tool=serve"]}):
        agent.kill("SIGKILL")


def _members(client: docker.DockerClient, site: CanarySite, role: str) -> list[docker.models.containers.Container]:
    facts = sorted(site.facts(site.hosts[role]), key=lambda c: bool(c.joins))
    return [client.containers.get(c.id) for c in facts]


def _target_killed(client: docker.DockerClient, site: CanarySite, role: str) -> None:
    for box in _members(client, site, role):
        with contextlib.suppress(docker.errors.APIError):  # the fault may have ended it
            box.kill("SIGKILL")


def _target_restarted(client: docker.DockerClient, site: CanarySite, role: str) -> None:
    for box in _members(client, site, role):
        box.restart(timeout=0)


def _target_removed(client: docker.DockerClient, site: CanarySite, role: str) -> None:
    for box in reversed(_members(client, site, role)):
        box.remove(force=True)


EVENTS = {
    "agent killed": _agent_killed,
    "target killed": _target_killed,
    "target restarted": _target_restarted,
    "target removed": _target_removed,
}

_FIRST, *_OTHERS = EVENTS
MATRIX = [
    pytest.param(*case.values, event, id=f"{case.id}-{event}")
    for number, case in enumerate(CASES)
    for event in (EVENTS if os.environ.get("CLEANUP_EVENTS") == "all" else (_FIRST, _OTHERS[number % len(_OTHERS)]))
]


@pytest.mark.parametrize(("kind", "role", "event"), MATRIX)
def test_a_fault_whose_end_is_bad_leaves_nothing(
    kind: str, role: str, event: str, site: CanarySite, engine: DockerEngine
) -> None:
    """Within 2 s of the event nothing of the fault is on the machine or in a target that lives on; a late heal is harmless."""
    client = docker.from_env()
    seconds_until(lambda: bool(site.resolve(role).addresses), 20)
    before, mine = machine(engine), inside(site, role)
    injection = begin(site, kind, role)
    assert injection.open is not None
    try:
        EVENTS[event](client, site, role)
        if event.startswith("target"):  # what is down, or another life, is healed by whoever asks for it
            problems = site.keeper.undo(injection.open)
            assert problems == []
        took = seconds_until(lambda: machine(engine) == before, LIMIT)
        assert took <= LIMIT, {k: (v, before[k]) for k, v in machine(engine).items() if v != before[k]}
        assert site.keeper.agent().undo(injection.open.undo) == []
    finally:
        if injection._knocks:
            site.stop_probing([role])
        client.close()
        _bring_back(site, role)
    limit = 5.0 + injection.settles
    assert seconds_until(lambda: _inside(site, role) == mine, limit) <= limit, (mine, inside(site, role))


def _inside(site: CanarySite, role: str) -> dict[str, list[str]] | None:
    """What is within the target; None while it, or its engine, is between two lives."""
    with contextlib.suppress(AgentError, TopologyError):
        return inside(site, role)
    return None


def _bring_back(site: CanarySite, role: str) -> None:
    """Every container of the host runs, and listens, again."""
    site.project.up(lambda _: None)
    site.read()
    members = sorted(site.facts(site.hosts[role]), key=lambda c: bool(c.joins))
    for container in members:
        if not site.engine.inspect(container.id).running:
            site.engine.start(container.id)
    assert seconds_until(lambda: bool(site.resolve(role).addresses), 20) < 20
