"""`extends`: what is filled in, what lies over what, and that every problem has its place in the user's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaketable.adapters.store import RunStore
from shaketable.model.errors import ScenarioError
from shaketable.run.loader import check_targets, load_scenario, load_stored, parse_scenario, scenario_schema
from shaketable.run.scenario_base import expand, stock_names
from shaketable.run.scenario_text import stock_folder
from shaketable.run.yaml_source import read_yaml
from shaketable.run.yaml_text import write_yaml

BASE = """
shaketable: 1
name: base
parameters:
  web: {required: the service to ask}
  crash: kill
  path: {default: /, about: what is asked for}
  jitter: {default: null}
topology: {compose: system}
variants:
  today: {expect: pass}
axes:
  mode: [$crash, freeze]
load: {locustfile: load.py, target: "http://$web:8080${path}", rate: 20 /s}
observers:
  holders:
    list: {kind: http-json, at: "${web}:80", path: $path, lists: {servers: backends}}
steady: {lists: {servers: 2}}
faults:
  - {id: crash, kind: $mode, target: {host: $web}, lasts: 4s}
  - {id: slow, kind: slow, target: {host: $web}, with: {delay: 50ms, jitter: $jitter}, lasts: 4s}
expectations:
  - {id: gone, kind: leaves, list: servers, within: 3s}
"""
MINE = "shaketable: 1\nextends: base/scenario.yaml\nwith: {web: api}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base with its topology and locustfile in a folder of their own."""
    (tmp_path / "base" / "system").mkdir(parents=True)
    (tmp_path / "base" / "scenario.yaml").write_text(BASE)
    (tmp_path / "base" / "load.py").touch()
    (tmp_path / "base" / "system" / "compose.yaml").touch()
    return tmp_path


def whole(folder: Path, text: str) -> dict[str, Any]:
    """What the text comes to, as JSON would have it."""
    root, _ = read_yaml(text, "f")
    assert root is not None
    done = expand(root, folder)
    assert done.problems == []
    plain = done.root.plain()
    assert isinstance(plain, dict)
    return plain


def problems(folder: Path, text: str, base: str = BASE) -> list[str]:
    """Problems of a user's file over a base, without the file's name."""
    (folder / "base" / "scenario.yaml").write_text(base)
    mine = folder / "mine.yaml"
    mine.write_text(text)
    with pytest.raises(ScenarioError) as raised:
        load_scenario(mine)
    return [f"{p.line}:{p.col}: {p.message}" for p in raised.value.problems]


def test_parameters_are_filled_in(folder: Path) -> None:
    """A text that is a parameter becomes its value, a part of a text its words, and a key that is left out is gone."""
    plain: Any = whole(folder, MINE)
    assert plain["load"]["target"] == "http://api:8080/"
    assert plain["faults"][1]["with"] == {"delay": "50ms"}
    assert plain["axes"] == {"mode": ["kill", "freeze"]}, "an axis stays an axis"
    assert plain["faults"][0]["kind"] == "$mode"
    assert not {"extends", "with", "parameters"} & set(plain)
    given = whole(folder, "shaketable: 1\nextends: base/scenario.yaml\nwith: {web: api, crash: [a, b], jitter: 5ms}\n")
    assert given["axes"] == {"mode": [["a", "b"], "freeze"]}
    assert given["faults"][1]["with"] == {"delay": "50ms", "jitter": "5ms"}


def test_the_users_keys_lie_over_the_base(folder: Path) -> None:
    """Mappings are merged by key, lists and scalars replaced, and what is given as nothing is taken away."""
    plain: Any = whole(
        folder,
        MINE + "load: {rate: 5 /s}\nvariants: {today: null, mine: {expect: fail}}\naxes: {mode: [stop]}\n",
    )
    assert plain["load"]["rate"] == "5 /s"
    assert plain["load"]["locustfile"] == "base/load.py"
    assert plain["variants"] == {"mine": {"expect": "fail"}}
    assert plain["axes"] == {"mode": ["stop"]}


def test_paths_of_a_base_are_its_own(folder: Path) -> None:
    """A base's files are found from the user's folder; a path that the user gives is one of the user's."""
    mine = folder / "mine.yaml"
    mine.write_text(MINE)
    loaded = load_scenario(mine)
    assert loaded.locustfile.resolve() == (folder / "base" / "load.py").resolve()
    assert loaded.scenario.topology.compose == "base/system"
    chained = folder / "base" / "second.yaml"
    chained.write_text("shaketable: 1\nextends: scenario.yaml\nparameters: {who: api}\nwith: {web: $who}\n")
    assert whole(folder, "shaketable: 1\nextends: ./base/second.yaml\nwith: {who: me}\n") == {
        **whole(folder, "shaketable: 1\nextends: base/scenario.yaml\nwith: {web: me}\n"),
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "shaketable: 1\nextends: base/scenario.yaml\n",
            ["2:10: with: base/scenario.yaml needs the parameter 'web': the"],
        ),
        (MINE.replace("web:", "wbe:"), ["3:8: with.wbe: no parameter of base/scenario.yaml; did you mean 'web'?"]),
        (MINE.replace("}", ", crash: kil}"), ["3:25: no fault kind 'kil'; did you mean 'kill'?"]),
        (MINE.replace("}", ", path: [a]}"), ["3:24: with.path: must be text, for it is a part of a text"]),
        (MINE + "loda: {rate: 5 /s}\n", ["4:1: loda: unknown key; did you mean 'load'?"]),
        (MINE + "load: {rate: fast}\n", ["4:14: load.rate: 'fast' is not a rate"]),
        (MINE.replace("extends", "extend"), ["2:1: extend: unknown key; did you mean 'extends'?"]),
        (MINE.replace("base/s", "bas/s"), ["2:10: extends: there is no file"]),
        (MINE.replace("base/scenario.yaml", "idle-transactoin"), ["2:10: extends: no stock scenario is called"]),
        ("shaketable: 1\nextends: ./mine.yaml\nname: x\n", ["2:10: extends: ./mine.yaml extends itself"]),
        ("shaketable: 1\nextends: [a]\n", ["2:10: extends: must be the name"]),
    ],
)
def test_a_problem_has_its_place_in_the_users_file(folder: Path, text: str, expected: list[str]) -> None:
    """Each mistake is told once, where the user can mend it, though most of the scenario is in another file."""
    found = problems(folder, text)
    assert len([one for one in found if one.startswith(expected[0])]) == 1, found
    extra = [one for one in found if not one.startswith(expected[0])]
    assert [one for one in extra if one.startswith("2:10") or "1:1:" in one] == [], extra


