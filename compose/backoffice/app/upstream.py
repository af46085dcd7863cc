"""The instances of a service that a back office calls: warm connections, tries with a limit, and the ejection of the silent.

What ends a try says what became of the instance. A connection that is *closed* by the other side means that the process
has died: `on_death` is told. *Silence* proves nothing, so a silent instance only gets no more user traffic until it has
answered a probe of ours; if its machine is gone, the registry will say so.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import cast

from registry import Entry

log = logging.getLogger("upstream")
TRY = 0.1
"""Seconds until a try is given up."""
TRIES = 3
PROBE_EVERY = 0.5


class UpstreamError(Exception):
    """No instance of a service answered."""


class Connection(asyncio.Protocol):
    """One HTTP connection to an instance, for one request at a time."""

    def __init__(self, on_end: Callable[[Connection], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._received = b""
        self.closed_by_us = False

    def get(self, path: str) -> asyncio.Future[bytes]:
        """Send a request; the body of the answer, or ConnectionError."""
        assert self._transport is not None
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: upstream\r\n\r\n".encode())
        return self._answer

    def close(self) -> None:
        """Give the connection up."""
        self.closed_by_us = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write on."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it

    def data_received(self, data: bytes) -> None:
        """Complete the answer."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._answer is None or self._answer.done():
            return
        length = next((int(f[15:]) for f in head.split(b"\r\n") if f[:15].lower() == b"content-length:"), 0)
        if len(body) >= length:
            if head.startswith(b"HTTP/1.1 200"):
                self._answer.set_result(body)
            else:
                self._answer.set_exception(ConnectionError(head.split(b"\r\n", 1)[0].decode("latin-1")))

    def connection_lost(self, error: Exception | None) -> None:
        """Fail what was asked and tell the owner."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("closed by the other side"))
        self._on_end(self)


class Instance:
    """One instance of a service, while it is listed."""

    def __init__(self, entry: Entry, on_death: Callable[[Entry], None]) -> None:
        self.entry = entry
        self.ejected = False
        self._on_death = on_death
        self._idle: list[Connection] = []
        self._listed = True
        self._keeper = asyncio.create_task(self._keep_warm())

    async def call(self, path: str) -> bytes:
        """Call the instance once. Raises TimeoutError, OSError."""
        async with asyncio.timeout(TRY):
            connection = self._idle.pop() if self._idle else await self._connect()
            try:
                body = await connection.get(path)
            except BaseException:
                connection.close()
                raise
        self._release(connection)
        return body

    def eject(self) -> None:
        """Give it no more user traffic until it has answered a probe."""
        if not self.ejected and self._listed:
            log.warning("%s is silent: ejected", self.entry.name)
            self.ejected = True

    def leave(self) -> None:
        """Give everything up: the entry has left the list."""
        self._listed = False
        self._keeper.cancel()
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> Connection:
        host, _, port = self.entry.address.rpartition(":")
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._ended), host, int(port)
            )
        except ConnectionRefusedError:
            self._died("refuses connections")
            raise
        return connection

    async def _keep_warm(self) -> None:
        """Have a connection ready before it is needed, and learn by it at once when the process dies."""
        while True:
            if self.ejected or not self._idle:
                try:
                    await self.call("/health")
                except (TimeoutError, OSError):
                    pass
                else:
                    if self.ejected:
                        log.warning("%s answers again", self.entry.name)
                    self.ejected = False
            await asyncio.sleep(PROBE_EVERY)

    def _release(self, connection: Connection) -> None:
        if self._listed:
            self._idle.append(connection)
        else:
            connection.close()

    def _ended(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if not connection.closed_by_us:
            self._died("closed the connection")

    def _died(self, how: str) -> None:
        if self._listed:
            log.warning("%s %s: taken off the list", self.entry.name, how)
            self._on_death(self.entry)


class Upstreams:
    """The listed instances of all services."""

    def __init__(self, on_death: Callable[[Entry], None]) -> None:
        self._on_death = on_death
        self._instances: dict[str, Instance] = {}
        self._turns: dict[str, itertools.count[int]] = {}

    def listed(self, entries: list[Entry]) -> None:
        """Follow the list."""
        listed = {entry.key: entry for entry in entries if entry.service}
        for key, instance in list(self._instances.items()):
            entry = listed.get(key)
            if entry is None or (entry.address, entry.created) != (instance.entry.address, instance.entry.created):
                self._instances.pop(key).leave()
            else:
                instance.entry = entry
        for key, entry in listed.items():
            if key not in self._instances:
                self._instances[key] = Instance(entry, self._on_death)

    def load(self, service: str) -> int:
        """What all instances of a service together say they are doing."""
        return sum(i.entry.load or 0 for i in self._instances.values() if i.entry.service == service)

    async def get(self, service: str, path: str, tried: list[str]) -> bytes:
        """Call instances of a service in turn until one answers; names of all tried are added to `tried`."""
        failed: set[str] = set()
        for _ in range(TRIES):
            instance = self._next(service, failed)
            if instance is None:
                break
            tried.append(instance.entry.name)
            try:
                return await instance.call(path)
            except TimeoutError:
                instance.eject()
            except OSError as error:
                log.info("%s: %r", instance.entry.name, error)
            failed.add(instance.entry.key)
        raise UpstreamError(f"no instance of {service} answered")

    def _next(self, service: str, failed: set[str]) -> Instance | None:
        all_ = [i for i in self._instances.values() if i.entry.service == service and i.entry.key not in failed]
        good = [i for i in all_ if not i.ejected] or all_
        if not good:
            return None
        turn = self._turns.setdefault(service, itertools.count())
        return good[next(turn) % len(good)]
