"""The team's figures: jobs that wait, and whether every message is here once. For people as JSON, and for Prometheus.

`GET /figures`: `jobs` that wait or are being done, `doubled` messages (there more than once), `missing` ones (between
two that are there), and `histories` that have arrived, the latest ones.
"""

from __future__ import annotations

import asyncio

import asyncpg
import redis.asyncio
from aiohttp import web
from redis.exceptions import RedisError
from serving import serve

EVERY = 0.5
_SHOWN = 500
_ERRORS = (OSError, TimeoutError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError)
_COUNT = """
SELECT coalesce(sum(there - once), 0)::int AS doubled, coalesce(sum(high - low + 1 - once), 0)::int AS missing
FROM (SELECT count(*) AS there, count(DISTINCT number) AS once, max(number) AS high, min(number) AS low
      FROM messages JOIN accounts ON name = account WHERE newest IS NOT NULL GROUP BY account) AS one
"""
_HISTORIES = "SELECT id FROM histories WHERE arrived IS NOT NULL ORDER BY arrived DESC LIMIT $1"


class Figures:
    """The figures as they were last read; None while they cannot be."""

    def __init__(self) -> None:
        self.now: dict[str, object] | None = None
        self._redis = redis.asyncio.Redis(
            host="redis", decode_responses=True, socket_timeout=1.0, socket_connect_timeout=1.0
        )
        self._database: asyncpg.Connection | None = None

    async def follow(self) -> None:
        """Read them again and again."""
        while True:
            try:
                self.now = {"jobs": await self._jobs(), **await self._messages()}
            except _ERRORS as error:
                print(f"no figures: {type(error).__name__}: {error}", flush=True)
                self.now = None
            await asyncio.sleep(EVERY)

    async def _jobs(self) -> int:
        queues = [key async for key in self._redis.scan_iter("*:host-*", count=1000)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(queue)
            return sum(await pipe.execute())

    async def _messages(self) -> dict[str, object]:
        if self._database is None or self._database.is_closed():
            self._database = await asyncpg.connect(
                host="postgresql", user="postgres", database="inbox", timeout=1.0, command_timeout=2.0
            )
        histories = await self._database.fetch(_HISTORIES, _SHOWN)
        return {**(await self._database.fetchrow(_COUNT)), "histories": [row["id"] for row in histories]}

    async def show(self, _: web.Request) -> web.Response:
        """Give all of them."""
        if self.now is None:
            raise web.HTTPServiceUnavailable
        return web.json_response(self.now)

    async def metrics(self, _: web.Request) -> web.Response:
        """Give the numbers."""
        numbers = {name: value for name, value in (self.now or {}).items() if isinstance(value, int)}
        return web.Response(text="".join(f"inbox_{name} {value}\n" for name, value in numbers.items()))


if __name__ == "__main__":
    figures = Figures()
    serve(web.get("/figures", figures.show), web.get("/metrics", figures.metrics), work=figures.follow())
