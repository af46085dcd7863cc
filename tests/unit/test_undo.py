"""Undo of a fault by the agent: total, harmless twice, and silent only about what no longer exists."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shaketable.agent import kernel, steps

UP = {"do": "link", "name": "veth0", "index": 7, "up": True, "members": ["host-1"]}


@pytest.mark.parametrize(("now_up", "problems"), [(None, 0), (False, 1)])
def test_a_link_that_went_away_meanwhile_needs_no_undo(
    now_up: bool | None, problems: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that another agent's clean-up removes under our hands is undone; one that is there and down is a problem."""

    def refuse(name: str, index: int, *, up: bool) -> None:
        raise kernel.KernelError(f"link {name} cannot be set up: No such device")

    monkeypatch.setattr(kernel, "set_link", refuse)
    monkeypatch.setattr(kernel, "link_is_up", lambda name, index: now_up)
    assert len(steps.undo_all([UP])) == problems


def test_one_step_that_fails_does_not_keep_the_others_from_being_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is tried."""
    tried = []

    def refuse(name: str, index: int, *, up: bool) -> None:
        tried.append(name)
        raise kernel.KernelError(f"link {name} cannot be set up")

    monkeypatch.setattr(kernel, "set_link", refuse)
    monkeypatch.setattr(kernel, "link_is_up", lambda name, index: False)
    assert len(steps.undo_all([{**UP, "name": f"veth{n}"} for n in range(3)])) == 3
    assert tried == ["veth0", "veth1", "veth2"]


def test_a_link_goes_with_the_nested_host_it_was_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A link within a nested host is set there; when that host is gone there is nothing to undo."""
    entered: list[tuple[object, ...]] = []

    @contextmanager
    def beside(inode: int, pid: int) -> Iterator[None]:
        entered.append((inode, pid))
        yield

    monkeypatch.setattr(steps, "beside", beside)
    monkeypatch.setattr(kernel, "set_link", lambda name, index, *, up: entered.append((name, index, up)))
    assert steps.undo_all([{**UP, "netns": 77, "via": 11}, UP]) == []
    assert entered == [(77, 11), ("veth0", 7, True), (0, 0), ("veth0", 7, True)]

    @contextmanager
    def gone(inode: int, pid: int) -> Iterator[None]:
        raise kernel.KernelError(f"the network namespace {inode} is gone")
        yield

    monkeypatch.setattr(steps, "beside", gone)
    assert steps.undo_all([{**UP, "netns": 77, "via": 11}]) == []
