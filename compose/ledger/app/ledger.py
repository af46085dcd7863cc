"""The ledger: `POST /DATABASE` stores an entry and names it in X-Wrote once the database has said that it is stored.

`GET /DATABASE` lists the latest entries as the database has them, 503 while it does not answer; `GET /databases` lists
the databases that answer. Connections are given up after half a second of silence, as a dead machine says nothing.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

import asyncpg
import redis.asyncio
from aiohttp import web
from redis.exceptions import RedisError

SILENCE = 0.5
EVERY = 0.15
KEPT = 3000
POOL = 8
BOOT = secrets.token_hex(3)
NUMBERS = itertools.count(1)
ERRORS = (OSError, TimeoutError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError)


class PostgreSQL:
    """Entries in a table; each write is one transaction on a pooled connection."""

    def __init__(self) -> None:
        self._free: list[asyncpg.Connection] = []

    async def _use(self, work: Callable[[asyncpg.Connection], Awaitable[object]]) -> object:
        connection = self._free.pop() if self._free else await self._connect()
        try:
            result = await asyncio.wait_for(work(connection), SILENCE)
        except BaseException:
            connection.terminate()
            for other in self._free:  # whatever ended this one may have ended all
                other.terminate()
            self._free.clear()
            raise
        if len(self._free) < POOL:
            self._free.append(connection)
        else:
            await connection.close(timeout=SILENCE)
        return result

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(host="postgresql", user="postgres", database="postgres", timeout=SILENCE)

    async def write(self, entry: str) -> None:
        """Store one; returns when the database has said that it is stored."""
        await self._use(lambda c: c.execute("INSERT INTO ledger (entry) VALUES ($1)", entry))

    async def entries(self) -> list[str]:
        """Give the latest."""
        rows = await self._use(lambda c: c.fetch("SELECT entry FROM ledger ORDER BY id DESC LIMIT $1", KEPT))
        return [row["entry"] for row in rows]


class Redis:
    """Entries in a list."""

    def __init__(self) -> None:
        self._client = redis.asyncio.Redis(
            host="redis", decode_responses=True, socket_timeout=SILENCE, socket_connect_timeout=SILENCE
        )

    async def write(self, entry: str) -> None:
        """Store one; returns when the database has said that it is stored."""
        await asyncio.wait_for(self._client.rpush("ledger", entry), SILENCE)

    async def entries(self) -> list[str]:
        """Give the latest."""
        return await asyncio.wait_for(self._client.lrange("ledger", -KEPT, -1), SILENCE)


DATABASES = {"postgresql": PostgreSQL(), "redis": Redis()}
COPIES: dict[str, list[str] | None] = dict.fromkeys(DATABASES)
"""The entries of each database as it last gave them; None while it does not answer."""


async def watch(name: str) -> None:
    """Read the entries again and again."""
    while True:
        began = time.monotonic()
        try:
            COPIES[name] = await DATABASES[name].entries()
        except ERRORS as error:
            logging.warning("%s does not answer: %s %s", name, type(error).__name__, error)
            COPIES[name] = None
        await asyncio.sleep(max(0.0, began + EVERY - time.monotonic()))


async def post(request: web.Request) -> web.Response:
    """Store an entry, and name it once it is stored."""
    name = request.match_info["name"]
    if name not in DATABASES:
        raise web.HTTPNotFound
    entry = f"{BOOT}-{next(NUMBERS)}"
    try:
        await DATABASES[name].write(entry)
    except ERRORS as error:
        return web.Response(status=503, text=f"not stored: {type(error).__name__}")
    return web.Response(status=201, headers={"X-Wrote": entry, "X-Served-By": name})


async def get(request: web.Request) -> web.Response:
    """List the entries of a database."""
    entries = COPIES.get(request.match_info["name"])
    if entries is None:
        raise web.HTTPServiceUnavailable
    return web.json_response({"entries": entries})


async def databases(_: web.Request) -> web.Response:
    """List the databases that answer."""
    return web.json_response({"databases": [name for name, copy in COPIES.items() if copy is not None]})


async def main() -> None:
    """Serve, and watch both databases, until a signal ends it."""
    app = web.Application()
    app.add_routes([web.get("/databases", databases), web.post("/{name}", post), web.get("/{name}", get)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=8080).start()
    await asyncio.gather(*map(watch, DATABASES))


asyncio.run(main())
