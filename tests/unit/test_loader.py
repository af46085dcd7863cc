"""The rules of the loader: every mistake once, at its place, in words a person can act on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from shaketable.model.errors import Exit, ScenarioError
from shaketable.ports import Places
from shaketable.run.loader import (
    LoadedScenario,
    check_targets,
    load_scenario,
    parse_scenario,
    scenario_schema,
)
from shaketable.run.scenario_text import MAX_BYTES

GOOD = (Path(__file__).parents[2] / "scenarios/backoffice/crashed-host.yaml").read_text()
JARGON = re.compile(r"Input should|valid (dict|string|integer|list|tuple)|pydantic|NoneType|Value error|__", re.I)

Folder = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Folder:
    """Write a scenario beside the files that the good one names; gives its path."""
    (tmp_path / "compose/backoffice").mkdir(parents=True)
    for name in ("compose.yaml", "incident.yaml"):
        (tmp_path / "compose/backoffice" / name).touch()
    folder = tmp_path / "scenarios/backoffice"
    folder.mkdir(parents=True)
    (folder / "load.py").touch()

    def written(text: str) -> Path:
        path = folder / "crashed-host.yaml"
        path.write_text(text)
        return path

    return written


def problems(text: str) -> list[str]:
    """All problems of a scenario's text, without the name of the file."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, file="f")
    found = [str(problem).removeprefix("f:") for problem in caught.value.problems]
    assert not any(JARGON.search(message) for message in found), found
    return found


def changed(*replacements: tuple[str, str]) -> str:
    """Make the good scenario with some text replaced, each where it first occurs."""
    text = GOOD
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def test_the_good_scenario_loads(write: Folder) -> None:
    """The scenario of the main job is flawless, and its paths are found from its own folder."""
    loaded = load_scenario(write(GOOD))
    assert loaded.scenario.name == "crashed-host"
    assert loaded.scenario.faults[0].after == (0.0, 0.5)
    assert loaded.locustfile.is_file()
    assert loaded.topology.is_dir()


def test_three_mistakes_are_three_problems(write: Folder) -> None:
    """A mistake of shape, one of meaning and a missing file come at once, in file order, each with its place."""
    path = write(changed(("rate: 20 /s", "rate: 20"), ("list: servers", "list: servrs"), ("load.py", "laod.py")))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert [(found.line, found.col) for found in caught.value.problems] == [(28, 15), (30, 9), (83, 45)]
    assert caught.value.exit_code == Exit.USAGE
    assert str(caught.value).count(f"{path}:") == 3


def test_mistakes_inside_one_expectation_are_all_found() -> None:
    """Behind a misspelt kind and a misspelt key, the list and the limit are still looked at."""
    text = changed(("kind: leaves, list: servers, within: 3s", "kind: leavs, list: servrs, witin: 3"))
    found = problems(text)
    assert [message.split(": ", 1)[0] for message in found] == ["83:31", "83:44", "83:52", "83:59"]
    assert "did you mean 'leaves'?" in found[0]
    assert "did you mean 'servers'?" in found[1]
    assert "did you mean 'within'?" in found[2]
    assert "3 has no unit" in found[3]


