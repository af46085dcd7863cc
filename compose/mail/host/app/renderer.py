"""Renders a mail: its template laid out with the tenant's terms, and its fields filled in.

    {{name}}                    the field's value, and the tenant's own word where it is empty
    {{#orders}}...{{/orders}}   once for each item of a list; an item has fields of its own

Laying out takes time, so what was laid out is kept: a run has what earlier ones left (`kept`), and leaves what is `new`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TERMS = Path("/usr/share/common-licenses/GPL-2").read_text(encoding="utf-8")
"""What this tenant writes under each mail: its terms of business."""
WORDS = {"name": "customer"}
"""What is written where a mail has nothing to write in a field."""
_MOST = 50
"""Templates that are kept; the oldest go first."""


class Renderer:
    """One run's renderer. `kept` is the worker's, and is not changed."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        self._kept = kept
        self.new: dict[str, str] = {}

    def render(self, number: int, template: str, fields: Mapping[str, Any]) -> str:
        """Give the text of mail `number`."""
        key = template
        text = self._kept.get(key) or self.new.get(key)
        if text is None:
            text = self.new[key] = lay_out(template)
        return fill(text, fields)


def keep(kept: dict[str, str], new: Mapping[str, str]) -> None:
    """Take what a run leaves into what is kept for the next ones."""
    kept.update(new)
    for key in list(kept)[:-_MOST]:
        del kept[key]


def lay_out(template: str) -> str:
    """Break the lines of a template, and put the terms under it."""
    return "\n".join([*(textwrap.fill(line, 72) for line in template.splitlines()), "-- ", TERMS])


def fill(text: str, fields: Mapping[str, Any]) -> str:
    """Fill in the fields. What is no field, for want of an end, stays as it is."""
    pieces: list[str] = []
    at = 0
    while (start := text.find("{{", at)) >= 0 and (end := text.find("}}", start)) >= 0:
        name = text[start + 2 : end]
        if name.startswith("#") and (close := text.find("{{/" + name[1:] + "}}", end)) >= 0:
            part = text[end + 2 : close]
            pieces += [text[at:start], *(fill(part, {**fields, **item}) for item in fields.get(name[1:], ()))]
            at = close + len(name) + 4
            continue
        pieces += [text[at:start], str(fields.get(name) or WORDS.get(name, ""))]
        at = end + 2
    return "".join([*pieces, text[at:]])
