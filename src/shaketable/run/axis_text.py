"""`$axis` in the texts of a fault's parameters: the value that a trial has for that axis.

Only the name of an axis that the scenario has is replaced, as a whole word: `$loop`, `--kind=$loop`, not `$loops`. Any
other `$` is the command's own, and so is `${loop}`, which a shell takes for a variable of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

_USE: Final = re.compile(r"(?<![\w$\\])\$([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
"""A name as those of axes; what ends a sentence is no part of it."""


def words(text: str) -> Iterator[str]:
    """Whatever could be the name of an axis, in order."""
    return (match[1] for match in _USE.finditer(text))


def used(value: Any, axes: Collection[str]) -> set[str]:
    """Names of the axes whose value is asked for in any text of it, at any depth."""
    if isinstance(value, str):
        return {word for word in words(value) if word in axes}
    if isinstance(value, Mapping):
        return {name for one in value.values() for name in used(one, axes)}
    if isinstance(value, list | tuple):
        return {name for one in value for name in used(one, axes)}
    return set()


def filled(value: Any, axis: Mapping[str, str]) -> Any:
    """The same with the axes' values in every text of it, at any depth; keys of mappings stay as they are."""
    if isinstance(value, str):
        return _USE.sub(lambda match: axis.get(match[1], match[0]), value)
    if isinstance(value, Mapping):
        return {key: filled(one, axis) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [filled(one, axis) for one in value]
    return value