ONE_MISTAKE = [
    ("unknown key", "rate: 20 /s", "rat: 20 /s", "30:3: load.rat: unknown key; did you mean 'rate'?"),
    ("unknown key of all", "story: >", "zzz: >", "3:1: zzz: unknown key; possible here: shaketable, name"),
    ("missing key", "  rate: 20 /s\n", "", "27:1: load: the key 'rate' is missing"),
    ("number without unit", "8ms", "5", "37:10: observers.every: 5 has no unit; write a duration"),
    ("float without unit", "8ms", "5.0", "37:10: observers.every: 5.0 has no unit; write a duration"),
    ("wrong unit", "99 %", "99 s", "'99 s' is not a share; write a share as a number and %, as in '99 %'"),
    ("list for a window", "0s..500ms", "[0s, 500ms]", "faults[crash].after: a list is not a duration"),
    (
        "holder kind",
        "kind: etcd",
        "kind: etc",
        "must be etcd or haproxy or http-json or containers or database, not 'etc'; did you mean 'etcd'?",
    ),
    ("option", "arrivals: poisson", "arrivals: poison", "load.arrivals: must be poisson or constant, not 'poison'"),
    ("text as number", "services: 12", 'services: "12"', "steady.lists.services: must be a whole number, not '12'"),
    ("true as number", "services: 12", "services: true", "steady.lists.services: must be a whole number, not true"),
    ("number as text", "name: crashed-host", "name: 12", 'name: must be text, not 12; put it in quotes: "12"'),
    ("true as version", "shaketable: 1", "shaketable: true", "1:13: shaketable: must be the number 1"),
    ("other version", "shaketable: 1", "shaketable: 2", "1:13: shaketable: must be 1, not 2"),
    ("name", "name: crashed-host", "name: crashed host", "2:7: name: 'crashed host' is not a name: letters"),
    ("name as key", "    back-office-2:", "    back office 2:", "'back office 2' is not a name"),
    ("no port", "at: registry:2379", "at: registry", "'registry' is not host:port, as in registry:2379"),
    ("port out of range", "registry:2379", "registry:70000", "observers.holders.registry.at: there is no port 70000"),
    ("text for a mapping", "target: {host: one of}", "target: host-2", "must be a mapping (key: value), not 'host-2'"),
    ("text for a list", "[stop, kill, freeze, power-off, cut]", "kill", "axes.mode: must be a list"),
    ("nothing", "  compose: ../../compose/backoffice", "", "topology: must be a mapping (key: value), not nothing"),
    ("no time at all", "lasts: 4s", "lasts: 0s", "faults[crash].lasts: must be more than 0"),
    ("no arrivals", "rate: 20 /s", "rate: 0 /s", "load.rate: must be more than 0"),
    ("no URL", "http://haproxy:8080", "haproxy:8080", "load.target: 'haproxy:8080' is not a URL"),
    (
        "list of steady",
        "{servers: 3,",
        "{severs: 3,",
        "71:11: steady.lists.severs: no holder has this list; did you mean",
    ),
    ("list of a claim", "list: notices", "list: notice", "no holder has a list 'notice'; did you mean 'notices'?"),
    ("negative size", "servers: 3,", "servers: -3,", "steady.lists.servers: must be 0 or more"),
    ("axis", "kind: $mode", "kind: $mod", "faults[crash].kind: there is no axis 'mod'; did you mean '$mode'?"),
    ("axis as target", "host: one of", "host: $hots", "target.host: there is no axis 'hots'; possible here: mode"),
    ("fault kind", "kind: $mode", "kind: poweroff", "no fault kind 'poweroff'; did you mean 'power-off'?"),
    ("fault kind in an axis", "power-off, cut]", "power-of, cut]", "25:30: no fault kind 'power-of'; did you mean"),
    ("axis value twice", "power-off, cut]", "power-off, cut, stop]", "axes.mode: 'stop' is here twice"),
    (
        "cell",
        "      cut: any",
        "      cutt: any",
        "22:7: variants.incident.cells.cutt: no value of the first axis, mode;",
    ),
    ("verdict of a cell", "cut: any", "cut: maybe", "'maybe' is not pass, fail, any or {fails_at_least: 20 %}"),
    (
        "at least > at most",
        "fails_at_most: 95 %",
        "fails_at_most: 9 %",
        "fails_at_least 20 % is more than fails_at_most 9 %",
    ),
    ("id twice", "id: servers-leave", "id: recovery", "the id 'recovery' is taken by the one in line 83"),
    (
        "too late to judge",
        "servers, within: 3s",
        "servers, within: 4s",
        "4 s is not less than the 4 s that the fault lasts",
    ),
    (
        "calls too late",
        "not-called, after: 3s",
        "not-called, after: 5s",
        "expectations[dead-not-called].after: 5 s is not",
    ),
    ("never steady", "hold: 300ms", "hold: 1h", "steady: hold (3600 s) is longer than within (30 s)"),
    ("looks too rare", "every: 50ms", "every: 1s", "observers.holders.inbox.every: a look every 1 s is not less than"),
    ("placeholder", "/servers/{host}", "/servers/{hots}", "{hots} means nothing; did you mean 'host'?"),
    ("no placeholder", "/servers/{host}", "/servers/", "{host} is missing in the pattern"),
    (
        "key twice",
        "name: crashed-host",
        "name: crashed-host\nname: b",
        "3:1: the key 'name' is here twice; the first is in",
    ),
    (
        "parameter of no kind",
        "    lasts: 4s",
        "    lasts: 4s\n    with: {grce: 2s}",
        "faults[crash].with.grce: no parameter of these kinds; did you mean 'grace'?",
    ),
    (
        "parameter without unit",
        "    lasts: 4s",
        "    lasts: 4s\n    with: {grace: 2}",
        "faults[crash].with.grace: 2 has no unit",
    ),
    (
        "marker of no fault",
        "    lasts: 4s",
        "    lasts: 4s\n    when: {healed: crsh}",
        "faults[crash].when.healed: there is no fault 'crsh'; did you mean 'crash'?",
    ),
    (
        "fault that waits for itself",
        "    lasts: 4s",
        "    lasts: 4s\n    when: {effective: crash}",
        "faults[crash].when.effective: it would wait for itself",
    ),
    (
        "escalation of nothing",
        "    lasts: 4s",
        "    lasts: 4s\n    escalate: {grace: [1s, 2s]}",
        "faults[crash].escalate: there is no repeat, so nothing would escalate",
    ),
    (
        "claim about no fault",
        "id: services-leave,",
        "id: services-leave, fault: crush,",
        "expectations[services-leave].fault: there is no fault 'crush'; did you mean 'crash'?",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "expected"), [case[1:] for case in ONE_MISTAKE], ids=[case[0] for case in ONE_MISTAKE]
)
def test_one_mistake_is_one_problem(old: str, new: str, expected: str) -> None:
    """A mistake is told once, with what is there, what must be there, and the nearest valid name."""
    found = problems(changed((old, new)))
    assert len(found) == 1, found
    assert expected in found[0]


