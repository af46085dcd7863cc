"""Limits by the kernel's counters, on real containers: reached, refused, shared with a nested host, and not enforced."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nested_site import NestedSite, nested_site
from test_database_observer import Heard

from shaketable.adapters.configured_limits import configured_limits
from shaketable.faults import Plan
from shaketable.model.kernel import Limit
from shaketable.model.scenario import CONTAINER_GAUGES, Holder
from shaketable.run.running import Running, places

NAMES = ("held", "lifted", "server", "server/free")
SPIN = "import time; end = time.monotonic() + 4\nwhile time.monotonic() < end: pass"
HOG = "x = bytearray(400 << 20)"
FORK = """
import os, time
for _ in range(300):
    try:
        child = os.fork()
    except OSError:
        continue
    if not child:
        time.sleep(3)
        os._exit(0)
time.sleep(3)
"""
ON_CPU_1 = "import os, sys; sys.exit(os.sched_getaffinity(0) != {1})"
FILES = "import time; kept = [open('/dev/null') for _ in range(60)]; time.sleep(2)"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NestedSite]:
    """One topology for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHAKETABLE_STATE", str(tmp_path_factory.mktemp("state")))
        with nested_site(Path(__file__).parent / "limited") as site:
            site.keeper.witness()
            yield site


def key(what: str) -> str:
    """What a list or gauge is called."""
    return what.replace(" ", "-").replace("/", "-")


class Counts(Heard):
    """What was told, by what it was asked for."""

    def wait(self, name: str, found: Callable[[tuple[str, ...] | None], bool], limit: float = 20.0) -> tuple[str, ...]:
        """Wait until a list is such, and give it."""
        return super().wait(key(name), found, limit)

    def most(self, name: str) -> float:
        """The most that a gauge was."""
        told = [look.entries for look in self.ever if look.list == key(name)]
        return max((float(entries[0]) for entries in told if entries), default=0.0)


@pytest.fixture
def heard(site: NestedSite) -> Iterator[Counts]:
    """What a lane hears of all four from now on."""
    heard = Counts()
    kernel = Holder(
        kind="containers",
        lists={key(f"limits {name}"): f"limits {name}" for name in NAMES},
        gauges={key(f"{word} {name}"): f"{word} {name}" for word in CONTAINER_GAUGES for name in NAMES},
    )
    where = places(site.instances, site.hosts, site.keeper.agent())
    running = Running(
        {"kernel": kernel},
        where,
        site.keeper.another_witness(),
        configured=configured_limits(site.project),
        on_look=heard.look,
        on_beat=heard.beat,
    )
    try:
        for name in NAMES:
            heard.wait(f"limits {name}", bool)
        yield heard
    finally:
        running.stop()


def run(site: NestedSite, name: str, program: str) -> int:
    """Run a program of Python's where an instance is, to its end; its exit code."""
    host, _, _ = name.rpartition("/")
    words = ["docker", "exec", site.instances.ids[name], "python3", "-c", program]
    if host:  # its engine's own client asks for it, as a person on that host would
        words = ["docker", "exec", site.instances.outer[host], "docker", *words[1:]]
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode


def limit(heard: Counts, of: str, name: str, found: Callable[[Limit], bool] = lambda _: True) -> Limit:
    """Wait until a limit is such, and give it."""

    def read(entries: tuple[str, ...] | None) -> list[Limit]:
        every = map(Limit.model_validate_json, entries or ())
        return [one for one in every if one.limit == name and found(one)]

    return read(heard.wait(f"limits {of}", lambda entries: bool(read(entries))))[0]


def test_what_is_configured_is_what_the_kernel_has(site: NestedSite, heard: Counts) -> None:
    """Of containers, of a nested host, and of what has no limit of its own inside it."""
    seen = {name: limit(heard, "held", name) for name in ("memory", "cpu", "processes", "files")}
    assert {name: one.kernel for name, one in seen.items()} == {
        "memory": 64 << 20,
        "cpu": 0.2,
        "processes": 20,
        "files": 100,
    }
    assert all(one.configured == one.kernel for one in seen.values())
    for name, value in (("memory", 256 << 20), ("cpu", 0.5), ("processes", 150)):
        server, free = limit(heard, "server", name), limit(heard, "server/free", name)
        assert (server.configured, server.kernel) == (value, value)
        assert (free.configured, free.kernel) == (None, None)


