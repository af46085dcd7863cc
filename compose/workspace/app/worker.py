"""A pod's worker: looks up who has subscribed and tells them that their chats live, and removes what nobody needs.

A subscription in the new storage without a chat is an orphan: its events go to nobody.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable

import aiohttp
import asyncpg
from aiohttp import web
from modes import AGENTS, Mode
from serving import serve
from store import ERRORS, POD, own

_CLEAN_UP = os.environ.get("CLEAN_UP", "on") == "on"
_EVERY = 0.2
_EVENTS = 5
_LOOK_UP = 0.022
"""Seconds from one look-up of a moved chat to the next."""
_YOUNG = (
    "SELECT chat, agent FROM subscriptions WHERE created > now() - interval '1 minute' AND NOT closed AND NOT copied"
)
_ORPHANS = """
DELETE FROM subscriptions AS s WHERE NOT copied AND NOT closed AND created < now() - interval '2 seconds'
    AND NOT EXISTS (SELECT FROM chats WHERE id = s.chat)
"""
_SUBSCRIBED = "SELECT agent FROM subscriptions WHERE lower(chat) = lower($1)"


class Worker:
    """What the worker does, again and again."""

    def __init__(self) -> None:
        self.mode = Mode()
        self._own, self._readers = own(2), own(12, least=6)
        self._looking: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        """Never ends."""
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession("http://gateway:8080", timeout=timeout) as gateway:
            await _tried(self._readers.open())
            await asyncio.gather(
                self._again(lambda: self._keep_alive(gateway)), self._again(self._clean_up), self._keep_looking()
            )

    async def _again(self, part: Callable[[], Awaitable[None]]) -> None:
        while True:
            await _tried(part())
            await asyncio.sleep(_EVERY)

    async def _keep_looking(self) -> None:
        """See whether chats that were moved have their subscriptions, by the clock, whether or not earlier ones are done."""
        while True:
            number = random.randint(1, 2400)
            if self.mode.reads_new(f"agent-{number % AGENTS:02d}"):
                task = asyncio.create_task(_tried(self._look_up(f"{POD}/{number}")))
                self._looking.add(task)
                task.add_done_callback(self._looking.discard)
            await asyncio.sleep(_LOOK_UP)

    async def _keep_alive(self, gateway: aiohttp.ClientSession) -> None:
        """Tell young chats' agents, as the new storage knows them, that their chats live."""
        if not self.mode.writes_new():
            return
        rows = await self._own.run(lambda own: own.fetch(_YOUNG))
        chosen = random.sample(rows, min(len(rows), _EVENTS))
        if chosen:
            events = [{"pod": POD, "agent": row["agent"], "chat": row["chat"]} for row in chosen]
            async with gateway.post("/alive", json=events) as answer:
                answer.raise_for_status()

    async def _look_up(self, chat: str) -> None:
        if not await self._readers.run(lambda connection: connection.fetchval(_SUBSCRIBED, chat)):
            print(f"{chat} was moved and has no subscription", flush=True)

    async def _clean_up(self) -> None:
        if _CLEAN_UP and self.mode.writes_new():
            await self._own.run(_clean)


async def _tried(part: Awaitable[None]) -> None:
    try:
        await part
    except (*ERRORS, aiohttp.ClientError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)


async def _clean(own: asyncpg.Connection) -> None:
    status = await own.execute(_ORPHANS)
    if status != "DELETE 0":
        print(f"orphans: {status}", flush=True)


if __name__ == "__main__":
    worker = Worker()
    serve(web.post("/mode", worker.mode.take), work=worker.work())