def test_a_cell_without_axes_is_a_problem() -> None:
    """Cells need an axis to be the values of."""
    found = problems(
        changed(("axes:\n  mode: [stop, kill, freeze, power-off, cut]\n", ""), ("kind: $mode", "kind: cut"))
    )
    assert len(found) == 5
    assert all("there are no axes" in message for message in found)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("load.py", "laod.py", "load.locustfile: there is no file"),
        ("load.py", ".", "is not a file"),
        ("../../compose/backoffice", "../../compose/backofice", "there is no folder"),
        (
            "files: [compose.yaml, incident.yaml]",
            "files: [compose.yaml, incidnt.yaml]",
            "did you mean 'incident.yaml'?",
        ),
    ],
)
def test_files_that_are_not_there_are_problems(write: Folder, old: str, new: str, expected: str) -> None:
    """The locustfile, the topology's folder and its compose files are looked for before anything starts."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(write(changed((old, new))))
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)


def test_a_stored_run_needs_no_files() -> None:
    """What a run stored can be checked again on a machine without the topology."""
    assert parse_scenario(GOOD, file="runs/1/scenario.yaml").name == "crashed-host"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("missing.yaml", None, "does not exist"),
        ("empty.yaml", b"", "is empty"),
        ("comment.yaml", b"# nothing\n", "is empty"),
        ("binary.yaml", b"\x7fELF\0\0", "is not text"),
        ("latin.yaml", "name: ok\nstory: größe\n".encode("latin-1"), "2:10: is not UTF-8: byte 0xf6"),
        ("large.yaml", b"a" * (MAX_BYTES + 1), "is larger than 256 KiB"),
        ("nested.yaml", b"[" * 5000, "is nested more than"),
        ("tab.yaml", b"name: x\n\tload: y\n", "2:1: a tab cannot be used to indent"),
        ("control.yaml", b"name: \x07\n", "1:7: has an unprintable character (U+0007)"),
        (
            "bomb.yaml",
            b"a: &a [1,1,1,1,1,1,1,1,1,1]\n"
            + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in b"bcdefgh"),
            "values once its aliases are followed",
        ),
    ],
)
def test_an_unreadable_file_is_one_problem(tmp_path: Path, name: str, content: bytes | None, expected: str) -> None:
    """Whatever the file is, there is one clear sentence about it."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert len(caught.value.problems) == 1
    assert expected in str(caught.value)


