"""A pod's chats: agents connect and accept chats, customers write in them.

A chat has a subscription, so that its agent gets its events. Where that is kept is what the migration changes.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
import uuid

import aiohttp
import asyncpg
from aiohttp import web
from modes import Mode
from serving import refusing, serve
from store import POD, own, shared

_CLEAN_UP = os.environ.get("CLEAN_UP", "on") == "on"
"""Whether a subscription is taken back when its chat does not come to be."""
_SEED = 2400
_SUBSCRIBED_OLD = "SELECT agent FROM subscriptions WHERE chat = $1"
_SUBSCRIBED_NEW = "SELECT agent FROM subscriptions WHERE lower(chat) = lower($1)"


class Chats:
    """The pod's chat API."""

    def __init__(self) -> None:
        self.mode = Mode()
        self._shared, self._own = shared(3), own(5)
        self._gateway: aiohttp.ClientSession | None = None

    async def connect(self, request: web.Request) -> web.Response:
        """`POST /connect?agent=NAME`: the agent's live connection, made or made anew."""
        agent, session = request.query["agent"], uuid.uuid4().hex

        async def note(shared: asyncpg.Connection) -> None:
            await shared.execute(
                "INSERT INTO connections (pod, agent, gateway_session) VALUES ($1, $2, $3) "
                "ON CONFLICT (pod, agent) DO UPDATE SET gateway_session = $3, since = now()",
                POD, agent, session,
            )  # fmt: skip

        await self._shared.run(note)
        return web.json_response({"session": session}, headers=_by())

    async def accept(self, request: web.Request) -> web.Response:
        """`POST /accept-chat?agent=NAME`: the next chat is this agent's."""
        agent, chat = request.query["agent"], f"{POD}/{uuid.uuid4().hex}"
        new = self.mode.writes_new()
        if new:
            await self._own.run(lambda own: _subscribe(own, chat, agent))
        try:
            if self.mode.writes_old(agent):
                await self._shared.run(lambda shared: _accept(shared, chat, agent))
        except BaseException:
            if new and _CLEAN_UP:
                await asyncio.shield(self._own.run(lambda own: _forget(own, chat)))
            raise

        async def begin(own: asyncpg.Connection) -> None:
            await own.execute("INSERT INTO chats (id, agent) VALUES ($1, $2)", chat, agent)
            if new and _CLEAN_UP and not await own.fetchval(_SUBSCRIBED_NEW, chat):
                await _subscribe(own, chat, agent)  # whoever cleans up took it for an orphan while we waited

        await self._own.run(begin)
        await self._tell("/live", {"pod": POD, "agent": agent, "chat": chat})
        return web.json_response({"chat": chat}, headers=_by())

    async def event(self, request: web.Request) -> web.Response:
        """`POST /event?agent=NAME`: a customer writes in a chat of this agent's, who gets it through the gateway."""
        agent = request.query["agent"]
        number = int(agent.removeprefix("agent-"))
        chat = f"{POD}/{random.choice(range(number or 12, _SEED + 1, 12))}"
        reads_new = self.mode.reads_new(agent)
        store, query = (self._own, _SUBSCRIBED_NEW) if reads_new else (self._shared, _SUBSCRIBED_OLD)
        subscriber = await store.run(lambda connection: connection.fetchval(query, chat))
        if subscriber is None:
            raise web.HTTPNotFound(reason=f"nobody has subscribed to {chat}")
        await self._tell("/event", {"pod": POD, "agent": subscriber, "chat": chat, "at": time.time()})
        return web.json_response({"to": subscriber}, headers=_by())

    async def _tell(self, path: str, words: dict[str, object]) -> None:
        if self._gateway is None:
            self._gateway = aiohttp.ClientSession("http://gateway:8080", timeout=aiohttp.ClientTimeout(total=1.0))
        async with self._gateway.post(path, json=words) as answer:
            answer.raise_for_status()


async def _subscribe(own: asyncpg.Connection, chat: str, agent: str) -> None:
    await own.execute("INSERT INTO subscriptions (chat, agent, topic) VALUES ($1, $2, 'chat')", chat, agent)


async def _forget(own: asyncpg.Connection, chat: str) -> None:
    await own.execute("DELETE FROM subscriptions WHERE lower(chat) = lower($1)", chat)


async def _accept(shared: asyncpg.Connection, chat: str, agent: str) -> None:
    await shared.execute("UPDATE connections SET accepted = accepted + 1 WHERE pod = $1 AND agent = $2", POD, agent)
    await shared.execute(
        "INSERT INTO subscriptions (chat, pod, agent, topic) VALUES ($1, $2, $3, 'chat')", chat, POD, agent
    )


def _by() -> dict[str, str]:
    return {"X-Served-By": f"{POD}-chat"}


if __name__ == "__main__":
    chats = Chats()
    serve(
        web.post("/connect", chats.connect),
        web.post("/accept-chat", chats.accept),
        web.post("/event", chats.event),
        web.post("/mode", chats.mode.take),
        middlewares=[refusing],
    )
