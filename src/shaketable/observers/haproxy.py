"""Lists in HAProxy: the servers it would send traffic to, over its runtime API.

`show servers state` has the operational state of every server in a tenth of the bytes of `show stat`. In `prompt` mode
one connection serves all looks, and every answer ends with the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shaketable.observers.pattern import Patterns
from shaketable.observers.reader import MAX_ANSWER, BadHolderError, Lists, ReadError, excerpt

_PROMPT: Final = b"\n> "
_COLUMNS: Final = (b"be_name", b"srv_name", b"srv_op_state", b"srv_admin_state", b"srv_uweight")
_UP: Final = frozenset({b"1", b"2"})
"""Starting (slow start) and running, which is also the state of a server without a check."""
_AWAY: Final = 0x7F & ~0x04
"""Every administrative bit is a kind of maintenance or draining, but for 0x04: it was disabled in the configuration
once, which a server keeps after it was enabled."""


class HaproxyReader:
    """`lists` maps a list's name to a `backend/server` pattern, as `{service}/{host:host-*}`; `path` is not used.

    A server is listed while new connections may go to it: up or without a check, not in maintenance, not draining,
    and of a weight above 0. The weight and the states are those that `show servers state` gives.
    """

    opening: Final = b"prompt\n"

    def __init__(self, at: str, lists: Mapping[str, str], path: str = "/") -> None:
        """Describe the request. Raises BadHolderError."""
        del at, path
        if wrong := [text for text in lists.values() if text.count("/") != 1]:
            raise BadHolderError(f"{wrong[0]!r} is not backend/server, as in 'servers/{{host}}'")
        self._patterns: Final = Patterns(lists)
        backends = {prefix.partition("/") for prefix in self._patterns.prefixes}
        only = next(iter(backends)) if len(backends) == 1 else ("", "", "")
        self.request: Final = f"show servers state {only[0] if only[1] else ''}".rstrip().encode() + b"\n"

    def take(self, data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
        """See Reader.take."""
        end = data.find(_PROMPT)
        if end >= 0:
            return data[:end], end + len(_PROMPT)
        if len(data) > MAX_ANSWER:
            raise ReadError(f"sent more than {MAX_ANSWER >> 20} MB without a prompt")
        if ended and data:
            raise ReadError("closed the connection in the middle of an answer")
        return None

    def parse(self, body: bytes) -> Lists:
        """Sort the servers that are up into lists. Raises ReadError."""
        return self._patterns.sort(_servers_up(body))


def _servers_up(body: bytes) -> Iterator[str]:
    """`backend/server` of each server that would get a new connection. Raises ReadError."""
    version, _, table = body.partition(b"\n")
    header, _, rows = table.partition(b"\n")
    columns = header[2:].split()
    if not version.isdigit() or not header.startswith(b"# ") or not set(_COLUMNS).issubset(columns):
        raise ReadError(f"did not answer 'show servers state' with a table: {excerpt(body)}")
    backend, server, state, admin, weight = places = [*map(columns.index, _COLUMNS)]
    last = max(places)
    for row in rows.splitlines():
        fields = row.split(b" ", last + 1)  # the table changes with every health check, so it is parsed often
        if len(fields) <= last or not fields[admin].isdigit():
            if row.strip():
                raise ReadError(f"answered a broken row: {excerpt(row)}")
        elif fields[state] in _UP and fields[weight] != b"0" and not int(fields[admin][:9]) & _AWAY:
            yield (fields[backend] + b"/" + fields[server]).decode("utf-8", "backslashreplace")
