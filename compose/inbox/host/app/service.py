"""What every service of a host has: a name, `/health`, `/metrics`, an end at once on SIGTERM, and work beside its answers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import aiohttp
import asyncpg
from aiohttp import web
from redis.exceptions import RedisError

HOST = os.environ["HOST"]
FAILURES = (
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    RedisError,
    aiohttp.ClientError,
)
"""What goes wrong when somebody this host depends on does not answer, or not well."""
_PAUSE = 1.0
"""Seconds from a failure to the next try."""
_GOODBYE = 0.3
"""Seconds that answers under way have on SIGTERM."""

Result = TypeVar("Result")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """One service of this host, on one port."""

    def __init__(self, name: str, port: int, routes: Sequence[web.RouteDef] = ()) -> None:
        self.name = f"{HOST}/{name}"
        self._port = port
        self._born = time.time()
        self._answers: Counter[tuple[str, int]] = Counter()
        self._application = web.Application(middlewares=[self._answer])
        self._application.add_routes([web.get("/health", _health), web.get("/metrics", self._metrics), *routes])

    def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """Serve, and do this work beside it, until SIGTERM."""
        asyncio.run(self._run(work))

    async def _run(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        done = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
        tasks = [asyncio.create_task(one) for one in work]
        runner = web.AppRunner(self._application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=self._port, shutdown_timeout=_GOODBYE).start()
        print(f"{self.name} is up", flush=True)
        await asyncio.wait([asyncio.create_task(done.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()  # work never ends by itself: say why it did
        await runner.cleanup()
        os._exit(0)  # jobs under way are taken up again by the next life; threads must not hold this one up

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await handler(request)
        except FAILURES as error:
            print(f"{self.name}: {request.path}: {type(error).__name__}: {error}", flush=True)
            response = web.json_response({"error": f"{type(error).__name__}: {error}"}, status=503)
        except web.HTTPException as error:
            response = web.json_response({"error": error.reason}, status=error.status, headers=_again(error))
        response.headers["X-Served-By"] = self.name
        self._answers[request.path.split("/")[1], response.status] += 1
        return response

    async def _metrics(self, _: web.Request) -> web.Response:
        lines = [f"process_start_time_seconds {self._born:.3f}"]
        lines += [f'answers_total{{name="{n}",status="{s}"}} {count}' for (n, s), count in self._answers.items()]
        return web.Response(text="\n".join([*lines, ""]))


def _again(error: web.HTTPException) -> dict[str, str]:
    return {k: v for k, v in error.headers.items() if k == "Retry-After"}


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="well")


async def keep_at(what: str, turn: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again."""
    while True:
        await insist(what, turn)


async def insist(what: str, turn: Callable[[], Awaitable[Result]]) -> Result:
    """Do it until it succeeds; a failure is said, and is no reason to give up."""
    while True:
        try:
            return await turn()
        except FAILURES as error:
            print(f"{HOST}: {what}: {type(error).__name__}: {error}", flush=True)
            await asyncio.sleep(_PAUSE)
