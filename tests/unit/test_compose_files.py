"""Hosts, and the problems of compose files with the place where each stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from shaketable.adapters.compose_model import compose_model
from shaketable.adapters.compose_source import blame, read_source, unresolved
from shaketable.model.errors import ScenarioError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a person in that folder would."""
    monkeypatch.chdir(tmp_path)


def problems_of(folder: Path, text: str, **services: Mapping[str, Any]) -> list[str]:
    """Problems that `compose_model` finds in our own keys."""
    (folder / "compose.yaml").write_text(text)
    source, _ = read_source(folder, ["compose.yaml"])
    resolved = {"x-shaketable": yaml.safe_load(text).get("x-shaketable"), "services": services}
    with pytest.raises(ScenarioError) as caught:
        compose_model(resolved, source)
    return [str(problem) for problem in caught.value.problems]


def test_services_that_share_a_namespace_are_one_host(tmp_path: Path) -> None:
    """Without a word in the file, a shared network namespace is what makes a failure domain."""
    source, _ = read_source(tmp_path, [])
    services = {
        "a-app": {"image": "x", "network_mode": "service:h1"},
        "h1": {"image": "x"},
        "deep": {"image": "x", "network_mode": "service:a-app"},
        "alone": {"image": "x", "networks": {"default": None}},
        "outside": {"image": "x", "network_mode": "host"},
    }
    model = compose_model({"services": services}, source)
    assert model.hosts == {"h1": ("h1", "a-app", "deep"), "alone": ("alone",), "outside": ("outside",)}


def test_declared_hosts_are_the_only_hosts(tmp_path: Path) -> None:
    """Where hosts are declared nothing else can be drawn as a victim."""
    source, _ = read_source(tmp_path, [])
    services = {"a": {"image": "x"}, "b": {"image": "x"}, "proxy": {"image": "x"}}
    model = compose_model({"services": services, "x-shaketable": {"hosts": {"h": ["b", "a"]}}}, source)
    assert model.hosts == {"h": ("b", "a")}
    assert set(model.places.others) == set(services) - {"a", "b"}, "the others can be named"


def test_every_wrong_host_is_told_where_it_stands(tmp_path: Path) -> None:
    """All problems at once, each with its line and column and the nearest valid name."""
    text = "x-shaketable:\n  hosst: {}\n  hosts:\n    h1: [web, wbe]\n    h2:\n      - web\n    h3: web\n    h4: []\n"
    assert problems_of(tmp_path, text, web={"image": "x"}) == [
        "compose.yaml:2:3: x-shaketable: unknown key 'hosst'; did you mean 'hosts'?",
        "compose.yaml:4:15: the host 'h1': there is no service 'wbe'; did you mean 'web'?",
        "compose.yaml:6:9: the service 'web' is in host 'h1' already",
        "compose.yaml:7:5: the host 'h3' must have a list of services, at least one",
        "compose.yaml:8:5: the host 'h4' must have a list of services, at least one",
    ]


def test_one_namespace_cannot_be_two_hosts(tmp_path: Path) -> None:
    """Cutting one host's network must not cut another's."""
    text = "x-shaketable:\n  hosts:\n    one: [a]\n    two: [b]\n"
    found = problems_of(tmp_path, text, a={"image": "x"}, b={"image": "x", "network_mode": "service:a"})
    assert found == [
        (
            "compose.yaml:4:11: 'b' shares the network namespace of 'a', which is in host 'one'; "
            "both share one fate: put both in one"
        )
    ]


def test_names_that_stand_for_nothing_are_all_found(tmp_path: Path) -> None:
    """Compose stops at the first such name; a person wants all of them, whichever file they are in."""
    (tmp_path / "compose.yaml").write_text(
        "x-any: &any\n  networks: [nett]\n"
        "services:\n"
        "  web:\n    <<: *any\n    depends_on: [databse]\n    volumes: ['data:/d', './here:/h', '${X}:/x']\n"
        "  database: {image: x, depends_on: {wbe: {condition: service_started}}}\n"
        "networks: {net: {}}\n"
    )
    (tmp_path / "more.yaml").write_text("services:\n  web:\n    network_mode: service:databases\n")
    source, problems = read_source(tmp_path, ["compose.yaml", "more.yaml"])
    assert problems == []
    assert sorted(map(str, unresolved(source))) == [
        "compose.yaml:2:14: services.web: there is no network 'nett'; did you mean 'net'?",
        "compose.yaml:6:18: services.web: there is no service 'databse'; did you mean 'database'?",
        "compose.yaml:7:15: services.web: there is no volume 'data'",
        "compose.yaml:8:37: services.database: there is no service 'wbe'; did you mean 'web'?",
        "more.yaml:3:19: services.web: there is no service 'databases'; did you mean 'database'?",
    ]


def test_what_is_included_from_elsewhere_is_not_blamed(tmp_path: Path) -> None:
    """Names may be defined in files that we do not read."""
    (tmp_path / "compose.yaml").write_text("include: [other.yaml]\nservices:\n  web: {image: x, depends_on: [db]}\n")
    source, _ = read_source(tmp_path, ["compose.yaml"])
    assert unresolved(source) == []


