"""Nested hosts in compose files: what is wrong with them and where, and what becomes of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from docker.errors import ImageNotFound

from shaketable.adapters import command, compose, nested
from shaketable.adapters.audit import audited_topology
from shaketable.adapters.compose import ComposeProject
from shaketable.adapters.compose_build import Images
from shaketable.adapters.compose_command import compose_version
from shaketable.adapters.compose_model import ComposeModel, compose_model
from shaketable.adapters.compose_source import read_source
from shaketable.adapters.docker_engine import LANE_LABEL, NESTED_LABEL, RUN_LABEL
from shaketable.adapters.nested import Nested
from shaketable.model.errors import EngineError, ScenarioError

needs_compose = pytest.mark.skipif(not compose_version(), reason="compose v2 is not on this machine")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a person in that folder would."""
    monkeypatch.chdir(tmp_path)


def model_of(text: str, *services: str) -> ComposeModel:
    """The model of a file whose own keys are these, with these services."""
    Path("compose.yaml").write_text(text)
    source, _ = read_source(Path(), ["compose.yaml"])
    return compose_model({**yaml.safe_load(text), "services": {name: {"image": "x"} for name in services}}, source)


def problems_of(text: str, *services: str) -> list[str]:
    """Problems that are found in our own keys."""
    with pytest.raises(ScenarioError) as caught:
        model_of(text, *services)
    return [str(problem).removeprefix("compose.yaml:") for problem in caught.value.problems]


