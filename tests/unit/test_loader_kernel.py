"""The loader's rules about claims of runaways, limits and who was killed."""

from __future__ import annotations

import pytest
from kernel_histories import TEXT

from shaketable.model.claims import LimitsHold, RunawayEnds, Spared
from shaketable.model.errors import ScenarioError
from shaketable.run.loader import parse_scenario
from shaketable.run.schedule import timing

FIRST = TEXT[: TEXT.index("expectations:")].count("\n") + 2
"""The line of the first claim."""


def problems(old: str, new: str) -> list[str]:
    """All problems with some text replaced where it first occurs, without the name of the file."""
    assert old in TEXT
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(TEXT.replace(old, new, 1), file="f")
    return [str(problem).removeprefix("f:") for problem in caught.value.problems]


def test_all_of_them_load() -> None:
    """And a trial goes on for as long after the fault as a runaway may last."""
    scenario = parse_scenario(TEXT, file="f")
    over, held, innocent = scenario.expectations
    assert isinstance(over, RunawayEnds)
    assert (over.gauges, over.within, over.by) == ({"cpu": 0.9, "memory": 0.5}, 5.0, ("guard", "limit", "watchdog"))
    assert isinstance(held, LimitsHold)
    assert (held.limits, held.reached) == (("memory", "cpu", "processes"), ("cpu",))
    assert isinstance(innocent, Spared)
    assert timing(scenario, ()).tails == {"release": 5.0}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "ends: ended-a, w",
            "ends: ended-x, w",
            "expectations[over].ends: no holder has a list 'ended-x'; did you mean 'ended-a'?",
        ),
        (
            "ends: ended-a, w",
            "ends: ended, w",
            (
                "expectations[over].ends: 'ended' is not a list 'ends INSTANCE' of a holder of the kind containers; "
                "did you mean 'ended-a'?"
            ),
        ),
        (
            "list: limits-a,",
            "list: ended-a,",
            (
                "expectations[held].list: 'ended-a' is not a list 'limits INSTANCE' of a holder of the kind containers; "
                "possible here: limits-a"
            ),
        ),
        (
            "list: ended}",
            "list: ids}",
            (
                "expectations[innocent].list: 'ids' is not a list 'ends' of a holder of the kind containers; "
                "possible here: ended, ended-a"
            ),
        ),
        (
            "{cpu: 0.9,",
            "{cpu-b: 0.9,",
            (
                "expectations[over].gauges.cpu-b: this gauge is of 'server-1/tenant-b', and the list 'ended-a' of "
                "'server-1/tenant-a': who ended it would not be on it"
            ),
        ),
        (
            "{cpu: 0.9,",
            "{kills: 0,",
            (
                "expectations[over].gauges.kills: this gauge only counts up, so nothing would ever be over; "
                "possible here: cpu, throttled, memory, processes, files, disk of an instance"
            ),
        ),
        (
            "{cpu: 0.9,",
            "{backlog: 9,",
            (
                "expectations[over].gauges.backlog: this gauge is not the kernel's; "
                "possible here: cpu, throttled, memory, processes, files, disk of an instance"
            ),
        ),
        ("{cpu: 0.9,", "{cpx: 0.9,", "expectations[over].gauges.cpx: no holder has this gauge; did you mean 'cpu'?"),
        (
            "reached: [cpu]",
            "reached: [files]",
            "expectations[held].reached: 'files' is not among the limits of this claim: memory, cpu, processes",
        ),
        ("reached: [cpu]", "limits: []", "expectations[held].limits: is empty, so nothing would be judged"),
        ("within: 5s", "within: 5s, by: []", "expectations[over].by: is empty, so nothing would be judged"),
        (
            "within: 5s",
            "within: 40s",
            (
                "expectations[over].within: 40 s is not less than the 40 s that the fault lasts, "
                "so this could not be judged before heal"
            ),
        ),
    ],
)
def test_each_mistake_is_one_problem_at_its_place(old: str, new: str, expected: str) -> None:
    """Line and column of what is to be changed, what is wrong, and what was probably meant."""
    (problem,) = problems(old, new)
    line, column, message = problem.split(":", 2)
    assert message.strip() == expected
    assert FIRST <= int(line) <= FIRST + 2
    assert int(column) > 1


def test_one_that_runs_away_on_a_host_may_be_ended_anywhere_on_it() -> None:
    """A gauge of what runs on the host that the list is about."""
    text = TEXT.replace("ended-a: ends server-1/tenant-a", "ended-a: ends server-1", 1)
    assert parse_scenario(text, file="f").expectations[0].id == "over"
