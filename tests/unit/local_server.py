"""A small HTTP server on the loopback, in a thread of its own, that can be told to misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import shaketable

Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class LocalServer:
    """Calls `handler(path, writer)` for every request; `requests` has every request line and header received."""

    def __init__(self, handler: Handler, port: int = 0) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self.do(asyncio.start_server(self._serve, "127.0.0.1", port))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def do(self, work: Any) -> Any:
        """Run a coroutine in the server's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head)
                await self.handler(head.split()[1].decode(), writer)
                await writer.drain()
        self.connections.discard(writer)
        writer.close()

    def reset_connections(self) -> None:
        """End every connection with a reset, as a crashed peer does when it is back."""

        async def work() -> None:
            for writer in list(self.connections):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                writer.transport.abort()

        self.do(work())

    def close(self) -> None:
        """Stop listening, and end every connection."""

        async def work() -> None:
            self._server.close()
            for writer in list(self.connections):
                writer.close()

        self.do(work())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


def answer(body: bytes, *, status: str = "200 OK", head: str = "") -> bytes:
    """Write an HTTP answer."""
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Tool:
    """A program of the tools image as a local process, driven as in the image: JSON lines both ways."""

    def __init__(self, *arguments: str) -> None:
        source = str(Path(shaketable.__file__).parent.parent)
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": source},
        )

    def tell(self, message: object) -> None:
        """Send one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line until it exits."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield json.loads(line)

    def until(self, found: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Lines up to the first one that is `found`, that one included; fails if it exits before."""
        heard = []
        for message in self.lines():
            heard.append(message)
            if found(message):
                return heard
        raise AssertionError(f"it exited; last lines: {heard[-5:]}")

    def end(self) -> int:
        """Close its stdin and wait; answers its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(3)
        finally:
            self.process.kill()
            self.process.stdout.close()
