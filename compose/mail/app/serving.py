"""Serves HTTP on port 8080 until SIGTERM, and does other work beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from aiohttp import web

_GOODBYE = 0.3
"""Seconds that answers under way have at the end."""


def serve(*routes: web.RouteDef, work: Coroutine[Any, Any, None]) -> None:
    """Serve these routes, and `/health`; `work` is cancelled at the end, and never ends by itself."""
    asyncio.run(_serve(routes, work))


async def _serve(routes: tuple[web.RouteDef, ...], work: Coroutine[Any, Any, None]) -> None:
    application = web.Application()
    application.add_routes([web.get("/health", _health), *routes])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=8080, shutdown_timeout=_GOODBYE).start()
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    tasks = [asyncio.create_task(one) for one in (done.wait(), work)]
    ended, going_on = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in going_on:
        task.cancel()
    await asyncio.gather(*going_on, return_exceptions=True)
    await runner.cleanup()
    for task in ended:
        task.result()  # says why the work ended


async def _health(_: web.Request) -> web.Response:
    return web.Response(text="well")
