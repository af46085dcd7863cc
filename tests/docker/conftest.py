"""What every Docker test shares: an engine, the helper image, and a leak check round each test."""

from __future__ import annotations

import contextlib
import glob
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shaketable.adapters.docker_engine import RUN_LABEL, DockerEngine
from shaketable.adapters.images import ensure_tools_image

HERE = Path(__file__).parent
_REPLACED = re.compile(r"-[0-9a-f]{6}$")
"""What tells an agent or witness from the one that took its place."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs an engine."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """The engine under the tests."""
    connection = DockerEngine()
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def tools_image() -> str:
    """The helper image, built if need be."""
    return ensure_tools_image(print)


@pytest.fixture
def run_id(engine: DockerEngine) -> Iterator[str]:
    """A run's name of this test alone; what is left under it is removed afterwards."""
    name = f"t{secrets.token_hex(4)}"
    yield name
    engine.remove_run(name)


def _read(pattern: str) -> dict[str, str]:
    """Text of every file that matches, by its folder; what vanishes meanwhile is passed over."""
    found = {}
    for name in glob.glob(pattern, recursive=True):
        with contextlib.suppress(OSError):
            found[str(Path(name).parent)] = Path(name).read_text().strip()
    return found


def _frozen() -> set[str]:
    v1 = _read("/sys/fs/cgroup/freezer/docker/*/freezer.state")
    v2 = _read("/sys/fs/cgroup/**/docker*/cgroup.events")
    return {f for f, text in v1.items() if text in ("FROZEN", "FREEZING")} | {
        f for f, text in v2.items() if "frozen 1" in text
    }


def _links_down() -> set[str]:
    return {Path(f).name for f, flags in _read("/sys/class/net/veth*/flags").items() if not int(flags, 16) & 1}


def _rules() -> set[str]:
    if shutil.which("iptables-save") is None:
        return set()
    done = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False)
    return {line for line in done.stdout.splitlines() if "shaketable" in line}


def traces(engine: DockerEngine) -> dict[str, set[str]]:
    """Everything of ours that a test could leave on the machine."""
    label = {"label": RUN_LABEL}
    api = engine._api
    return {
        "containers": {_REPLACED.sub("", row["Names"][0]) for row in api.containers(all=True, filters=label)},
        "networks": {row["Name"] for row in api.networks(filters=label)},
        "volumes": {row["Name"] for row in api.volumes(filters=label).get("Volumes") or []},
        "frozen cgroups": _frozen(),
        "links down": _links_down(),
        "rules": _rules(),
        # Where the file lies depends on who still sees its folder; its name does not.
        "disks": {
            Path(text).name.removesuffix(" (deleted)")
            for text in _read("/sys/block/loop*/loop/backing_file").values()
            if "/st-" in text
        },
        "mounts": {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "shaketable" in line},
    }


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(engine: DockerEngine) -> Iterator[None]:
    """No test leaves containers, networks, volumes, rules, frozen cgroups, links down, mounts or disks."""
    before = traces(engine)
    yield
    left = {what: found - before[what] for what, found in traces(engine).items()}
    assert not any(left.values()), f"left behind: { {w: f for w, f in left.items() if f} }"
