"""Names that are gone, stale or slow to resolve: DNS queries of a target pass through here, and are passed on or answered.

Sources: RFC 1035 (4.1, 4.2), RFC 2308 (NXDOMAIN); Docker's own DNS answers at the nameserver of the target's resolv.conf.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from shaketable.agent.children import Ready
from shaketable.agent.kernel import KernelError, started
from shaketable.agent.namespaces import socket_in

MARK: Final = 0x57A1
"""On what the proxy itself asks, so that it is not sent to the proxy again."""
_SO_MARK: Final = 36
A, AAAA = 1, 28
_NXDOMAIN: Final = 3
_UPSTREAM: Final = 4.0
"""Seconds a nameserver has to answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a query asks. `end` is where its question section ends."""

    number: int
    name: str
    kind: int
    end: int


def question(message: bytes) -> Question:
    """Read the (first) question of a query. Raises ValueError for what is none."""
    if len(message) < 12:
        raise ValueError("too short for a DNS message")
    number, flags, count = struct.unpack_from(">HHH", message)
    if flags & 0x8000 or count < 1:
        raise ValueError("no query")
    name, at = _name(message, 12)
    if at + 4 > len(message):
        raise ValueError("the question is cut off")
    return Question(number, name, struct.unpack_from(">H", message, at)[0], at + 4)


def _name(message: bytes, at: int) -> tuple[str, int]:
    """Read a name and where it ends; a pointer (to an earlier place) is followed once at most 64 times."""
    labels: list[str] = []
    end = 0
    for _ in range(128):
        if at >= len(message):
            raise ValueError("a name is cut off")
        length = message[at]
        if length == 0:
            return ".".join(labels), end or at + 1
        if length >= 0xC0:
            if at + 1 >= len(message):
                raise ValueError("a name is cut off")
            end = end or at + 2
            at = (length & 0x3F) << 8 | message[at + 1]
        elif length > 63:
            raise ValueError("a label that is none")
        else:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii", "replace").lower())
            at += 1 + length
    raise ValueError("a name that never ends")


def query(name: str, kind: int = A) -> bytes:
    """Make a query. Raises ValueError for a name that is none."""
    labels = name.rstrip(".").encode("ascii").split(b".")
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{name!r} is no name")
    coded = b"".join(bytes([len(label)]) + label for label in labels)
    return (
        struct.pack(">HHHHHH", secrets.randbits(16), 0x0100, 1, 0, 0, 0) + coded + b"\0" + struct.pack(">HH", kind, 1)
    )


def answer(asked: bytes, addresses: list[str], code: int = 0) -> bytes:
    """Make an answer to a query with one question: these IPv4 addresses, or an error code. Raises ValueError."""
    found = question(asked)
    flags = 0x8180 | (struct.unpack_from(">H", asked, 2)[0] & 0x0100) | code
    head = struct.pack(">HHHHHH", found.number, flags, 1, len(addresses), 0, 0)
    rows = b"".join(struct.pack(">HHHIH", 0xC00C, A, 1, 1, 4) + socket.inet_aton(ip) for ip in addresses)
    return head + asked[12 : found.end] + rows


def read_answer(message: bytes) -> tuple[int, int, list[str]]:
    """Give number, code and IPv4 addresses of an answer. Raises ValueError for what is none."""
    if len(message) < 12:
        raise ValueError("too short for a DNS message")
    number, flags, questions, rows = struct.unpack_from(">HHHH", message)
    if not flags & 0x8000:
        raise ValueError("no answer")
    at, found = 12, []
    for _ in range(questions):
        at = _name(message, at)[1] + 4
    for _ in range(rows):
        at = _name(message, at)[1]
        if at + 10 > len(message):
            raise ValueError("a row is cut off")
        kind, _, _, length = struct.unpack_from(">HHIH", message, at)
        if at + 10 + length > len(message):
            raise ValueError("a row is cut off")
        if kind == A and length == 4:
            found.append(socket.inet_ntoa(message[at + 10 : at + 14]))
        at += 10 + length
    return number, flags & 15, sorted(found)


def nameserver(pid: int) -> str:
    """The first IPv4 nameserver of a container. Raises KernelError."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/root/etc/resolv.conf").read_text().splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and words[1:] and ":" not in words[1]:
                return words[1]
    raise KernelError(f"process {pid} has no IPv4 nameserver in its resolv.conf")


