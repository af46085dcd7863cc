"""Lists in a JSON document over HTTP: each is a named array of strings, taken as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from shaketable.observers import http
from shaketable.observers.reader import BadHolderError, Lists, ReadError, printable


class HttpJsonReader:
    """`GET path`; `lists` maps a list's name to the key of its array in the answer's object."""

    opening: Final = b""

    def __init__(self, at: str, lists: Mapping[str, str], path: str = "/") -> None:
        """Describe the request. Raises BadHolderError."""
        if not path.startswith("/") or not path.isprintable() or not path.isascii() or " " in path:
            raise BadHolderError(f"{path!r} is not a path; write one as in '/lists'")
        self._lists: Final = dict(lists)
        self.request: Final = http.request("GET", path, at)

    def take(self, data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
        """See Reader.take."""
        return http.take(data, ended=ended)

    def parse(self, body: bytes) -> Lists:
        """Read the arrays; an entry that is there twice stays twice. Raises ReadError."""
        document = load_object(body)
        lists: Lists = {}
        for name, key in self._lists.items():
            entries = document.get(key)
            if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
                wrong = "is not an array of strings" if key in document else "is missing"
                raise ReadError(f"answered without the list: {printable(key)!r} {wrong}")
            lists[name] = tuple(sorted(map(printable, entries)))
        return lists


def load_object(body: bytes) -> dict[str, object]:
    """Read a JSON object. Raises ReadError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"answered what is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ReadError("answered JSON that is not an object")
    return document