def test_what_is_wrong_in_a_base_is_told_at_extends(folder: Path) -> None:
    """A base that is no YAML, or does not say what its parameter is, is a problem of the line that names it."""
    assert problems(folder, MINE, "a: [b") == [
        "2:10: extends: base/scenario.yaml:1:6: a list opened with '[' is not closed, or a ',' is missing"
    ]
    assert any(
        one.startswith("2:10: extends: base/scenario.yaml: parameters.crash: must be a default")
        for one in problems(folder, MINE, BASE.replace("crash: kill", "crash: {requird: x}"))
    )


def test_a_base_by_itself_says_what_it_is(folder: Path) -> None:
    """A base that needs something is not run; with defaults alone it is a scenario like any other."""
    base = folder / "base" / "scenario.yaml"
    with pytest.raises(ScenarioError, match="'web' has no value; this scenario is for others to extend"):
        load_scenario(base)
    base.write_text(BASE.replace("{required: the service to ask}", "api"))
    assert load_scenario(base).scenario.load.target == "http://api:8080/"


def test_targets_are_checked_where_they_were_given(folder: Path) -> None:
    """A host that the compose file does not have is a problem of the value in `with`."""
    from shaketable.ports import Places  # noqa: PLC0415

    mine = folder / "mine.yaml"
    mine.write_text(MINE)
    found = check_targets(load_scenario(mine), Places({"api-1": ["api-1"]}))
    assert {(problem.line, problem.col) for problem in found} == {(3, 13)}


def test_a_stored_run_needs_no_base(folder: Path) -> None:
    """The text that a run keeps is whole: it is judged, and run again, when the base is gone."""
    mine = folder / "mine.yaml"
    mine.write_text(MINE)
    loaded = load_scenario(mine)
    store = RunStore.create(folder / "run", [(mine, loaded.text)], {mine: MINE})
    copy = folder / "run" / "scenarios" / "00" / "mine.yaml"
    assert (copy.parent / "written").read_text() == MINE
    (folder / "base" / "scenario.yaml").unlink()
    assert parse_scenario(copy.read_text(), file=str(copy)) == loaded.scenario
    assert load_stored(copy, mine).scenario == loaded.scenario
    store.abandon()


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(st.characters(codec="utf-8", exclude_categories=["C"]))
        | st.sampled_from(
            ["on", "1e3", "0o17", "010", "1:30", "~", "null", "<<", "2024-01-01", "", "a: b", "- a", "$x"]
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcyn1"), inner, max_size=3),
        max_leaves=12,
    )
)
def test_what_is_written_reads_back_the_same(value: Any) -> None:
    """Text that either version of YAML would take for a number, a date or a boolean stays text."""
    root, wrong = read_yaml(write_yaml({"value": value}), "f")
    assert wrong == []
    assert root is not None
    assert root.plain() == {"value": value}


@pytest.mark.parametrize("name", ["deadlock-storm", "idle-transaction"])
def test_stock_scenarios_take_three_lines(name: str, tmp_path: Path) -> None:
    """A stock scenario is a whole one with what a user has to say, and its load comes with the package."""
    assert name in stock_names()
    (tmp_path / "compose.yaml").touch()
    mine = tmp_path / "mine.yaml"
    given = "{compose: ., database: db, table: orders, url: 'http://web:8080/orders'}"
    mine.write_text(f"shaketable: 1\nextends: {name}\nwith: {given}\n")
    loaded = load_scenario(mine)
    assert loaded.locustfile == stock_folder() / "get.py"
    assert loaded.topology.resolve() == tmp_path.resolve()
    assert loaded.scenario.faults[0].target.instance == "db"
    assert loaded.scenario.faults[0].parameters["table"] == "orders"
    assert str(stock_folder()) not in loaded.text, "a run is kept without paths of one machine"


def test_the_schema_knows_a_scenario_over_another() -> None:
    """For an editor: over a base nothing is required, and a part of a mapping is enough."""
    schema = scenario_schema()
    assert schema["then"]["required"] == ["shaketable"]
    assert {"extends", "with"} <= set(schema["then"]["properties"])
    assert "LoadOver" in json.dumps(schema["then"]["properties"]["load"])
    assert "required" not in schema["$defs"]["LoadOver"]
    assert "extends" not in schema["else"]["properties"]