def test_what_runs_in_a_nested_host_is_on_its_cpus(site: NestedSite) -> None:
    """`cpuset` holds for all that runs in it, and for nothing else."""
    assert run(site, "server/free", ON_CPU_1) == 0
    assert run(site, "held", ON_CPU_1) == 1


def test_each_limit_of_a_container_is_reached_and_counted(site: NestedSite, heard: Counts) -> None:
    """Time held back, a kill, refused forks, open files: by the kernel's counters, and by no other instance's."""
    assert run(site, "held", SPIN) == 0
    assert heard.number("throttled held", lambda n: n >= 0) <= 1
    spun = limit(heard, "held", "cpu", lambda one: one.hits > 0.5)
    assert 0.1 < spun.used < 0.25
    assert heard.most("throttled held") > 0.3
    assert run(site, "held", HOG) == 137
    assert heard.number("oom-kills held", lambda n: n > 0) == 1
    assert limit(heard, "held", "memory", lambda one: one.hits > 0).used <= 64 << 20
    run(site, "held", FORK)
    assert heard.number("failed-forks held", lambda n: n > 0) >= 200
    forked = limit(heard, "held", "processes", lambda one: one.hits > 0)
    assert 15 <= forked.used <= 20 + 16  # what joins from outside is not refused
    assert run(site, "held", FILES) == 0
    assert limit(heard, "held", "files", lambda one: one.used >= 60).used < 100
    for other in ("lifted", "server"):
        assert heard.number(f"oom-kills {other}", lambda _: True) == 0
        assert heard.number(f"failed-forks {other}", lambda _: True) == 0


def test_a_host_holds_what_has_no_limit_of_its_own(site: NestedSite, heard: Counts) -> None:
    """Counters are the container's, the limits that were hit its host's; its engine lives on, and commands get in."""
    assert run(site, "server/free", HOG) == 137
    assert heard.number("oom-kills server/free", lambda n: n > 0) == 1
    assert heard.number("oom-kills server", lambda n: n > 0) == 1
    assert limit(heard, "server", "memory", lambda one: one.hits > 0).used <= 256 << 20
    assert run(site, "server/free", SPIN) == 0
    assert limit(heard, "server", "cpu", lambda one: one.hits > 0.2).used < 0.6
    assert heard.most("throttled server/free") > 0.1
    target = site.keeper.agent().resolve("server/free", site.facts(["server/free"]))
    look = {"see": "command", "words": ["sh", "-c", "echo in"], **target.members[0].step}
    words = ["docker", "exec", site.instances.outer["server"], "docker", "exec", site.instances.ids["server/free"]]
    bomb = subprocess.Popen([*words, "python3", "-c", FORK])
    heard.number("failed-forks server/free", lambda n: n > 0)
    seen = site.keeper.witness().look({"x": look})["x"]
    assert (seen.get("code"), seen.get("output")) == (0, "in"), seen
    bomb.wait(timeout=60)
    assert limit(heard, "server", "processes", lambda one: one.hits > 0).used <= 150 + 16
    for name in ("memory", "cpu", "processes"):
        assert limit(heard, "server/free", name).hits == 0
    assert site.engine("server").version()["version"].startswith("20.10")
    assert run(site, "server/free", "print()") == 0


def test_a_limit_that_is_not_enforced_is_told_as_such(site: NestedSite, heard: Counts) -> None:
    """Lifted beside the engine's back, which still says 0.5 CPUs; and changed or taken away by the engine itself."""
    assert limit(heard, "lifted", "cpu").kernel == 0.5
    member = site.keeper.agent().resolve("lifted", site.facts(["lifted"])).members[0]
    lifted = {"do": "limits", "limits": {"cpus": None}, **member.step}
    back = {"do": "limits-back", "limits": {"cpus": 0.5}, **member.step}
    site.keeper.agent().inject("lift", Plan(steps=(lifted,), undo=(back,)))
    assert limit(heard, "lifted", "cpu", lambda one: one.kernel is None).configured == 0.5
    assert site.keeper.agent().heal("lift") == []
    limit(heard, "lifted", "cpu", lambda one: one.kernel == 0.5)
    words = ["--pids-limit", "-1", "--memory", "128m", "--memory-swap", "256m"]
    subprocess.run(["docker", "update", *words, site.instances.outer["lifted"]], check=True, capture_output=True)
    assert limit(heard, "lifted", "processes", lambda one: one.kernel is None).configured == 30
    assert limit(heard, "lifted", "memory", lambda one: one.kernel == 128 << 20).configured == 64 << 20
