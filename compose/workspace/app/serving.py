"""Serves HTTP on port 8080 until SIGTERM, and does other work beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import aiohttp
from aiohttp import web
from store import ERRORS

_GOODBYE = 0.3
"""Seconds that answers under way have at the end."""


def serve(
    *routes: web.RouteDef, middlewares: Sequence[Any] = (), work: Coroutine[Any, Any, None] | None = None
) -> None:
    """Serve these routes, and `/health`; `work` never ends by itself."""
    asyncio.run(_serve(routes, middlewares, work))


async def _serve(
    routes: Sequence[web.RouteDef], middlewares: Sequence[Any], work: Coroutine[Any, Any, None] | None
) -> None:
    application = web.Application(middlewares=middlewares)
    application.add_routes([web.get("/health", _health), *routes])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=8080, shutdown_timeout=_GOODBYE).start()
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    tasks = [asyncio.create_task(one) for one in (done.wait(), work) if one is not None]
    ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await runner.cleanup()
    for task in ended:
        task.result()  # says why the work ended


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="well")


@web.middleware
async def refusing(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say 503 with the reason when a store or the gateway does not do its part."""
    try:
        return await handler(request)
    except (*ERRORS, aiohttp.ClientError) as error:
        print(f"{request.path}: {type(error).__name__}: {error}", flush=True)
        return web.Response(status=503, text=f"{type(error).__name__}: {error}")
