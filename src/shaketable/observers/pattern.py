"""Where a list is among a holder's names: `/services/{service}/{host}` turns a name into the entry `host/service`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from shaketable.observers.reader import BadHolderError, Lists

_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)(?::([^{}]*))?\}")

_REMEMBERED: Final = 10_000


class Pattern:
    """A name with the placeholders `{host}` and, if there is one, `{service}`; a placeholder never spans a `/`.

    A placeholder may be limited to some names: `{host:host-*}`, `{service:orders|billing}` (`*` and `?` as in a shell).
    """

    __slots__ = ("_regex", "blanks", "prefix", "text")

    def __init__(self, text: str) -> None:
        """Read a pattern. Raises BadHolderError."""
        self.text: Final = text
        names: list[str] = []
        regex = ""
        at = 0
        for found in _PLACEHOLDER.finditer(text):
            names.append(found[1])
            regex += f"{re.escape(text[at : found.start()])}(?P<{found[1]}>{_limited(found[2])})"
            at = found.end()
        rest = text[at:]
        if sorted(names) not in (["host"], ["host", "service"]) or "{" in _PLACEHOLDER.sub("", text):
            raise BadHolderError(
                f"{text!r} must have {{host}} once, at most one {{service}} and no other placeholder, "
                "as in '/services/{service}/{host}'"
            )
        self.blanks: Final = len(names)
        self.prefix: Final = text[: text.index("{")]
        self._regex: Final = re.compile(regex + re.escape(rest), re.DOTALL)

    def entry(self, name: str) -> str | None:
        """Say which entry `name` stands for; None if it does not match."""
        found = self._regex.fullmatch(name)
        if found is None:
            return None
        parts = found.groupdict()
        return f"{parts['host']}/{parts['service']}" if "service" in parts else parts["host"]


def _limited(names: str | None) -> str:
    """Make the regular expression of a placeholder limited to `names`, or of one that takes any name."""
    if names is None:
        return "[^/]+"
    shell = {"*": "[^/]*", "?": "[^/]"}
    return "|".join("".join(shell.get(c, re.escape(c)) for c in name) for name in names.split("|"))


class Patterns:
    """The patterns of all lists of a holder. A name belongs to the matching list with the fewest placeholders only.

    So next to `servers/{host}`, the list `{service}/{host}` does not take `servers` for a service.
    """

    __slots__ = ("_by_list", "_known")

    def __init__(self, lists: Mapping[str, str]) -> None:
        """Read the pattern of each list. Raises BadHolderError."""
        read = [(name, Pattern(text)) for name, text in lists.items()]
        self._by_list: Final = sorted(read, key=lambda pair: pair[1].blanks)
        self._known: Final[dict[str, tuple[str, str] | None]] = {}

    @property
    def prefixes(self) -> list[str]:
        """The literal beginnings of the patterns."""
        return [pattern.prefix for _, pattern in self._by_list]

    def sort(self, names: Iterable[str]) -> Lists:
        """Put each name that matches into its list."""
        found: dict[str, set[str]] = {name: set() for name, _ in self._by_list}
        known = self._known
        for name in names:
            place = known[name] if name in known else self._place(name)
            if place is not None:
                found[place[0]].add(place[1])
        return {name: tuple(sorted(entries)) for name, entries in found.items()}

    def _place(self, name: str) -> tuple[str, str] | None:
        """Find list and entry of a name, and remember them: the same few names come again and again."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        for list_name, pattern in self._by_list:
            entry = pattern.entry(name)
            if entry is not None:
                place = self._known[name] = (list_name, entry)
                return place
        self._known[name] = None
        return None
