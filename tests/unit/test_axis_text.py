"""`$axis` in parameters: each trial has its own value there, and what is no axis is the command's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollout_histories import GOOD

from shaketable.faults import CATALOGUE
from shaketable.model.errors import ScenarioError
from shaketable.ports import Places
from shaketable.run.axis_text import filled, used
from shaketable.run.loader import parse_scenario
from shaketable.run.schedule import plan_trial

PLACES = Places({"migration": ["migration"]})
AXES = "axes:\n  loop: [cpu, memory]\n  pause: [50ms, 100ms]\n"
LOOPS = """\
faults:
  - id: bad
    kind: deploy
    target: {instance: migration}
    with: {command: [release, "1.1", $loop], undo: [release, "1.2"], check: [release], shows: "mailer 1.1 $loop"}
    lasts: 4s
"""
SLOW = """\
faults:
  - {id: bad, kind: slow, target: {instance: migration}, with: {delay: $pause}, lasts: 4s}
"""


def text(faults: str, axes: str = AXES) -> str:
    """A scenario with these faults instead of a roll-out."""
    head = GOOD[: GOOD.index("rollout:")].replace("{soak: 12s}", "{}")
    return f"{head}{axes}{faults}expectations:\n  - {{id: x, kind: recovers, within: 2s}}\n"


def problems(written: str) -> list[str]:
    """All problems of a scenario's text, without the name of the file."""
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(written, file="f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


@pytest.mark.parametrize("loop", ["cpu", "memory"])
def test_each_trial_has_its_own_value(loop: str) -> None:
    """In lists and within texts, in what is injected as in what people are shown."""
    scenario = parse_scenario(text(LOOPS), file="f")
    (planned,) = plan_trial(scenario, "s", {"loop": loop, "pause": "50ms"}, PLACES, CATALOGUE)
    assert planned.params.model_dump()["command"] == ("release", "1.1", loop)
    assert planned.params.model_dump()["shows"] == f"mailer 1.1 {loop}"
    assert planned.written["command"] == ["release", "1.1", loop]


def test_what_has_a_unit_is_read_after_its_axis_is_known() -> None:
    """A delay from an axis is one of the axis's delays."""
    scenario = parse_scenario(text(SLOW), file="f")
    (planned,) = plan_trial(scenario, "s", {"loop": "cpu", "pause": "100ms"}, PLACES, CATALOGUE)
    assert planned.params.model_dump()["delay"] == 0.1
    assert planned.written["delay"] == "100ms"


def test_a_rollout_has_stage_and_axis() -> None:
    """Both stand for their values in the same text."""
    scenario = parse_scenario(
        GOOD.replace('start, "{stage}"', 'start, "{stage}/$loop"').replace("load:", f"{AXES}load:", 1), file="f"
    )
    planned = plan_trial(scenario, "s", {"loop": "memory", "pause": "50ms"}, PLACES, CATALOGUE)
    assert [list(p.params.model_dump()["command"]) for p in planned] == [
        ["migrate", "start", f"{stage}/memory"] for stage in ("canary", "pod-17", "pod-18")
    ]


def test_steps_of_a_repeated_fault_may_come_from_axes() -> None:
    """`escalate` gives parameters like any other."""
    again = SLOW.replace("lasts: 4s", "lasts: 1s, repeat: {times: 2, every: 1s}, escalate: {delay: [10ms, $pause]}")
    planned = plan_trial(
        parse_scenario(text(again), file="f"), "s", {"loop": "cpu", "pause": "50ms"}, PLACES, CATALOGUE
    )
    assert [p.params.model_dump()["delay"] for p in planned] == [0.01, 0.05]


@pytest.mark.parametrize("own", ["$HOME", "$1", "$$", "$", "a $ b", "${loop}", "\\$loop", "x$loop", "$path/$dir"])
def test_what_is_no_axis_is_the_commands_own(own: str) -> None:
    """A shell's variables stay as they are; `${loop}` is a way to have one of an axis's name."""
    assert filled([own], {"loop": "cpu"}) == [own]
    written = LOOPS.replace("[release]", f"[sh, -c, '{own}']")
    (planned,) = plan_trial(
        parse_scenario(text(written), file="f"), "s", {"loop": "cpu", "pause": "50ms"}, PLACES, CATALOGUE
    )
    assert planned.params.model_dump()["check"] == ("sh", "-c", own)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            LOOPS.replace('"1.1", $loop', '"1.1", $lop'),
            "19:38: faults[bad].with.command: there is no axis 'lop'; did you mean '$loop'?",
        ),
        (
            LOOPS.replace("1.1 $loop", "1.1 $loops"),
            "19:95: faults[bad].with.shows: there is no axis 'loops'; did you mean '$loop'?",
        ),
    ],
    ids=["word", "within a text"],
)
def test_a_misspelt_axis_is_one_problem(written: str, expected: str) -> None:
    """It is found at its text, with the axis that was probably meant."""
    (found,) = problems(text(written))
    assert found.startswith(expected)


def test_every_value_of_the_axis_must_fit() -> None:
    """Each that the parameter cannot have is told once, at the parameter."""
    found = problems(text(SLOW.replace("$pause", "$loop")))
    assert [message.partition(": ")[0] for message in found] == ["16:72", "16:72"]
    assert "(with $loop 'cpu')" in found[0]
    assert "(with $loop 'memory')" in found[1]


def test_a_value_of_an_axis_that_does_not_fit_is_told_with_its_axis() -> None:
    """Who reads the message sees which trial it would be."""
    (one,) = problems(text(SLOW, AXES.replace("100ms", "a moment")))
    assert one.endswith("(with $pause 'a moment')")


NAMES = st.sampled_from(["loop", "pause", "a-b", "x.y"])
TEXTS = st.lists(st.one_of(NAMES.map("${}".format), st.text("ab $./-{}", max_size=5)), max_size=6).map(" ".join)


@given(TEXTS, st.dictionaries(NAMES, st.sampled_from(["cpu", "1 s", ""])))
def test_only_named_axes_change_a_text(written: str, axis: dict[str, str]) -> None:
    """What asks for no axis is as it was, at any depth; and what is asked for is what changes."""
    deep: dict[str, Any] = {"a": [written, {"b": (written, 3)}], "c": None}
    done = filled(deep, axis)
    assert (done["a"][0] == written) or used(written, axis)
    assert done["a"][1]["b"] == [done["a"][0], 3]
    assert done["c"] is None
    assert used(deep, axis) == used(written, axis) <= set(axis)
    assert not used(filled(deep, dict.fromkeys(axis, "-")), axis)