def test_a_folder_or_device_is_no_scenario(tmp_path: Path) -> None:
    """A folder is told from a file; a device that never ends is not read."""
    for path, expected in ((tmp_path, "is a folder"), (Path("/dev/zero"), "is not a file")):
        with pytest.raises(ScenarioError, match=expected):
            load_scenario(path)


def test_the_name_of_a_missing_file_is_guessed(write: Folder) -> None:
    """A misspelt file name gives the nearest one in that folder."""
    path = write(GOOD)
    with pytest.raises(ScenarioError, match=r"did you mean 'crashed-host.yaml'\?"):
        load_scenario(path.with_name("crashed-hots.yaml"))


@pytest.mark.parametrize(
    ("target", "hosts", "expected"),
    [
        ("one of", ["host-1"], []),
        ("host-1", ["host-1", "host-2"], []),
        ("hst-1", ["host-1", "other"], ["faults[crash].target.host: no host 'hst-1'; did you mean 'host-1'?"]),
        (
            "zzz",
            ["host-1"],
            ["faults[crash].target.host: no host 'zzz'; possible here: host-1, one of, all, minority, majority"],
        ),
        ("one of", [], ["has no hosts"]),
    ],
)
def test_targets_are_checked_against_the_hosts(
    write: Folder, target: str, hosts: list[str], expected: list[str]
) -> None:
    """A target that is no host is a problem, and so are zero hosts: nothing hit is never a success."""
    loaded = load_scenario(write(changed(("host: one of", f"host: {target}"))))
    found = check_targets(loaded, Places({host: [host] for host in hosts}))
    assert len(found) == len(expected)
    assert all(part in problem.message for part, problem in zip(expected, found, strict=True))


def test_targets_from_an_axis_are_checked(write: Folder) -> None:
    """Each value of an axis that names targets must be a host; the problem points at the value."""
    text = changed(("host: one of", "host: $victim"), ("axes:\n", "axes:\n"))
    text = text.replace("cut]\n", "cut]\n  victim: [host-1, host-9]\n", 1)
    loaded: LoadedScenario = load_scenario(write(text))
    found = check_targets(loaded, Places({"host-1": ["host-1"], "host-2": ["host-2"]}))
    assert [(problem.line, problem.col) for problem in found] == [(26, 20)]


def test_the_schema_is_what_a_person_writes() -> None:
    """For an editor, numbers with units are text with a pattern, examples and defaults in the same form."""
    parts = scenario_schema()["$defs"]
    every = parts["Observers"]["properties"]["every"]
    assert every["type"] == "string"
    assert every["default"] == "5 ms"
    assert re.match(every["pattern"], "5ms")
    assert parts["Fault"]["properties"]["after"]["default"] == "0 s"
    assert parts["FailsAtLeast"]["properties"]["fails_at_most"]["default"] == "100 %"
    assert "power-off" in parts["Fault"]["properties"]["kind"]["anyOf"][0]["enum"]


def test_the_patterns_of_the_schema_accept_the_good_scenario() -> None:
    """Every pattern and default in the schema agrees with what the loader reads."""

    def patterns(part: object) -> list[tuple[str, list[str]]]:
        if isinstance(part, list):
            return [found for element in part for found in patterns(element)]
        if not isinstance(part, dict):
            return []
        own = [(part["pattern"], part["examples"])] if "examples" in part else []
        if own and "default" in part:
            own.append((part["pattern"], [part["default"]]))
        return own + [found for element in part.values() for found in patterns(element)]

    found = patterns(scenario_schema())
    assert len(found) > 10
    assert all(re.search(pattern, example) for pattern, examples in found for example in examples)
