"""The shop's orders: `GET /orders` lists them, `GET /pack` counts two orders in one transaction, 503 when that failed.

With a time (`300ms`) nobody waits for a lock for longer, rows are taken in one order, and who was refused tries again.
"""

import asyncio
import random
import sys
import time

import asyncpg
from aiohttp import web

POOL = 16
PATIENCE = 2.5
"""Seconds after which no further try begins."""
PAUSE = 0.03
REFUSED = (asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
ERRORS = (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


async def orders(request: web.Request) -> web.Response:
    """List them."""
    return await answer(request, lambda db: db.fetch("SELECT id, asked FROM orders ORDER BY id"))


async def pack(request: web.Request) -> web.Response:
    """Count two orders of the first three, or neither."""
    chosen = random.sample((1, 2, 3), 2)
    if request.app["limit"]:
        chosen.sort()

    async def both(db: asyncpg.Connection) -> None:
        async with db.transaction():
            for number in chosen:
                await db.execute("UPDATE orders SET asked = asked + 1 WHERE id = $1", number)

    return await answer(request, both)


async def answer(request, work) -> web.Response:
    """Do it, and once more if it was refused a lock and this service tries again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            async with request.app["pool"].acquire() as db:
                await work(db)
            return web.json_response({"ok": True})
        except REFUSED as error:
            if not request.app["limit"] or time.monotonic() > deadline:
                return web.json_response({"error": str(error)}, status=503)
            await asyncio.sleep(PAUSE * random.random())
        except ERRORS as error:
            return web.json_response({"error": str(error)}, status=503)


async def connect(app: web.Application) -> None:
    """Open the pool, when the database lets it."""
    settings = {"lock_timeout": app["limit"]} if app["limit"] else {}
    while True:
        try:
            app["pool"] = await asyncpg.create_pool(
                host="db", user="postgres", database="postgres", min_size=4, max_size=POOL, server_settings=settings
            )
        except ERRORS:
            await asyncio.sleep(0.1)
        else:
            return


def main() -> None:
    """Serve on port 8080."""
    app = web.Application()
    app["limit"] = sys.argv[1] if len(sys.argv) > 1 else ""
    app.add_routes([web.get("/orders", orders), web.get("/pack", pack)])
    app.on_startup.append(connect)
    web.run_app(app, port=8080, print=None)


if __name__ == "__main__":
    main()
