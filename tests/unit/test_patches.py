"""The patches that put an incident's mistake back into a topology's image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

COMPOSE = Path(__file__).parents[2] / "compose"
PATCHES = sorted(COMPOSE.rglob("*.patch"))


def _hunks(patch: str) -> Iterator[tuple[str, int, list[str]]]:
    """Each hunk: the file's path, the line at which it begins (from 0), and the lines that must be there."""
    for part in re.split(r"^(?=--- )", patch, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n+++ ")
        for hunk in re.split(r"^(?=@@ )", rest, flags=re.MULTILINE)[1:]:
            first, *lines = hunk.splitlines()
            start = int(first.split()[1].split(",")[0].removeprefix("-"))
            yield head.removeprefix("--- a/"), start - 1, [line[1:] for line in lines if line[:1] in (" ", "-")]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_patch_fits(patch: Path) -> None:
    """A patch stands beside what it changes, and fits it to the letter: an image is built without fuzz."""
    hunks = list(_hunks(patch.read_text()))
    assert hunks
    for name, start, lines in hunks:
        source = (patch.parent / name).read_text().splitlines()
        assert source[start : start + len(lines)] == lines, f"{patch.name}: {name}:{start + 1}"
