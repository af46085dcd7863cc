"""The agent on real containers: what it does, what it refuses, and that its end undoes everything."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import docker
import pytest

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.fault_agent import FaultAgent, Witness
from shaketable.faults import CATALOGUE, Plan
from shaketable.model.errors import AgentError
from shaketable.ports import Target

SERVER = "import http.server as h;h.ThreadingHTTPServer(('',{}),h.SimpleHTTPRequestHandler).serve_forever()"


KERNEL_SAYS = {
    "stop": (False, False),
    "kill": (False, False),
    "freeze": (True, True),
    "power-off": (True, True),
    "cut": (True, False),
}
"""By kind: whether members are alive, and frozen."""
KINDS = tuple(KERNEL_SAYS)


def plan(kind: str, target: Target) -> Plan:
    """A kind's plan with its usual parameters."""
    return CATALOGUE[kind].plan_for(target, CATALOGUE[kind].params())


def await_true(condition: Callable[[], bool], limit: float = 3.0) -> bool:
    """Whether a condition comes true within `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def host(engine: DockerEngine, tools_image: str, run_id: str) -> Iterator[list[str]]:
    """Two containers that share one network namespace, in a network of their own; holder first."""
    client = docker.from_env()
    labels = {RUN_LABEL: run_id}
    network = client.networks.create(f"st-{run_id}", labels=labels)

    def start(name: str, port: int, joins: str) -> str:
        box = client.containers.run(
            tools_image, ["python3", "-c", SERVER.format(port)], name=name, network=joins, labels=labels, detach=True
        )
        return str(box.id)

    holder = start(f"st-{run_id}-h", 8000, network.name)
    member = start(f"st-{run_id}-m", 8001, f"container:st-{run_id}-h")
    yield [holder, member]
    client.close()


@pytest.fixture
def agent(engine: DockerEngine, tools_image: str, run_id: str) -> Iterator[FaultAgent]:
    """An agent of this test's own."""
    agent = FaultAgent(engine, tools_image, run_id)
    yield agent
    with contextlib.suppress(AgentError):
        agent.leave()


def resolve(agent: FaultAgent, engine: DockerEngine, host: list[str]) -> Target:
    """The host's facts once both of its servers listen."""

    def facts() -> Target:
        return agent.resolve("h", [engine.inspect(c) for c in host])

    assert await_true(lambda: len(facts().addresses) == 2)
    return facts()


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_hits_all_members_together_and_heals(
    kind: str, agent: FaultAgent, engine: DockerEngine, host: list[str]
) -> None:
    """Each member has its moment, the kernel confirms the effect, and after heal nothing of it is left.

    How close the moments are is measured by `make bench`: a time asserted here would fail on a busy machine.
    """
    facts = resolve(agent, engine, host)
    alive, frozen = KERNEL_SAYS[kind]
    made = plan(kind, facts)
    at, _ = agent.inject("f", made)
    assert set(at) == {m.name for m in facts.members}

    def as_claimed() -> bool:
        view = agent.inspect(facts)
        return set(view["alive"].values()) == {alive} and set(view["frozen"].values()) == {frozen}

    assert await_true(as_claimed)
    assert agent.heal("f") == []
    if made.revive != "no":
        for member in facts.start_order:
            engine.start(member.container)
    view = agent.inspect(resolve(agent, engine, host))
    assert view["all_thawed"]
    assert view["links_up"]
    assert all(view["alive"].values())
    assert agent.heal("f") == [], "a second heal is harmless"


@pytest.mark.parametrize("kind", ["freeze", "power-off", "cut"])
@pytest.mark.parametrize("end", ["stream closed", "SIGTERM"])
def test_the_agent_undoes_everything_when_it_ends(
    kind: str, end: str, agent: FaultAgent, engine: DockerEngine, host: list[str], tools_image: str, run_id: str
) -> None:
    """When the harness vanishes, or the agent is asked to stop, the agent heals what it holds before it exits."""
    facts = resolve(agent, engine, host)
    agent.inject("f", plan(kind, facts))
    if end == "SIGTERM":
        docker.from_env().api.kill(agent._container, "SIGTERM")
    else:
        agent._channel.drop()
    second = FaultAgent(engine, tools_image, run_id)
    assert await_true(lambda: (v := second.inspect(facts))["all_thawed"] and v["links_up"], 2.0)
    second.leave()


