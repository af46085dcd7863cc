"""What both kinds of database are asked for, and how their answers become entries and numbers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MARK: Final = "shaketable-observer"
"""What our sessions call themselves."""
WITNESSES: Final = (MARK, "shaketable-witness")
"""Sessions that only look: nobody's but ours, and in no reading."""
WAITS: Final = "waits"
_LONGEST: Final = 200
_KEYS: Final = ("by", "for", "holds", "on", "state", "waiter", "wants", "who")
_QUERY: Final = re.compile(r"\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*(?:SELECT|WITH|VALUES|TABLE|SHOW)\b", re.I | re.S)


def is_query(what: str) -> bool:
    """Whether it is a query of the user's own, and not one of our words."""
    return _QUERY.match(what) is not None


@dataclass(frozen=True, slots=True)
class Question:
    """What one look asks for: `lists` and `gauges` by name, and ids of `others`, our other sessions with this server."""

    number: int
    lists: Mapping[str, str]
    gauges: Mapping[str, str]
    others: tuple[str, ...] = ()

    @property
    def everything(self) -> Mapping[str, str]:
        """Lists and gauges."""
        return {**self.lists, **self.gauges}

    @property
    def fixed(self) -> Mapping[str, str]:
        """Those that are words of ours, by name."""
        return {name: what for name, what in self.everything.items() if not is_query(what)}

    @property
    def own(self) -> Mapping[str, str]:
        """Those that are queries of the user's, by name, without what ends a statement."""
        return {name: what.strip().rstrip(";").rstrip() for name, what in self.everything.items() if is_query(what)}

    @property
    def words(self) -> frozenset[str]:
        """The words of ours."""
        return frozenset(self.fixed.values())


def statement(text: object) -> str:
    """A statement as one line of at most 200 characters."""
    return " ".join(str(text or "").split())[:_LONGEST]


def edges(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Entries of a `waits` list: each edge of the graph once, as the text of an object with sorted keys."""
    found = set()
    for row in rows:
        plain = {key: "" if row.get(key) is None else str(row[key]) for key in _KEYS}
        plain |= {key: statement(plain[key]) for key in ("holds", "wants")}
        found.add(json.dumps(plain, sort_keys=True, ensure_ascii=False))
    return sorted(found)


def number(value: object) -> str | None:
    """Text of a number, whole ones without a point, others to the thousandth; None for what is none."""
    try:
        exact = float(str(value))
    except ValueError:
        return None
    if not math.isfinite(exact):
        return None
    return str(int(exact)) if exact == int(exact) else f"{exact:.3f}".rstrip("0").rstrip(".")


def texts(rows: Iterable[object]) -> list[str]:
    """Rows of one column as text; those without a value are left out."""
    return [row if isinstance(row, str) else json.dumps(row) for row in rows if row is not None]
