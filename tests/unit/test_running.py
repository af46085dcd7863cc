"""What runs, as a witness sees it: where it looks, what is told on change, and how closely it was watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from shaketable.adapters.docker_engine import NESTED_LABEL
from shaketable.model.errors import AgentError
from shaketable.model.history import Look, LookBeat
from shaketable.model.scenario import Holder
from shaketable.run.running import Places, Running, entries, places

WEB, DB, NEW = "a" * 64, "b" * 64, "c" * 64
WHERE = Places({"front": "docker/f"}, {"host-3": "docker/h"}, {WEB: "host-3/web", DB: "host-3/db"})
BEGAN = 5000.0
"""The engine's machine has a clock of its own, which is far from ours."""


def reading(at: float, front: float | None = 10.0, **inside: float) -> dict[str, Any]:
    """A look: what runs, and since when."""
    ids = {"web": WEB, "db": DB, "new": NEW}
    running = {} if front is None else {"front": front}
    return {"at": BEGAN + at, "running": running, "inside": {"host-3": {ids[n]: since for n, since in inside.items()}}}


def failed(at: float) -> dict[str, Any]:
    """A look that failed."""
    return {"at": BEGAN + at, "error": "no such file"}


class FakeWitness:
    """Gives its readings one after the other, and then no more answers."""

    def __init__(self, readings: Sequence[Mapping[str, Any]]) -> None:
        self._readings = list(readings)
        self.asked: list[Mapping[str, Any]] = []
        self.asked_at: list[float] = []
        self.over = threading.Event()
        self.lost = False
        self.left = 0

    def look(self, looks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Take the next look."""
        self.asked.append(looks["x"])
        self.asked_at.append(time.monotonic())
        if not self._readings:
            self.over.set()
            raise AgentError("it did not answer")
        return {"x": self._readings.pop(0)}

    def leave(self) -> None:
        """Be dismissed."""
        self.left += 1


class Told:
    """A watch of these readings to their end, and what it told, relative to the beginning of its clock."""

    def __init__(self, *readings: Mapping[str, Any], **holders: Holder) -> None:
        self.looks: list[tuple[float, str, str, tuple[str, ...] | None]] = []
        self.beats: list[tuple[float, str, int, float]] = []
        self.witness = FakeWitness(readings)
        self.running = Running(
            holders or {"m": holder(running="names")},
            WHERE,
            self.witness,  # type: ignore[arg-type]
            configured={},
            on_look=self._look,
            on_beat=self._beat,
        )
        assert self.witness.over.wait(10)
        self.running._watch._thread.join(10)

    def _look(self, look: Look) -> None:
        self.looks.append((round(look.at - BEGAN, 6), look.holder, look.list, look.entries))

    def _beat(self, beat: LookBeat) -> None:
        self.beats.append((round(beat.at - BEGAN, 6), beat.holder, beat.looks, beat.max_gap))


def holder(**lists: str) -> Holder:
    """A holder of the kind `containers` that is looked at as often as can be."""
    return Holder(kind="containers", lists=lists, every=0.0001)


def test_what_runs_is_listed_by_host_and_service() -> None:
    """What runs in a nested host by its name there, what nobody knows by its id; the host itself is no instance of its own."""
    seen = reading(0, web=12.345, db=9.0, new=30.0)
    assert entries(seen, WHERE.inside) == {
        "names": ("front", "host-3/cccccccccccc", "host-3/db", "host-3/web"),
        "starts": ("front 10.00", "host-3/cccccccccccc 30.00", "host-3/db 9.00", "host-3/web 12.35"),
    }
    assert entries(reading(0, None), WHERE.inside) == {"names": (), "starts": ()}


def test_a_list_is_told_when_it_changes() -> None:
    """Another life of the same container is another start, and the same name; a look without news tells nothing."""
    told = Told(
        reading(0, web=11.0),
        reading(0.1, web=11.0),
        reading(0.2),
        reading(0.3, web=12.0),
        reading(0.4, web=13.0),
        m=holder(running="names", started="starts"),
        n=holder(who="names"),
    )
    both, alone = ("front", "host-3/web"), ("front",)
    assert [look for look in told.looks if look[2] == "running"] == [
        (0, "m", "running", both),
        (0.2, "m", "running", alone),
        (0.3, "m", "running", both),
    ]
    assert [look for look in told.looks if look[1] == "n"] == [
        (0, "n", "who", both),
        (0.2, "n", "who", alone),
        (0.3, "n", "who", both),
    ]
    assert [(at, e and e[-1]) for at, _, name, e in told.looks if name == "started"] == [
        (0, "host-3/web 11.00"),
        (0.2, "front 10.00"),
        (0.3, "host-3/web 12.00"),
        (0.4, "host-3/web 13.00"),
    ]


def test_while_nothing_can_be_seen_nothing_is_known() -> None:
    """That is told once, and so is what is seen afterwards, though it is as before."""
    told = Told(failed(0), reading(0.1), failed(0.2), failed(0.3), reading(0.4))
    assert [(at, entries) for at, _, _, entries in told.looks] == [
        (0, None),
        (0.1, ("front",)),
        (0.2, None),
        (0.4, ("front",)),
    ]


@pytest.mark.parametrize(
    ("moments", "beats"),
    [
        ((0, 0.101, 0.202, 0.303, 0.404), [(0.202, 3, 0.101), (0.404, 2, 0.101)]),
        ((0, 0.11, 0.21, 0.95, 1.05, 1.16), [(0.21, 3, 0.11), (0.95, 1, 0.74), (1.16, 2, 0.11)]),
        ((0, 0.01, 0.02, 0.19, 0.23), [(0.23, 5, 0.17)]),
        ((0, 3), [(3, 2, 3)]),
        ((7, 7.125, 7.25), [(7.25, 3, 0.125)]),
    ],
)
def test_beats_vouch_for_all_time(moments: Sequence[float], beats: list[tuple[float, int, float]]) -> None:
    """As soon as 0.2 s have gone by, with the number of looks since and the largest gap between two; no gap is left out."""
    told = Told(*(reading(at) for at in moments), m=holder(running="names"), n=holder(running="names"))
    for name in ("m", "n"):
        assert [(at, looks, gap) for at, who, looks, gap in told.beats if who == name] == beats


def test_a_look_that_fails_is_a_look() -> None:
    """It was looked, and nothing was to be seen: the beats go on."""
    told = Told(*(failed(n / 8) for n in range(5)))
    assert [(at, looks) for at, _, looks, _ in told.beats] == [(0.25, 3), (0.5, 2)]


@pytest.mark.parametrize(
    ("every", "least", "most"), [((), 0.1, 5.0), ((5.0, 0.02), 0.02, 1.0), ((None, 0.02), 0.02, 1.0)]
)
def test_it_is_looked_as_often_as_any_holder_says(every: Sequence[float | None], least: float, most: float) -> None:
    """The shortest of all counts, from one look to the next; where nobody says, there is a usual one."""
    holders = {
        str(n): holder(running="names").model_copy(update={"every": one}) for n, one in enumerate(every or (None,))
    }
    told = Told(reading(0), **holders)
    first, second = told.witness.asked_at
    assert 0.95 * least <= second - first < most


def test_a_watch_that_ended_by_itself_is_lost() -> None:
    """A witness that is gone, or answers no more, is no witness; one that was dismissed is not missed."""
    told = Told(reading(0))
    assert told.running.lost
    told.running.stop()
    assert not told.running.lost
    assert told.witness.left == 1
    assert told.witness.asked[0] == {
        "see": "running",
        "containers": {"front": "docker/f"},
        "hosts": {"host-3": "docker/h"},
    }


def test_a_witness_that_is_gone_is_missed_at_once() -> None:
    """Its stream has closed, whether or not a look was under way."""
    go_on = threading.Event()
    witness = SimpleNamespace(
        lost=False, leave=lambda: None, look=lambda _: {"x": reading(0)} if go_on.wait(10) else {}
    )
    told: dict[str, Any] = {"configured": {}, "on_look": lambda _: None, "on_beat": lambda _: None}
    running = Running({"m": holder(running="names")}, WHERE, witness, **told)  # type: ignore[arg-type]
    assert not running.lost
    witness.lost = True
    assert running.lost
    go_on.set()
    running.stop()
    assert not running.lost


class FakeInstances:
    """What the engines say of a topology."""

    outer: Mapping[str, str] = {
        name: f"id-{name}" for name in ("front", "h1", "app", "one", "down", "host-3", "host-4")
    }
    inner: Mapping[str, str] = {"host-3/web": WEB, "host-3/db": DB}

    def facts(self, names: Sequence[str]) -> list[Any]:
        """One for each, with a process of its own; `down` does not run."""
        return [
            SimpleNamespace(
                pid=sorted(self.outer).index(name) + 100,
                running=name != "down",
                labels={NESTED_LABEL: "20.10"} if name.startswith("host-") else {},
            )
            for name in names
        ]


def test_where_everything_is_looked_for() -> None:
    """Containers by the host whose fate they share, alone where they are all of it; of nested hosts, what runs inside."""
    hosts = {"front": ["front"], "h1": ["h1", "app"], "group": ["one"], "down": ["down"], "host-3/web": ["host-3/web"]}
    asked: dict[str, int] = {}

    def cgroups(pids: Mapping[str, int]) -> dict[str, str]:
        asked.update(pids)
        return {name: f"docker/{name}" for name in pids}

    found = places(FakeInstances(), hosts, SimpleNamespace(cgroups=cgroups))  # type: ignore[arg-type]
    assert found == Places(
        {"front": "docker/front", "h1/h1": "docker/h1", "h1/app": "docker/app", "group/one": "docker/one"},
        {"host-3": "docker/host-3", "host-4": "docker/host-4"},
        {WEB: "host-3/web", DB: "host-3/db"},
        {"front": "docker/front", "h1": "docker/h1", "app": "docker/app", "one": "docker/one"},
    )
    assert "down" not in asked, "what does not run has no process"
