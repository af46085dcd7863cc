"""deploy: the user's own command as a fault, with the user's own words for what undoes and what shows it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shaketable.agent import kernel, steps
from shaketable.faults import CATALOGUE, Seen, residue, witness
from shaketable.ports import Member, Target

KIND = CATALOGUE["deploy"]
WORDS = {"command": ["release", "2.0"], "undo": ["release", "1.0"], "check": ["cat", "/version"], "shows": "2.0"}
GIVEN = KIND.params.model_validate(WORDS)
TARGET = Target(
    "host-1",
    tuple(Member(f"web-{n}", f"c{n}", n, n * 10, f"freezer/c{n}", holds_namespace=True) for n in (1, 2)),
    (),
    (),
)


def printed(first: str | None, second: str | None) -> dict[str, Any]:
    """What the check printed in each instance; None: it failed, with the text that it should print in its complaint."""
    return {
        f"web-{n}": {"at": 5.0 + n, "code": int(text is None), "output": "no 2.0 here" if text is None else text}
        for n, text in enumerate((first, second), 1)
    }


def test_every_instance_is_changed_and_changed_back() -> None:
    """Each by its own process; what runs is what the user wrote, as words and not as a line for a shell."""
    plan = KIND.plan_for(TARGET, GIVEN)
    assert [(s["do"], s["pid"], list(s["words"])) for s in plan.steps] == [
        ("command", n, ["release", "2.0"]) for n in (1, 2)
    ]
    assert [(s["do"], s["pid"], list(s["words"])) for s in plan.undo] == [
        ("command", n, ["release", "1.0"]) for n in (1, 2)
    ]
    looks = KIND.proof.looks(TARGET, GIVEN)
    assert {name: (look["see"], look["words"], look["pid"]) for name, look in looks.items()} == {
        f"web-{n}": ("command", ["cat", "/version"], n) for n in (1, 2)
    }


@pytest.mark.parametrize("missing", WORDS)
def test_what_undoes_and_what_shows_it_must_be_told(missing: str) -> None:
    """A change that nobody can take back, or see, is no fault."""
    for wrong in ({k: v for k, v in WORDS.items() if k != missing}, {**WORDS, missing: type(WORDS[missing])()}):
        with pytest.raises(ValidationError):
            KIND.params.model_validate(wrong)


@pytest.mark.parametrize(
    ("before", "now", "seen"),
    [
        (("1.0", "1.0"), ("2.0", "2.0"), True),
        ((None, None), ("2.0", "2.0"), True),
        (("1.0", "1.0"), ("2.0", "1.0"), False),
        (("1.0", "1.0"), ("2.0", None), False),
        (("1.0", "2.0"), ("2.0", "2.0"), False),
    ],
)
def test_a_change_is_witnessed_by_its_check(
    before: tuple[str | None, str | None], now: tuple[str | None, str | None], seen: bool
) -> None:
    """In every instance, where it did not show before; a check that fails has shown nothing, whatever it complains of."""
    found = witness(KIND, Seen(TARGET, GIVEN, printed(*before), printed(*now)))
    assert (found.at is not None) == seen, found.seen


def test_it_is_said_where_it_was_made_already() -> None:
    """A check that printed the text before the fault says nothing of the fault."""
    found = witness(KIND, Seen(TARGET, GIVEN, printed("1.0", "2.0"), printed("2.0", "2.0")))
    assert found.seen == "in web-2 the check already printed '2.0'"
    failed = {**printed("1.0", "1.0"), "web-1": {"at": 5.0, "error": "it did not end within 10 s"}}
    found = witness(KIND, Seen(TARGET, GIVEN, failed, printed("2.0", "2.0")))
    assert found.seen == "in web-1 the check failed before: it did not end within 10 s"


def test_what_is_still_made_is_left() -> None:
    """After heal no check shows it any more."""
    before = printed("1.0", "1.0")
    assert residue(KIND, Seen(TARGET, GIVEN, before, printed("1.0", None))) == []
    assert residue(KIND, Seen(TARGET, GIVEN, before, printed("1.0", "2.0"))) == ["in web-2 it is still made"]


AWAY = {
    "at": 6.0,
    "away": True,
    "code": None,
    "output": "web-1 has ended since it was resolved, and was not started again",
}


@pytest.mark.parametrize(
    ("first", "lasting", "seen"),
    [
        (AWAY, True, True),
        (AWAY, False, False),
        ({"at": 6.0, "code": 0, "output": "1.0"}, True, False),
        ({"at": 6.0, "code": 137, "output": "2.0"}, True, False),
        ({"at": 6.0, "error": "it shares the host's network"}, True, False),
    ],
)
def test_only_who_does_not_run_need_not_show_it_just_before_heal(
    first: dict[str, Any], lasting: bool, seen: bool
) -> None:
    """A release may end its instance again and again; one that was taken back, or cannot be seen, has not lasted."""
    now = {**printed("2.0", "2.0"), "web-1": first}
    found = witness(KIND, Seen(TARGET, GIVEN, printed("1.0", "1.0"), now, lasting))
    assert (found.at is not None) == seen, found.seen


def test_who_does_not_run_shows_nothing_before_and_is_not_clean_after() -> None:
    """Nobody knows what is in it."""
    away = {**printed("1.0", "1.0"), "web-1": AWAY}
    assert "in web-1 the check failed before" in witness(KIND, Seen(TARGET, GIVEN, away, printed("2.0", "2.0"))).seen
    (left,) = residue(KIND, Seen(TARGET, GIVEN, printed("1.0", "1.0"), away))
    assert left.startswith("web-1 could not be looked at")


@pytest.mark.parametrize(("life", "problems"), [(None, 0), ((70, 700), 1)])
def test_an_undo_that_fails_in_the_next_life_is_told(
    life: tuple[int, int] | None, problems: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to undo only where nothing runs: what a command changed is in the next life's files, too."""

    def fails(_: object) -> None:
        raise kernel.KernelError("release 1.0 in web-1 ended with 137")

    monkeypatch.setitem(steps.STEPS, "command", fails)
    monkeypatch.setattr(kernel, "started", lambda _: 0)
    monkeypatch.setattr(kernel, "first_process", lambda _: life)
    undo = KIND.plan_for(TARGET, GIVEN).undo[:1]
    assert len(steps.undo_all(list(undo))) == problems
