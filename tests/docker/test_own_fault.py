"""The documented example of a fault of one's own, outside the package, conforms; and one that does nothing does not."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from shaketable.faults import Plan
from shaketable.testing import check_fault

sys.path.insert(0, str(Path(__file__).parents[1] / "example"))

from hiccup import HICCUP

pytestmark = pytest.mark.usefixtures("engine")


def test_the_example_conforms() -> None:
    """Effective, witnessed, bystanders untouched, clean afterwards, a second heal harmless."""
    found = check_fault(HICCUP, times=2)
    assert found.signature["new connection"] == "answered"


def test_a_fault_that_does_nothing_does_not_conform() -> None:
    """The routine cannot be pleased by an injector that only says it was there."""
    idle = replace(HICCUP, plan=lambda target, _: Plan(tuple({"do": "thaw", **m.step} for m in target.members)))
    with pytest.raises(AssertionError, match=r"not effective: .* not stopped"):
        check_fault(idle)


def test_a_fault_whose_undo_does_nothing_does_not_conform() -> None:
    """What stays behind is found, by name."""
    lasting = replace(HICCUP, plan=lambda target, params: replace(HICCUP.plan(target, params), undo=()))
    with pytest.raises(AssertionError, match=r"not clean: .* is still stopped"):
        check_fault(lasting)
