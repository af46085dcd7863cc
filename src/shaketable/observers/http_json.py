"""Lists and gauges in a JSON document over HTTP: named arrays of strings, taken as they are, and named numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from shaketable.observers import http
from shaketable.observers.reader import BadHolderError, Lists, ReadError, printable


class HttpJsonReader:
    """`GET path`; `lists` and `gauges` map a name to the key of its array, or number, in the answer's object."""

    opening: Final = b""

    def __init__(
        self,
        at: str,
        lists: Mapping[str, str],
        path: str = "/",
        gauges: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Describe the request. Raises BadHolderError."""
        if not path.startswith("/") or not path.isprintable() or not path.isascii() or " " in path:
            raise BadHolderError(f"{path!r} is not a path; write one as in '/lists'")
        self._lists: Final = dict(lists)
        self._gauges: Final = dict(gauges)
        self.request: Final = http.request("GET", path, at)

    def take(self, data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
        """See Reader.take."""
        return http.take(data, ended=ended)

    def parse(self, body: bytes) -> Lists:
        """Read the arrays; an entry that is there twice stays twice. A gauge has one entry, its number. Raises ReadError."""
        document = load_object(body)
        lists: Lists = {}
        for name, key in self._lists.items():
            entries = document.get(key)
            if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
                wrong = "is not an array of strings" if key in document else "is missing"
                raise ReadError(f"answered without the list: {printable(key)!r} {wrong}")
            lists[name] = tuple(sorted(map(printable, entries)))
        for name, key in self._gauges.items():
            number = _number(document.get(key))
            if number is None:
                wrong = "is not a number" if key in document else "is missing"
                raise ReadError(f"answered without the gauge: {printable(key)!r} {wrong}")
            lists[name] = (f"{number:.12g}",)
        return lists


def _number(value: object) -> float | None:
    """The value if it is a number that a float can hold; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def load_object(body: bytes) -> dict[str, object]:
    """Read a JSON object. Raises ReadError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"answered what is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ReadError("answered JSON that is not an object")
    return document
