"""The tenant's web page: its last mails, taking mails into the queue, and the call that starts a run.

    GET /         the last mails, out of the database
    POST /send    {"to": ADDRESS, "template": TEXT, "fields": {NAME: VALUE, ...}}: 201, and in X-Wrote the mail's Message-ID
    POST /wake    202: the worker was called, and starts a run
    GET /figures  how many mails are in each state
    GET /health   the page answers; the database is not asked

A small HTTP/1.1 of its own, so that a tenant fits into little memory.
"""

from __future__ import annotations

import asyncio
import html
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, TypeVar

import runs
from store import FAILURES, TENANT, Store

NAME = f"{os.environ['HOST']}/{TENANT}"
PORT = 8080
_THREADS = 3
_WAITING = 30
"""Requests that may wait for the database; further ones are sent away."""
_LONGEST = 1 << 16
_IDLE = 60.0
Result = TypeVar("Result")
Answer = tuple[HTTPStatus, str, str, dict[str, str]]
"""Status, type, text, further headers."""


def serve(calls: socket.socket) -> int:
    """Serve until SIGTERM; `calls` leads to the worker."""
    runs.call_this("mailer-web")
    asyncio.run(_Web(calls).run())
    return 0


class _Database:
    """A few threads, each with a connection of its own."""

    def __init__(self) -> None:
        all_there = threading.Barrier(_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, initializer=all_there.wait)
        for _ in range(_THREADS):  # now, as there may be no room for a thread later
            self._threads.submit(lambda: None)
        self._own = threading.local()
        self._waiting = 0

    async def ask(self, question: Callable[[Store], Result]) -> Result:
        """Ask in a thread. Raises store.FAILURES."""
        if self._waiting >= _WAITING:
            raise OSError("too many requests wait for the database")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, question)
        finally:
            self._waiting -= 1

    def _ask(self, question: Callable[[Store], Result]) -> Result:
        if not hasattr(self._own, "store"):
            self._own.store = Store()
        else:
            self._own.store.renew()
        return question(self._own.store)


class _Web:
    def __init__(self, calls: socket.socket) -> None:
        self._calls = calls
        self._database = _Database()
        self._pages = {
            ("GET", "/"): self._page,
            ("POST", "/send"): self._send,
            ("POST", "/wake"): self._wake,
            ("GET", "/figures"): self._figures,
            ("GET", "/health"): self._health,
        }

    async def run(self) -> None:
        server = await asyncio.start_server(self._connection, port=PORT, limit=_LONGEST, backlog=128)
        done = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
        print(f"{NAME} is up", flush=True)
        await done.wait()
        server.close()
        os._exit(0)  # connections that are kept open, and the database's threads, must not hold this up

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await asyncio.wait_for(_request(reader), _IDLE)
                if request is None:
                    break
                method, path, body, keep = request
                writer.write(_response(await self._answer(method, path, body), keep=keep))
                await writer.drain()
                if not keep:
                    break
        except (TimeoutError, OSError, EOFError, ValueError):
            pass  # whoever asked has gone, or speaks no HTTP
        finally:
            writer.close()

    async def _answer(self, method: str, path: str, body: bytes) -> Answer:
        page = self._pages.get((method, path.partition("?")[0]))
        if page is None:
            return HTTPStatus.NOT_FOUND, "text/plain", "there is no such page\n", {}
        try:
            return await page(body)
        except FAILURES as error:
            print(f"{NAME}: {path}: {type(error).__name__}: {error}", flush=True)
            return HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{type(error).__name__}: {error}\n", {}
        except (KeyError, TypeError, ValueError) as error:
            return HTTPStatus.BAD_REQUEST, "text/plain", f"{type(error).__name__}: {error}\n", {}

    async def _page(self, _: bytes) -> Answer:
        mails = await self._database.ask(Store.latest)
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in mail)}</tr>\n" for mail in mails)
        page = f"<!DOCTYPE html>\n<title>{TENANT}</title>\n<h1>Mails of {TENANT}</h1>\n<table>\n{rows}</table>\n"
        return HTTPStatus.OK, "text/html; charset=utf-8", page, {}

    async def _send(self, body: bytes) -> Answer:
        wish: dict[str, Any] = json.loads(body)
        to, template, fields = wish["to"], wish["template"], wish["fields"]
        if not (isinstance(to, str) and isinstance(template, str) and isinstance(fields, dict)):
            raise TypeError("a mail has to (text), template (text) and fields (an object)")
        number = await self._database.ask(lambda store: store.accept(to, template, fields))
        name = f"{NAME}/{number}"
        return HTTPStatus.CREATED, "application/json", json.dumps({"mail": name}) + "\n", {"X-Wrote": name}

    async def _wake(self, _: bytes) -> Answer:
        self._calls.send(b"w")  # raises BlockingIOError, an OSError, when the worker takes no more calls
        return HTTPStatus.ACCEPTED, "text/plain", "called\n", {}

    async def _figures(self, _: bytes) -> Answer:
        return HTTPStatus.OK, "application/json", json.dumps(await self._database.ask(Store.counts)) + "\n", {}

    async def _health(self, _: bytes) -> Answer:
        return HTTPStatus.OK, "text/plain", "well\n", {}


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, bytes, bool] | None:
    """Read method, path, body, and whether the connection is kept; None at the end of the connection. Raises ValueError."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise ValueError("the head is too long") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, version = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", "0"))
    if not 0 <= length <= _LONGEST or "transfer-encoding" in headers:
        raise ValueError("the body is too long, or has no length")
    keep = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
    return method, path, await reader.readexactly(length), keep


def _response(answer: Answer, *, keep: bool) -> bytes:
    status, kind, text, headers = answer
    body = text.encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        f"X-Served-By: {NAME}",
        *(f"{name}: {value}" for name, value in headers.items()),
        *([] if keep else ["Connection: close"]),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
