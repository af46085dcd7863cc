"""An HTTP/1.1 proxy in a target's own network: each request is passed on, or answered badly, as the fault says.

It passes bytes on as they come; only where a message ends is read (RFC 9112, sections 6 and 7), so that the next request
on a connection is seen. A client that speaks something else is passed on untouched from there on.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from shaketable.agent.children import Ready
from shaketable.agent.kernel import KernelError

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_HEAD: Final = 128 << 10
_PIECE: Final = 64 << 10
_LEAVE: Final = 0.3
"""Seconds that requests under way have to end once the fault is over."""
_REASONS: Final = {
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    429: "Too Many Requests",
}


@dataclass(frozen=True, slots=True)
class Head:
    """Start line and fields of a message; `size` is the length of the body in bytes, -1 chunked, -2 until the end."""

    first: tuple[str, str, str]
    fields: dict[str, str]
    size: int

    @property
    def keeps(self) -> bool:
        """Whether the connection may carry another message afterwards."""
        version = self.first[0] if self.first[0].startswith("HTTP/") else self.first[2]
        said = self.fields.get("connection", "").lower()
        return "close" not in said and (version != "HTTP/1.0" or "keep-alive" in said)


def head(data: bytes, *, of: Head | None = None) -> Head:
    """Read a request's head, or that of the response to `of`. Raises ValueError for what is none."""
    lines = data.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not (words[0] if of else words[-1]).startswith("HTTP/1."):
        raise ValueError("no HTTP/1")
    fields: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            fields[key] = f"{fields[key]}, {value.strip()}" if key in fields else value.strip()
    first = (words[0], words[1], words[2] if len(words) > 2 else "")
    return Head(first, fields, _size(first, fields, of))


def _size(first: tuple[str, str, str], fields: dict[str, str], of: Head | None) -> int:
    if of is not None:
        status = int(first[1])
        if of.first[0] == "HEAD" or status in (204, 304) or 100 <= status < 200:
            return 0
    if "chunked" in fields.get("transfer-encoding", "").lower():
        return -1
    if "content-length" in fields:
        return int(fields["content-length"].split(",")[0])
    return 0 if of is None else -2


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, size: int) -> None:
    """Pass a body on (or read it away): so many bytes, -1 chunked, -2 until the end."""
    if size == -1:
        while True:
            line = await reader.readuntil(b"\r\n")
            _write(writer, line)
            length = int(line.split(b";")[0], 16)
            await pump(reader, writer, length + 2 if length else 0)
            if not length:
                break
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            _write(writer, line)
        _write(writer, b"\r\n")
        return
    left = size
    while left:
        piece = await reader.read(_PIECE if left < 0 else min(_PIECE, left))
        if not piece:
            if left > 0:
                raise EOFError("the message was cut off")
            return
        _write(writer, piece)
        if writer is not None:
            await writer.drain()
        left -= len(piece) if left > 0 else 0


def _write(writer: asyncio.StreamWriter | None, data: bytes) -> None:
    if writer is not None:
        writer.write(data)


class _Proxy:
    """All connections; `busy` are those with a request under way."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request, self.over = request, asyncio.Event()
        self.busy: set[asyncio.Task[Any]] = set()
        self._draw = random.Random(0)

    def _hit(self, asked: Head) -> bool:
        return asked.first[1].startswith(self.request["path"]) and self._draw.random() < self.request["share"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        task = asyncio.current_task()
        assert task is not None
        up: Streams | None = None
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            while (data := await self._next(reader, up)) is not None:
                self.busy.add(task)
                try:
                    asked = head(data)
                except ValueError:  # it speaks something else
                    up = up or await self._open()
                    up[1].write(data)
                    await _tunnel((reader, writer), up)
                    break
                if self._hit(asked) and not await self._badly(asked, reader, writer):
                    self.busy.discard(task)
                    continue
                up = up or await self._open()
                goes_on = await _exchange(data, asked, (reader, writer), up)
                self.busy.discard(task)
                if not goes_on:
                    break
        self.busy.discard(task)
        for one in (writer, up[1] if up else None):
            if one is not None:
                one.close()

    async def _open(self) -> Streams:
        return await asyncio.open_connection(self.request["ip"], self.request["to"], limit=_HEAD)

    async def _next(self, reader: asyncio.StreamReader, up: Streams | None) -> bytes | None:
        """The next request's head; None when the fault is over, or the server has closed its side meanwhile."""
        coming = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        ends: list[asyncio.Future[Any]] = [asyncio.ensure_future(self.over.wait())]
        if up is not None:  # it speaks unasked only to say goodbye
            ends.append(asyncio.ensure_future(up[0].read(1)))
        await asyncio.wait({coming, *ends}, return_when=asyncio.FIRST_COMPLETED)
        ended = any(end.done() for end in ends) or not coming.done()
        for waiting in (*ends, *([coming] if ended else [])):
            waiting.cancel()
        await asyncio.gather(*ends, return_exceptions=True)  # the next one to read must find nobody who waits
        return None if ended else coming.result()

    async def _badly(self, asked: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request as the fault says; True when it is to be passed on all the same."""
        mode = self.request["mode"]
        if mode == "slow":
            await asyncio.sleep(self.request["delay"])
            return True
        if mode == "hang":
            await self.over.wait()
            raise EOFError
        await pump(reader, None, asked.size)
        status = int(self.request["status"])
        writer.write(f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        if not asked.keeps:
            raise EOFError
        return False


async def _tunnel(client: Streams, server: Streams) -> None:
    """Pass everything on, both ways, until both have said goodbye."""

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pump(reader, writer, -2)
        writer.write_eof()

    await asyncio.gather(one_way(client[0], server[1]), one_way(server[0], client[1]))


async def _exchange(data: bytes, asked: Head, client: Streams, server: Streams) -> bool:
    """Pass one request on, and its answer back. Whether both connections may carry another one."""
    server[1].write(data)
    sending = asyncio.ensure_future(pump(client[0], server[1], asked.size))
    try:
        while True:
            got = await server[0].readuntil(b"\r\n\r\n")
            client[1].write(got)
            told = head(got, of=asked)
            if told.first[1] == "101":
                await _tunnel(client, server)
                return False
            if not told.first[1].startswith("1"):
                break
        await pump(server[0], client[1], told.size)
        await client[1].drain()
        done = sending.done() and sending.exception() is None
        return done and asked.keeps and told.keeps and told.size != -2
    finally:
        sending.cancel()


def http(request: dict[str, Any], ready: Ready) -> None:
    """{"port", "ip", "to": port, "mode", "status", "delay", "share", "path", **member.step}: until it is ended."""
    asyncio.run(_serve(request, ready))


async def _serve(request: dict[str, Any], ready: Ready) -> None:
    proxy = _Proxy(request)
    try:
        server = await asyncio.start_server(proxy.serve, "0.0.0.0", request["port"], limit=_HEAD, backlog=1024)
    except OSError as error:
        raise KernelError(f"port {request['port']} of {request['member']} is in use: {error.strerror}") from error
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, proxy.over.set)
    ready()
    await proxy.over.wait()
    server.close()
    if proxy.busy:
        await asyncio.wait(set(proxy.busy), timeout=_LEAVE)
