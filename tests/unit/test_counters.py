"""What the kernel counts of an instance in either hierarchy, on trees as the kernel shows them (v2 was not measured)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from shaketable.agent import kernel
from shaketable.agent.changes import limits
from shaketable.agent.looks import counters, gauges, room

HOST, WEB = "docker/h", "docker/h/docker/w"
"""A nested host, and a container in it."""
V1 = {
    "cpu": {
        HOST: {
            "cpu.cfs_quota_us": "60000",
            "cpu.cfs_period_us": "100000",
            "cpu.stat": "nr_periods 9\nthrottled_time 3000000000",
        },
        WEB: {
            "cpu.cfs_quota_us": "-1",
            "cpu.cfs_period_us": "100000",
            "cpu.stat": "nr_periods 0\nthrottled_time 0",
        },
    },
    "cpuacct": {HOST: {"cpuacct.usage": "9000000000"}, WEB: {"cpuacct.usage": "2500000000"}},
    "memory": {
        HOST: {
            "memory.limit_in_bytes": "8192000",
            "memory.stat": "rss 0\ntotal_rss 4000000\ntotal_shmem 96000",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
            "memory.failcnt": "4",
            "memory.memsw.limit_in_bytes": "8192000",
            "memory.max_usage_in_bytes": "8192000",
        },
        WEB: {
            "memory.limit_in_bytes": "4096000",
            "memory.stat": "rss 7\ntotal_rss 1000000\ntotal_shmem 24000",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
            "memory.failcnt": "17",
            "memory.memsw.limit_in_bytes": "8192000",
            "memory.max_usage_in_bytes": "4096000",
        },
    },
    "pids": {
        HOST: {"pids.max": "200", "pids.current": "40", "pids.peak": "199", "pids.events": "max 1"},
        WEB: {"pids.max": "max", "pids.current": "16", "pids.peak": "30", "pids.events": "max 5"},
    },
}
V2 = {
    HOST: {
        "cpu.max": "60000 100000",
        "cpu.stat": "usage_usec 9000000\nuser_usec 1\nthrottled_usec 3000000",
        "memory.max": "8192000",
        "memory.stat": "anon 4000000\nshmem 96000",
        "memory.events": "low 0\nhigh 0\nmax 21\noom 2\noom_kill 2",
        "memory.events.local": "low 0\nhigh 0\nmax 4\noom 0\noom_kill 0",
        "pids.max": "200",
        "pids.current": "40",
        "pids.peak": "199",
        "pids.events": "max 6",
        "pids.events.local": "max 6",
    },
    WEB: {
        "cpu.max": "max 100000",
        "cpu.stat": "usage_usec 2500000\nuser_usec 1\nthrottled_usec 0",
        "memory.max": "4096000",
        "memory.stat": "anon 1000000\nshmem 24000",
        "memory.events": "low 0\nhigh 0\nmax 17\noom 2\noom_kill 2",
        "memory.events.local": "low 0\nhigh 0\nmax 17\noom 2\noom_kill 2",
        "pids.max": "max",
        "pids.current": "16",
        "pids.peak": "30",
        "pids.events": "max 0",
        "pids.events.local": "max 0",
    },
}
PIDS = {WEB: 70, HOST: 60}
Tree = Callable[[int], None]


def write(root: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """Write cgroups with their files."""
    for folder, texts in files.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (root / folder / name).write_text(f"{text}\n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Makes the tree of a version, in which the host's first process is 60, and the container's 70."""
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path)
    first: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(kernel, "first_process", first.get)

    def make(version: int) -> None:
        if version == 1:
            for controller, files in V1.items():
                write(tmp_path / controller, files)
            first.update({path: (pid, pid * 10) for path, pid in PIDS.items()})
        else:
            write(tmp_path, V2)
            first.update({f"{HOST}/init": (60, 600), WEB: (70, 700)})

        def folders(pid: int, _: int) -> dict[str, Path]:
            path = WEB if pid == 70 else HOST
            if version == 1:
                return {controller: tmp_path / controller / path for controller in V1}
            return {"unified": tmp_path / (path if pid == 70 else f"{HOST}/init")}

        monkeypatch.setattr(limits, "folders", folders)

    return make


def row(**where: Any) -> dict[str, Any]:
    """What one look counts of an instance."""
    seen = gauges.see({"instances": {"it": where}})["counters"]["it"]
    assert isinstance(seen, dict)
    return seen


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_limit_on_the_way_up_holds(version: int, tree: Tree) -> None:
    """A container's own memory limit, its host's CPUs (whose held-back time is meant), its host's processes."""
    tree(version)
    seen = row(cgroup=HOST, container="w")
    assert seen["most"] == {"cpu": 0.6, "memory": 4096000, "processes": 200}
    assert (seen["life"], seen["cpu"], seen["bytes"], seen["tasks"]) == (700, 2.5, 1024000, 16)
    assert (seen["throttled"], seen["held"]) == (3.0, 0.0)
    assert seen["own"] == {"cpu": None, "memory": 4096000, "processes": None, "files": None, "disk": None}


@pytest.mark.parametrize("version", [1, 2])
def test_a_nested_host_is_counted_with_all_that_runs_in_it(version: int, tree: Tree) -> None:
    """By its own cgroup, though in v2 its processes are in a leaf of it."""
    tree(version)
    seen = row(cgroup=HOST)
    assert (seen["life"], seen["cpu"], seen["bytes"], seen["tasks"]) == (600, 9.0, 4096000, 40)
    assert seen["own"] == {"cpu": 0.6, "memory": 8192000, "processes": 200, "files": None, "disk": None}
    assert (seen["throttled"], seen["held"], seen["peak"]) == (3.0, 3.0, 199)