def proxy(request: dict[str, Any], ready: Ready) -> None:
    """{"port", "mode": "gone" | "stale" | "slow", "name": or "", "address", "delay", **member.step}: until it is ended."""
    asyncio.run(_serve(request, ready))


class _Proxy(asyncio.DatagramProtocol):
    """Answers queries that concern the fault as it says, and passes on the others."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._request, self._upstream = request, nameserver(request["pid"])
        self._under_way: set[asyncio.Task[None]] = set()
        self._transport: Any = None

    async def _reply(self, asked: bytes, ask: Callable[[bytes, str], bytes]) -> bytes:
        request = self._request
        with contextlib.suppress(ValueError):
            found = question(asked)
            if request["name"].rstrip(".").lower() in ("", found.name):
                if request["mode"] == "gone":
                    return answer(asked, [], _NXDOMAIN)
                if request["mode"] == "stale":
                    return answer(asked, [request["address"]] if found.kind == A else [])
                await asyncio.sleep(request["delay"])
        return await asyncio.get_running_loop().run_in_executor(None, ask, asked, self._upstream)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Datagrams go through this."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A query of a datagram."""
        task = asyncio.get_running_loop().create_task(self._datagram(data, addr))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _datagram(self, data: bytes, address: Any) -> None:
        with contextlib.suppress(OSError):
            self._transport.sendto(await self._reply(data, _ask), address)

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Queries of a connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                said = await self._reply(await reader.readexactly(length), _ask_stream)
                writer.write(struct.pack(">H", len(said)) + said)
                await writer.drain()
        writer.close()


async def _serve(request: dict[str, Any], ready: Ready) -> None:
    mine, place = _Proxy(request), ("127.0.0.1", request["port"])
    try:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: mine, local_addr=place)
        await asyncio.start_server(mine.stream, *place)
    except OSError as error:
        raise KernelError(f"port {request['port']} of {request['member']} is in use: {error.strerror}") from error
    ready()
    await asyncio.Event().wait()


def _ask(asked: bytes, upstream: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        sock.settimeout(_UPSTREAM)
        sock.connect((upstream, 53))
        sock.send(asked)
        return sock.recv(65535)


def _ask_stream(asked: bytes, upstream: str) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        sock.settimeout(_UPSTREAM)
        sock.connect((upstream, 53))
        sock.sendall(struct.pack(">H", len(asked)) + asked)
        file = sock.makefile("rb")
        return file.read(struct.unpack(">H", file.read(2))[0])


def see(look: dict[str, Any]) -> dict[str, Any]:
    """{"names": [...], "wait": seconds, **member.step}: each resolved once, from within the target's network.

    Answers {"names": {name: {"code", "addresses", "seconds"}}}; the code is None where no answer came.
    """
    if started(look["pid"]) != look["start"]:
        raise KernelError(f"{look['member']} has ended")
    upstream = nameserver(look["pid"])
    return {"names": {name: _resolve(look, upstream, name) for name in look["names"]}}


def _resolve(
    look: dict[str, Any], upstream: str, name: str, now: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    began, asked = now(), query(name)
    with socket_in(look["netns"], socket.SOCK_DGRAM, look["pid"]) as sock:
        sock.settimeout(float(look["wait"]))
        with contextlib.suppress(OSError, ValueError):
            sock.connect((upstream, 53))
            sock.send(asked)
            number, code, addresses = read_answer(sock.recv(65535))
            if number == question(asked).number:
                return {"code": code, "addresses": addresses, "seconds": now() - began}
    return {"code": None, "addresses": [], "seconds": now() - began}
