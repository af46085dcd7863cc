"""Limits of nested hosts in compose files: how they are read, what is wrong with them and where, what compose gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shaketable.adapters.compose_model import compose_model
from shaketable.adapters.compose_source import read_source
from shaketable.adapters.host_limits import HostLimits, compose_size, read_limits
from shaketable.adapters.nested import Nested, service
from shaketable.model.errors import ScenarioError


def problems_of(limits: str) -> list[str]:
    """Problems of a topology with one nested host that has these limits."""
    text = f"x-shaketable:\n  nested:\n    h:\n      compose: in.yaml\n      limits: {limits}\n"
    Path("compose.yaml").write_text(text)
    source, _ = read_source(Path(), ["compose.yaml"])
    with pytest.raises(ScenarioError) as caught:
        compose_model(yaml.safe_load(text), source)
    return [str(problem).removeprefix("compose.yaml:") for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a person in that folder would."""
    monkeypatch.chdir(tmp_path)


def test_each_limit_reaches_compose_and_swap_is_no_way_out() -> None:
    """Memory with as much swap as there is memory, which is none; CPUs, and which; tasks. What is not said is not limited."""
    limits = read_limits({"memory": "512m", "cpus": 0.6, "processes": 200, "cpuset": "0, 2-3"})
    assert limits == HostLimits(512 << 20, 0.6, 200, "0,2-3")
    written = service("h", Nested(("in.yaml",), limits=limits), image="i", network="n", store="s")
    keys = ("mem_limit", "memswap_limit", "cpus", "pids_limit", "cpuset")
    assert [written.get(key) for key in keys] == [512 << 20, 512 << 20, 0.6, 200, "0,2-3"]
    free = service("h", Nested(("in.yaml",)), image="i", network="n", store="s")
    assert not set(keys) & set(free)


def test_they_are_part_of_the_host_in_the_model() -> None:
    """As compose gives them, where a variable became a text."""
    limits = "{memory: 1 GiB, cpus: '1.5', processes: '300', cpuset: 1}"
    text = f"x-shaketable: {{nested: {{h: {{compose: in.yaml, limits: {limits}}}}}}}\n"
    Path("compose.yaml").write_text(text)
    source, _ = read_source(Path(), ["compose.yaml"])
    model = compose_model(yaml.safe_load(text), source)
    assert model.nested["h"].limits == HostLimits(1 << 30, 1.5, 300, "1")


def test_every_mistake_is_told_where_it_stands() -> None:
    """All at once: a key that there is not, what is no number, and what no engine could live with."""
    begin = "the nested host 'h': limits"
    assert problems_of("{memry: 1g, memory: lots, cpus: 0.01, processes: 20.5}") == [
        f"5:16: {begin}: unknown key 'memry'; did you mean 'memory'?",
        f"5:27: {begin}.memory: 'lots' is no size, as in 512m or '512 MiB'",
        f"5:41: {begin}.cpus: 0.01 is not enough for an engine; it takes at least 0.1",
        f"5:53: {begin}.processes: 20.5 is no whole number",
    ]
    assert problems_of("{memory: 64m, cpus: yes, processes: 20}") == [
        f"5:16: {begin}.memory: 64 MiB is not enough for an engine; it takes at least 192 MiB",
        f"5:29: {begin}.cpus: True is not a number of CPUs, as in 0.5",
        f"5:40: {begin}.processes: 20 is not enough for an engine; it takes at least 80",
    ]
    assert problems_of("{cpuset: first, cpus: 0.5}") == [
        f"5:16: {begin}.cpuset: 'first' is no list of CPUs, as in '0', '0-1' or '0,2'",
    ]
    assert problems_of("{cpuset: 1 2}") == [
        f"5:16: {begin}.cpuset: '1 2' is no list of CPUs, as in '0', '0-1' or '0,2'"
    ]
    assert problems_of("{cpuset: 3-1}") == [f"5:16: {begin}.cpuset: '3-1': 3-1 has no CPU in it"]


@pytest.mark.parametrize("limits", ["", "{}", "[memory]", "512m"])
def test_limits_are_a_mapping(limits: str) -> None:
    """Whatever else stands there is one problem, at its key."""
    message = "the nested host 'h': limits must be a mapping with some of memory, cpus, processes, cpuset"
    assert problems_of(limits) == [f"5:7: {message}"]


@given(st.integers(1, 4096), st.sampled_from("bkmgBKMG"))
def test_sizes_are_those_of_compose(number: int, unit: str) -> None:
    """A letter is a power of 1024; with `MiB` and the like sizes are as in scenarios."""
    assert compose_size(f"{number}{unit}") == number * 1024 ** "bkmg".index(unit.lower())
    assert compose_size(f"{number} MiB") == number << 20
    assert compose_size(number) == number


@given(st.one_of(st.none(), st.text(max_size=8), st.floats(), st.lists(st.integers(), max_size=2)))
def test_whatever_stands_there_is_read_or_told(value: object) -> None:
    """Nothing makes the reader fail, so that all problems of a document are told at once."""
    read = read_limits({"memory": value, "cpus": value, "processes": value, "cpuset": value})
    assert read.processes is None or read.processes >= 80
    assert read.cpus is None or read.cpus >= 0.1
    assert read.cpuset is None or set(read.cpuset) <= set("0123456789,-")