def test_files_that_cannot_be_read_are_all_named(tmp_path: Path) -> None:
    """A missing file and a broken one are told together, the missing one with the name that was probably meant."""
    (tmp_path / "compose.yaml").write_text("services:\n  web:\n   a: b: c\n")
    _, problems = read_source(tmp_path, ["compose.yml", "compose.yaml"])
    assert list(map(str, problems)) == [
        "compose.yml:1:1: does not exist; did you mean 'compose.yaml'?",
        "compose.yaml:3:8: is not YAML: mapping values are not allowed here",
    ]
    _, problems = read_source(tmp_path / "nowhere", ["compose.yaml"])
    assert list(map(str, problems)) == ["nowhere/compose.yaml:1:1: does not exist: there is no folder nowhere"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            "validating /p/compose.yaml: services.web Additional property imag is not allowed",
            "compose.yaml:3:5: services.web: unknown key 'imag'",
        ),
        ("validating /p/compose.yaml: services.db.restart must be a string", "compose.yaml:4:8: services.db.restart "),
        (
            "validating /p/compose.yaml: (root) Additional property volums is not allowed",
            "compose.yaml:5:1: unknown key",
        ),
        (
            'service "db" has neither an image nor a build context specified: invalid compose project',
            'compose.yaml:4:3: service "db" has neither an image nor a build context specified',
        ),
        (
            "error while interpolating services.web.imag: required variable TAG is missing a value: which?",
            "compose.yaml:3:13: services.web.imag: required variable TAG is missing a value: which?",
        ),
        ("yaml: line 2: something odd", "compose.yaml:2:1: yaml: line 2: something odd"),
        ("something that nobody foresaw", "compose.yaml:1:1: something that nobody foresaw"),
    ],
)
def test_composes_refusal_is_put_where_it_belongs(tmp_path: Path, words: str, problem: str) -> None:
    """Compose says what is wrong; the line to look at is ours to find, and there is always one."""
    (tmp_path / "compose.yaml").write_text(
        "services:\n  web:\n    imag: x:${TAG:?which?}\n  db: {restart: 5}\nvolums: {}\n"
    )
    source, _ = read_source(tmp_path, ["compose.yaml"])
    assert str(blame(source, words)).startswith(problem)


def test_every_wrong_volume_is_told_where_it_stands(tmp_path: Path) -> None:
    """A disk needs a plain volume that a service uses, and a size; all problems at once."""
    text = (
        "x-shaketable:\n  volumes:\n    data: 64 MiB\n    dta: 64 MiB\n    nfs: 64 MiB\n    small: 1 kB\n    bare: 64\n"
    )
    (tmp_path / "compose.yaml").write_text(text)
    source, _ = read_source(tmp_path, ["compose.yaml"])
    volumes = {"data": None, "nfs": {"driver": "nfs"}, "small": {}, "bare": {}}
    resolved = {"services": {"web": {"image": "x"}}, "volumes": volumes, **yaml.safe_load(text)}
    with pytest.raises(ScenarioError) as caught:
        compose_model(resolved, source)
    assert [str(problem).partition(";")[0] for problem in caught.value.problems] == [
        "compose.yaml:4:5: there is no volume 'dta' that a service uses",
        "compose.yaml:5:5: the volume 'nfs' has a driver of its own or is external",
        "compose.yaml:6:5: the size of 'small' must be between 8 MiB and 64 GiB",
        "compose.yaml:7:5: the size of 'bare': 64 has no unit",
    ]
    (tmp_path / "compose.yaml").write_text("x-shaketable: {volumes: {data: 64 MiB}}\n")
    source, _ = read_source(tmp_path, ["compose.yaml"])
    model = compose_model({**resolved, "x-shaketable": {"volumes": {"data": "64 MiB"}}}, source)
    assert model.volumes == {"data": 64 << 20}


@pytest.mark.parametrize(
    ("helpers", "problem"),
    [
        ("{cpuset: first}", "2:13: x-shaketable.helpers.cpuset: 'first' is no list of CPUs, as in '0', '0-1' or '0,2'"),
        ("{cpus: 1}", "2:3: x-shaketable.helpers must be the CPUs of what loads and observes the topology"),
        ("'1'", "2:3: x-shaketable.helpers must be the CPUs of what loads and observes the topology"),
    ],
)
def test_the_cpus_of_the_helpers_are_a_list_of_cpus(tmp_path: Path, helpers: str, problem: str) -> None:
    """As the kernel writes one; anything else is told where it stands."""
    text = f"x-shaketable:\n  helpers: {helpers}\n"
    (tmp_path / "compose.yaml").write_text(text)
    source, _ = read_source(tmp_path, ["compose.yaml"])
    resolved = {"services": {"web": {"image": "x"}}, **yaml.safe_load(text)}
    with pytest.raises(ScenarioError) as caught:
        compose_model(resolved, source)
    assert [str(one).partition(", as {")[0] for one in caught.value.problems] == [f"compose.yaml:{problem}"]
    for given, read in (("0, 2-3", "0,2-3"), (1, "1")):
        good = {**resolved, "x-shaketable": {"helpers": {"cpuset": given}}}
        assert compose_model(good, source).helpers_cpuset == read
