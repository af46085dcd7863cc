"""The two lists as this back office has them, and the port on which they can be watched without disturbing it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from typing import cast

from registry import Change, Entry

log = logging.getLogger("lists")


class Lists:
    """The servers and services that are up. `on_change` hears of every change, with the entries that are listed now."""

    def __init__(self, on_change: Callable[[list[Entry]], None]) -> None:
        self._entries: dict[str, Entry] = {}
        self._dead: dict[str, int] = {}
        """Entries that we know to be dead, by key, with their revision: they are off our list whatever the registry says."""
        self._on_change = on_change
        self.answer = b""
        """The whole HTTP answer to `GET /lists`."""
        self._show()

    def replace(self, entries: Iterable[Entry]) -> None:
        """Take over a complete list."""
        self._entries = {entry.key: entry for entry in entries if not self._is_dead(entry)}
        self._show()

    def apply(self, changes: Iterable[Change]) -> None:
        """Take over changes."""
        for key, entry in ((change.key, change.entry) for change in changes):
            if entry is None:
                self._entries.pop(key, None)
                self._dead.pop(key, None)
            elif not self._is_dead(entry):
                self._entries[key] = entry
        self._show()

    def died(self, entry: Entry) -> None:
        """Take an entry off our list before the registry has done so."""
        self._dead[entry.key] = entry.created
        self._entries.pop(entry.key, None)
        self._show()

    def _is_dead(self, entry: Entry) -> bool:
        return self._dead.get(entry.key) == entry.created

    def _show(self) -> None:
        entries = list(self._entries.values())
        lists = {
            "servers": sorted(entry.name for entry in entries if not entry.service),
            "services": sorted(entry.name for entry in entries if entry.service),
        }
        body = json.dumps(lists).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.answer = head + body
        self._on_change(entries)


class ListsPort(asyncio.Protocol):
    """Answers every request with both lists. Read hundreds of times a second, so it does nothing else."""

    def __init__(self, lists: Lists) -> None:
        self._lists = lists
        self._transport: asyncio.Transport | None = None
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        assert self._transport is not None
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for _ in requests:
            self._transport.write(self._lists.answer)