def test_an_agent_that_is_killed_is_undone_by_the_next(
    agent: FaultAgent, engine: DockerEngine, host: list[str], tools_image: str, run_id: str
) -> None:
    """SIGKILL gives the agent no chance: the undo steps written down beforehand are enough for another one."""
    facts = resolve(agent, engine, host)
    made = plan("freeze", facts)
    agent.inject("f", made)
    docker.from_env().api.kill(agent._container, "SIGKILL")
    assert agent.lost.wait(2.0)
    with pytest.raises(AgentError):
        agent.now()
    second = FaultAgent(engine, tools_image, run_id)
    assert second.undo(made.undo) == []
    assert second.inspect(facts)["all_thawed"]
    second.leave()


def test_what_is_in_care_ends_with_the_harness(agent: FaultAgent, engine: DockerEngine, host: list[str]) -> None:
    """Containers given into the agent's care do not outlive a harness that vanishes."""
    agent.care([engine.inspect(c) for c in host])
    agent._channel.drop()
    assert await_true(lambda: not any(engine.inspect(c).running for c in host), 2.0)


def test_the_engine_hosts_own_network_is_never_touched(agent: FaultAgent, engine: DockerEngine) -> None:
    """A target that shares the engine host's network namespace is refused, whatever the fault."""
    with pytest.raises(AgentError, match="engine host's own network"):
        agent.resolve("agent itself", [engine.inspect(agent._container)])


def test_a_reused_link_name_is_refused(agent: FaultAgent, engine: DockerEngine, host: list[str]) -> None:
    """A link is only touched while its index is the one resolved before the trial."""
    facts = resolve(agent, engine, host)
    link = facts.links[0]
    step = {"do": "link", "name": link.name, "index": link.index + 1, "up": False, "member": "h"}
    answer_error = pytest.raises(AgentError, match="another one than before")
    with answer_error:
        agent.ask("inject", fault="f", steps=[step], undo=[])
    assert agent.inspect(facts)["links_up"]


def test_a_failed_step_undoes_the_others(agent: FaultAgent, engine: DockerEngine, host: list[str]) -> None:
    """An injection that fails half-way leaves nothing half-done."""
    facts = resolve(agent, engine, host)
    steps = [*plan("power-off", facts).steps, {"do": "freeze", "cgroup": "freezer/docker/none", "member": "ghost"}]
    undo = plan("freeze", facts).undo + plan("cut", facts).undo
    with pytest.raises(AgentError, match="cannot be written"):
        agent.ask("inject", fault="f", steps=steps, undo=undo)
    view = agent.inspect(facts)
    assert view["all_thawed"]
    assert view["links_up"]


def test_a_release_is_looked_at_and_taken_back_in_the_next_life(
    agent: FaultAgent, engine: DockerEngine, host: list[str], tools_image: str, run_id: str
) -> None:
    """A container that was killed and started again keeps what was installed: it shows it, and undoing undoes it."""
    box = docker.from_env().containers.get(host[0])
    box.exec_run(["chmod", "777", "/srv"])
    kind = CATALOGUE["deploy"]
    words = {
        "command": ["touch", "/srv/new"],
        "undo": ["rm", "/srv/new"],
        "check": ["ls", "/srv"],
        "shows": "new",
    }
    params = kind.params.model_validate(words)
    target = agent.resolve("h", [engine.inspect(host[0])])
    witness = Witness(engine, tools_image, run_id)

    def shown() -> str:
        (reading,) = witness.look(kind.proof.looks(target, params)).values()
        return str(reading.get("error") or reading["output"])

    try:
        itself = {"see": "command", "words": ["sh", "-c", "cat /proc/$$/comm; true"], **target.members[0].step}
        assert witness.look({"x": itself})["x"]["output"] == "sh", "its number is the one that it has in there"
        assert shown() == ""
        agent.inject("f", kind.plan_for(target, params))
        assert shown() == "new"
        box.kill()
        assert "was not started again" in shown()
        box.start()
        assert await_true(lambda: shown() == "new")
        assert agent.heal("f") == []
        assert shown() == ""
    finally:
        witness.leave()