def project(**files: str) -> ComposeProject:
    """A project of files that are written by name, with `__` for a slash and `_` for a dot."""
    for name, text in files.items():
        path = Path(name.replace("__", "/").replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return ComposeProject(Path(), ["compose.yaml"], "st-t", "t", "1")


def all_problems(one: ComposeProject) -> list[str]:
    """Problems of a project and what runs in its nested hosts."""
    with pytest.raises(ScenarioError) as caught:
        one.model()
    return list(map(str, caught.value.problems))


def test_every_mistake_is_told_where_it_stands() -> None:
    """All problems of all nested hosts at once, each with its line and column and the nearest valid name."""
    text = """x-shaketable:
  hosts: {group: [db]}
  nested:
    host-1: {compos: [in.yaml], engine: 20.10}
    host-2:
      compose: {in.yaml: yes}
      engine: "20.1"
      daemon: [live-restore]
      hold: "yes"
    db: {compose: in.yaml}
    group: {compose: [in.yaml], engine: "27"}
    host/4: {compose: [1]}
    host-5:
"""
    needs = "needs the compose files of what runs in it: compose: [host/compose.yaml]"
    assert problems_of(text, "db") == [
        f"4:5: the nested host 'host-1' {needs}",
        "4:14: the nested host 'host-1': unknown key 'compos'; did you mean 'compose'?",
        "4:33: the nested host 'host-1': no engine 20.1; put the number in quotes",
        "6:7: the nested host 'host-2': compose must be a list of files",
        "7:7: the nested host 'host-2': no engine '20.1'; did you mean '20.10'?",
        "8:7: the nested host 'host-2': daemon must be a mapping, as daemon.json",
        "9:7: the nested host 'host-2': hold must be true or false",
        "10:5: the nested host 'db' has the name of a service",
        "11:5: the nested host 'group' has the name of a host of x-shaketable.hosts",
        "11:33: the nested host 'group': no engine '27'; there are: 20.10, 26.1",
        "12:5: the nested host's name 'host/4' must be letters, digits and '-', at most 63 of them",
        "12:14: the nested host 'host/4': compose must be a list of files",
        f"13:5: the nested host 'host-5' {needs}",
    ]


@pytest.mark.parametrize("value", ["", "[host-1]", "{}", "5"])
def test_nested_hosts_are_a_mapping(value: str) -> None:
    """Whatever else stands there is one problem, at its key."""
    wrong = "x-shaketable.nested must map each nested host's name to its settings"
    assert problems_of(f"x-shaketable:\n  nested: {value}\n", "web") == [f"2:3: {wrong}"]


@pytest.mark.parametrize("hosts", ["5", "[web]", "[{web: 1}]"])
def test_one_key_that_is_wrong_does_not_hide_another(hosts: str) -> None:
    """Hosts that are no mapping are told, and so is what is wrong with nested ones."""
    found = problems_of(f"x-shaketable:\n  hosts: {hosts}\n  nested: {{h: {{compose: [a], engine: '1'}}}}\n", "web")
    assert found == [
        "2:3: x-shaketable.hosts must map each host's name to a list of services",
        "3:30: the nested host 'h': no engine '1'; there are: 20.10, 26.1",
    ]


def test_what_is_not_said_is_the_oldest_engine_with_nothing_of_its_own() -> None:
    """One file may be written without a list; the rest has a default, which is told apart from what is written."""
    model = model_of(
        "x-shaketable:\n  nested: {a: {compose: in.yaml}, b: {compose: [x, y], engine: '26.1', hold: true}}\n"
    )
    assert model.nested == {"a": Nested(("in.yaml",)), "b": Nested(("x", "y"), "26.1", hold=True)}
    assert (model.nested["a"].engine, model.nested["a"].version, model.nested["b"].version) == ("", "20.10", "26.1")


def test_a_nested_host_is_a_host_beside_the_others() -> None:
    """With grouped hosts or without, it is its own only container, and can be drawn as a victim."""
    ours = "nested: {h: {compose: in.yaml}}"
    assert model_of(f"x-shaketable: {{{ours}}}\n", "web").hosts == {"web": ("web",), "h": ("h",)}
    grouped = model_of(f"x-shaketable: {{{ours}, hosts: {{g: [web]}}}}\n", "web", "alone")
    assert grouped.hosts == {"g": ("web",), "h": ("h",)}
    assert set(grouped.places.others) == {"alone"}


def test_its_engines_data_can_be_a_disk() -> None:
    """The volume that a nested host's engine has is one that `x-shaketable.volumes` can name."""
    model = model_of("x-shaketable: {nested: {h: {compose: in.yaml}}, volumes: {h-engine: 512 MiB}}\n")
    assert model.volumes == {"h-engine": 512 << 20}


def test_the_service_has_what_an_engine_needs_and_is_not_privileged() -> None:
    """Capabilities and device rules by name, a cgroup namespace of its own, and images it cannot write to."""
    made = nested.service("h", Nested(("in.yaml",), "26.1"), image="i", network="st-t-default", store="s")
    assert "privileged" not in made
    assert (made["cap_add"], made["cgroup"], made["hostname"]) == (["ALL"], "private", "h")
    assert made["volumes"] == ["h-engine:/var/lib/docker", "s:/images:ro"]
    assert made["labels"] == {NESTED_LABEL: "26.1"}


def test_the_users_own_daemon_keys_win() -> None:
    """What is ours is there for containers to find names outside; what is written in the file is taken as it is."""
    entry = Nested(("in.yaml",), daemon={"live-restore": True, "dns-search": ["own"], "log-opts": {"tag": "$x"}})
    made = nested.service("h", entry, image="i", network="st-t-default", store="s")
    assert "$$x" in made["environment"]["ENGINE_OPTIONS"]
    options = json.loads(made["environment"]["ENGINE_OPTIONS"].replace("$$", "$"))
    assert options["dns"] == [options["bip"].partition("/")[0]], "its own resolver, on the bridge"
    assert (options["live-restore"], options["dns-search"], options["log-opts"]) == (True, ["own"], {"tag": "$x"})
    plain = nested.service("h", Nested(("in.yaml",)), image="i", network="st-t-default", store="s")
    assert json.loads(plain["environment"]["ENGINE_OPTIONS"])["dns-search"] == ["st-t-default"]


INNER = "services: {web: {image: 'x:${SHAKETABLE_HOST}', ports: ['80:80'], container_name: fixed}, db: {image: y}}\n"
OUTER = """x-shaketable: {nested: {host-3: {compose: [in/compose.yaml], daemon: {a: "b$$c"}}, host-4: {compose: in/compose.yaml}}}
services: {front: {image: x, ports: ["8080:80"], container_name: front}}
"""


@needs_compose
def test_what_runs_in_a_nested_host_is_named_only() -> None:
    """`host/service` is an instance that a scenario can name; it is never drawn by lot."""
    places = project(compose_yaml=OUTER, in__compose_yaml=INNER).model().places
    assert set(places.hosts) == {"front", "host-3", "host-4"}
    assert places.others == {f"{h}/{s}": (f"{h}/{s}",) for h in ("host-3", "host-4") for s in ("web", "db")}
    assert "host-3/web" in places.instances


@needs_compose
def test_all_hosts_files_are_judged_together_with_the_topologys_own() -> None:
    """A problem in our own keys does not hide one in an inner file; a file that two hosts share is told once."""
    text = """x-shaketable:
  nested:
    a: {compose: [in/compose.yaml, in/more.yaml], hodl: true}
    b: {compose: [in/compose.yaml]}
    c: {compose: [nowhere.yaml]}
    d: {compose: 5}
services: {front: {image: x}}
"""
    one = project(compose_yaml=text, in__compose_yaml="services:\n  web: {imag: x}\n", in__more_yaml="services: [\n")
    expected = [
        "compose.yaml:3:51: the nested host 'a': unknown key 'hodl'; did you mean 'hold'?",
        "compose.yaml:6:9: the nested host 'd': compose must be a list of files",
        "in/compose.yaml:2:9: services.web: unknown key 'imag'",
        "in/more.yaml:2:1: is not YAML: expected the node content, but found '<stream end>'",
        "nowhere.yaml:1:1: does not exist; did you mean 'compose.yaml'?",
    ]
    assert all_problems(one) == expected
    with pytest.raises(ScenarioError) as caught:
        audited_topology(one)
    assert list(map(str, caught.value.problems)) == expected, "an audit says the same"


@needs_compose
def test_no_host_is_nested_in_a_nested_one() -> None:
    """What is ours belongs into the topology's own files; an inner file that has it says so, even one that names itself."""
    text = "x-shaketable: {nested: {h: {compose: [compose.yaml]}}}\nservices: {front: {image: x}}\n"
    assert all_problems(project(compose_yaml=text)) == [
        "compose.yaml:1:1: x-shaketable is for the topology's own files; these are of what runs in its nested hosts"
    ]


@needs_compose
@pytest.mark.parametrize("value", ["5", "text", "[nested]"])
def test_an_extension_that_is_no_mapping_is_a_problem(value: str) -> None:
    """It is told with what it may have, and nothing breaks on it."""
    (found,) = all_problems(project(compose_yaml=f"services: {{web: {{image: x}}}}\nx-shaketable: {value}\n"))
    assert found == "compose.yaml:2:1: x-shaketable must be a mapping with the keys helpers, hosts, nested, volumes"


@needs_compose
def test_names_are_known_in_a_network_that_could_be_a_domain() -> None:
    """Names of networks that compose makes up have no `_` beside nested hosts; what the user named stays."""
    networks = "networks: {front_end: {}, given: {name: my_net}, default: {}}\n"
    one = project(
        compose_yaml=OUTER.replace("image: x,", "image: x, networks: [front_end, given],") + networks,
        in__compose_yaml=INNER,
    )
    assert one.network() == "st-t-default"
    resolved, _ = one.written()
    named = {key: entry["name"] for key, entry in resolved["networks"].items()}
    assert named == {"front_end": "st-t-front-end", "given": "my_net", "default": "st-t-default"}
    plain = project(compose_yaml="services: {front: {image: x}}\n")
    assert plain.network() == "st-t_default"


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Documents that compose commands were handed, with the engine they were for; no engine is asked."""
    found: list[dict[str, Any]] = []
    run = command.run

    def take(
        words: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None, **more: Any
    ) -> command.Finished:
        if not stdin:  # it only reads files
            return run(words, environment=environment, **more)
        engine = (environment or {}).get("DOCKER_HOST", "")
        words = list(words)
        found.append({"engine": engine, "name": words[words.index("--project-name") + 1], **json.loads(stdin)})
        return command.Finished(0, "", ())

    monkeypatch.setattr(command, "run", take)
    monkeypatch.setattr(compose, "image_client", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(compose, "name_images", lambda *_: Images({}, {}))
    return found


@needs_compose
def test_the_topology_is_handed_over_with_its_nested_hosts(handed: list[dict[str, Any]]) -> None:
    """They are services like the others, under the run's labels; nothing of the topology is published outside."""
    one = project(compose_yaml=OUTER, in__compose_yaml=INNER)
    one.down()
    (document,) = handed
    assert "x-shaketable" not in document
    front, host = document["services"]["front"], document["services"]["host-3"]
    assert not {"ports", "container_name"} & {*front, *host}
    assert host["labels"] == {NESTED_LABEL: "20.10", RUN_LABEL: "t", LANE_LABEL: "1"}
    options = json.loads(host["environment"]["ENGINE_OPTIONS"].replace("$$", "$"))
    assert options["dns-search"] == ["st-t-default"]
    assert options["a"] == "b$c", "as compose reads what the user wrote"
    assert document["volumes"]["host-3-engine"]["labels"][RUN_LABEL] == "t"
    (store,) = (entry for entry in document["volumes"].values() if entry.get("external"))
    assert "labels" not in store, "it is not the run's to remove"


@needs_compose
def test_what_runs_inside_is_handed_to_its_hosts_engine(
    handed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each inner project goes to the engine of its host, knows that host's name, and is published there."""
    one = project(compose_yaml=OUTER, in__compose_yaml=INNER)
    monkeypatch.setattr(one, "containers", lambda: {"front": "c0", "host-3": "c3", "host-4": "c4"})
    kept: dict[str, str] = {}
    monkeypatch.setattr(one.engines, "keep", kept.update)
    monkeypatch.setattr(one.engines, "address", lambda host: f"unix:///of-{kept[host]}")
    one.nested_up()
    assert kept == {"host-3": "c3", "host-4": "c4"}
    documents = {document["engine"]: document for document in handed}
    assert set(documents) == {"unix:///of-c3", "unix:///of-c4"}
    web = documents["unix:///of-c3"]["services"]["web"]
    assert documents["unix:///of-c3"]["name"] == "host-3"
    assert (web["image"], web["ports"][0]["published"], web["container_name"]) == ("x:host-3", "80", "fixed")
    assert web["labels"] == {RUN_LABEL: "t", LANE_LABEL: "1"}


@needs_compose
def test_what_several_files_say_under_our_key_is_merged() -> None:
    """A later file's word on a name counts; what it does not speak of stays, as with everything else in compose files."""
    more = """x-shaketable: {nested: {host-3: {compose: in/compose.yaml, engine: "26.1"}}, volumes: {data: 16 MiB}}
services: {front: {volumes: ["data:/data"]}}
volumes: {data: {}}
"""
    project(compose_yaml=OUTER, in__compose_yaml=INNER, more_yaml=more)
    model = ComposeProject(Path(), ["compose.yaml", "more.yaml"], "st-t", "t", "1").model()
    assert {name: nested.version for name, nested in model.nested.items()} == {"host-3": "26.1", "host-4": "20.10"}
    assert model.volumes == {"data": 16 << 20}


def test_an_image_is_laid_up_by_the_name_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image may have an older name, too; inside it must have this one, or the filling fails and says so."""
    saved: list[str] = []
    image = SimpleNamespace(id="i", tags=["a:old", "a:new"], save=lambda named: saved.append(named) or b"tar")
    inside: dict[str, SimpleNamespace] = {}

    def get(name: str) -> SimpleNamespace:
        if name not in inside:
            raise ImageNotFound(name)
        return inside[name]

    images = SimpleNamespace(get=get, load=lambda _: inside.update({saved[-1]: image}))
    inner = SimpleNamespace(images=images, close=lambda: None)
    monkeypatch.setattr(nested, "tunnel", lambda *_: contextlib.nullcontext("unix:///x"))
    monkeypatch.setattr(nested, "await_engine", lambda *_: inner)
    client = SimpleNamespace(images=SimpleNamespace(get=lambda _: image))
    nested._load(SimpleNamespace(id="box"), client, ["a:new"])  # type: ignore[arg-type]
    assert saved == ["a:new"]
    inside.clear()
    images.load = lambda _: None
    with pytest.raises(EngineError, match="does not know a:new"):
        nested._load(SimpleNamespace(id="box"), client, ["a:new"])  # type: ignore[arg-type]