def test_in_v1_kills_and_refused_forks_are_where_the_victim_is(tree: Tree) -> None:
    """They are found below a host by path, as are memory limits that were met; whose limit refused a fork is not told."""
    tree(1)
    seen = row(cgroup=HOST, words=["limits"])
    assert seen["kills"] == {"docker/w": 2}
    assert seen["met"] == {"": 4, "docker/w": 17}
    assert seen["full"] == [""]  # where swap adds nothing the kernel does not count how often it was met
    assert seen["refused"] == {"": 1, "docker/w": 5}
    assert seen["refused_by_it"] is None
    assert row(cgroup=HOST, container="w", words=["limits"])["kills"] == {"": 2}


def test_in_v2_they_are_counted_upwards(tree: Tree) -> None:
    """A host's `memory.events` has the kills below it, its `memory.events.local` only what its own limit did."""
    tree(2)
    seen = row(cgroup=HOST, words=["limits"])
    assert (seen["kills"], seen["met"]) == ({"": 2}, {})
    assert (seen["refused"], seen["refused_by_it"]) == ({"": 6}, 6)
    assert row(cgroup=HOST, container="w", words=["limits"])["met"] == {"": 2}


def test_before_linux_6_11_v2_has_refused_forks_where_the_forking_was(tree: Tree, tmp_path: Path) -> None:
    """Then there is no `pids.events.local`, and all below are added."""
    tree(2)
    for path in (HOST, WEB):
        (tmp_path / path / "pids.events.local").unlink()
    (tmp_path / WEB / "pids.events").write_text("max 9\n")
    seen = row(cgroup=HOST, words=["limits"])
    assert (seen["refused"], seen["refused_by_it"]) == ({"": 6, "docker/w": 9}, None)


def test_only_what_is_asked_for_is_read_below(tree: Tree) -> None:
    """Files of every cgroup below a host are read for who asks for kills, for refused forks, or for all limits."""
    tree(1)
    read = {
        word: [key for key in ("kills", "met", "full", "refused") if row(cgroup=HOST, words=[word])[key]]
        for word in ("cpu", "oom-kills", "failed-forks", "limits")
    }
    assert read == {
        "cpu": [],
        "oom-kills": ["kills"],
        "failed-forks": ["refused"],
        "limits": ["kills", "met", "full", "refused"],
    }


@pytest.mark.parametrize("version", [1, 2])
def test_where_nothing_limits_it_the_machine_does(version: int, tree: Tree, tmp_path: Path) -> None:
    """All its CPUs, its memory, and as many tasks as there can be process ids."""
    tree(version)
    for controller in ("cpu", "memory", "pids") if version == 1 else ("",):
        for path in (HOST, WEB):
            for name in ("cpu.cfs_quota_us", "memory.limit_in_bytes", "pids.max", "memory.max", "cpu.max"):
                file = tmp_path / controller / path / name
                none = {"cpu.cfs_quota_us": "-1", "memory.limit_in_bytes": str((1 << 63) - 4096)}
                if file.exists():
                    file.write_text(none.get(name, "max 100000" if name == "cpu.max" else "max"))
    seen = row(cgroup=HOST, container="w")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    tasks = int(Path("/proc/sys/kernel/pid_max").read_text())
    assert seen["most"] == {"cpu": os.cpu_count(), "memory": memory, "processes": tasks}
    assert (seen["throttled"], seen["holder"]) == (0.0, "")


def test_what_does_not_run_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there without a row, so that nobody takes it for idle."""
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path)
    assert gauges.see({"instances": {"db": {"cgroup": "gone"}}}) == {"counters": {"db": None}}
    assert gauges.see({"instances": {"db": {"cgroup": "gone", "container": "c"}}}) == {"counters": {"db": None}}


def test_open_files_are_those_of_a_process_and_its_limits_what_the_kernel_says() -> None:
    """One that opens more is told with more; a process that is gone is left out."""
    before = room.files([os.getpid()])
    more = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    try:
        seen = room.files([os.getpid(), 1 << 30])
    finally:
        for one in more:
            os.close(one)
    assert seen.most == before.most + 5
    assert 0 < seen.nearest < 1
    assert seen.hard is not None
    assert room.files([]) == room.Files()


MOUNTS = r"""
30 1 0:25 / / rw,relatime - overlay overlay rw,lowerdir=a,upperdir=b
31 30 0:26 / /proc rw - proc proc rw
32 30 0:27 / /dev rw - tmpfs tmpfs rw,size=65536k,mode=755
33 32 0:28 / /dev/shm rw - tmpfs shm rw,size=65536k
34 30 7:3 / /data\040of\040mine rw,relatime - ext4 /dev/loop3 rw
35 30 7:4 / /read ro,relatime - ext4 /dev/loop4 rw
36 30 254:1 /volumes/v/_data /v rw - ext4 /dev/vda1 rw
37 30 0:29 / /small rw - tmpfs tmpfs rw,size=1024k
38 30 0:30 / /run rw - tmpfs tmpfs rw,mode=755
39 30 0:31 / /sys/firmware rw - tmpfs tmpfs rw,size=8k
"""


def test_file_systems_of_its_own_have_a_size_and_can_be_written() -> None:
    """Disks under volumes and tmpfs with a size; not the machine's own disk, nor what the engine mounts for the kernel."""
    assert room.places(MOUNTS.strip()) == ["/data of mine", "/small"]


def test_the_counters_of_this_machine_can_be_read() -> None:
    """Whatever it has: the folders of a process are found below the top, and the way up ends there."""
    levels = [next(iter(level.values())) for level in counters._levels({"unified": kernel.CGROUPS / "a/b"}, "memory")]
    assert levels == [kernel.CGROUPS / "a/b", kernel.CGROUPS / "a", kernel.CGROUPS]
