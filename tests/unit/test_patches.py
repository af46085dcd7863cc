"""The patches that put an incident's mistake back into a topology's image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

COMPOSE = Path(__file__).parents[2] / "compose"
PATCHES = sorted(COMPOSE.rglob("*.patch"))


def _hunks(patch: str) -> Iterator[tuple[str, list[str]]]:
    """Each hunk: the file's path, and the lines that must be there."""
    for part in re.split(r"^(?=--- )", patch, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\n+++ ")
        for hunk in re.split(r"^(?=@@ )", rest, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines()[1:]
            yield head.removeprefix("--- a/"), [line[1:] for line in lines if line[:1] in (" ", "-")]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda path: path.stem)
def test_a_patch_fits(patch: Path) -> None:
    """A patch stands beside what it changes, or the app's folder does, and fits to the letter: images are built without fuzz."""
    hunks = list(_hunks(patch.read_text()))
    assert hunks
    for name, lines in hunks:
        root = next(folder for folder in (patch.parent, patch.parent.parent / "app") if (folder / name).is_file())
        source = (root / name).read_text().splitlines()
        places = range(len(source) - len(lines) + 1)
        assert any(source[at : at + len(lines)] == lines for at in places), f"{patch.name}: {name}: {lines}"
