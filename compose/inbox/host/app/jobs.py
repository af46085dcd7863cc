"""The jobs of each host's accounts, in Redis: refreshes that somebody waits for, and work that must not get lost."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import redis.asyncio
from service import HOST, insist, keep_at

PATIENCE = 2.0
"""Seconds that somebody waits for a refresh."""
_TURN = 1.0
_KEPT = 5
"""Seconds that an answer is kept for whoever asked."""
REFRESHES = 4
OTHERS = 2
"""Jobs at a time of a host: refreshes, and of each other kind."""

Job = Mapping[str, Any]
CLIENT = redis.asyncio.Redis(
    host="redis", decode_responses=True, socket_connect_timeout=1.0, socket_timeout=PATIENCE + 2.0
)


async def refreshed(host: str, account: str) -> Job | None:
    """Have an account refreshed by its host; its answer, or None if there was none in time."""
    job = {"id": secrets.token_hex(8), "account": account, "until": time.time() + PATIENCE}
    await CLIENT.rpush(f"refresh:{host}", json.dumps(job))
    found = await CLIENT.blpop(f"answer:{job['id']}", timeout=PATIENCE)
    return json.loads(found[1]) if found else None


async def leave(kind: str, host: str, job: Job) -> None:
    """Leave a job for a host, that is done even if it is down now."""
    await CLIENT.rpush(f"{kind}:{host}", json.dumps(job))


async def work_refreshes(do: Callable[[str], Awaitable[Job]]) -> None:
    """Refresh this host's accounts, several at a time, as they are asked for."""
    await asyncio.gather(*(keep_at("refresh", lambda: _refresh_next(do)) for _ in range(REFRESHES)))


async def _refresh_next(do: Callable[[str], Awaitable[Job]]) -> None:
    found = await CLIENT.blpop(f"refresh:{HOST}", timeout=_TURN)
    job = json.loads(found[1]) if found else None
    if job and job["until"] > time.time():  # whoever asked earlier has given up
        await _answer(job, await do(job["account"]))


async def _answer(job: Job, answer: Job) -> None:
    key = f"answer:{job['id']}"
    async with CLIENT.pipeline(transaction=False) as pipe:
        await pipe.rpush(key, json.dumps(answer)).expire(key, _KEPT).execute()


async def work(kind: str, do: Callable[[Job], Awaitable[None]]) -> None:
    """Do this host's jobs of a kind, several at a time; first those that an earlier life had begun.

    A job under way stays on a list of its own until it is done. `do` may be asked twice for the same one.
    """
    while await insist(kind, lambda: CLIENT.lmove(f"{kind}-busy:{HOST}", f"{kind}:{HOST}", "RIGHT", "LEFT")):
        pass
    await asyncio.gather(*(keep_at(kind, lambda: _do_next(kind, do)) for _ in range(OTHERS)))


async def _do_next(kind: str, do: Callable[[Job], Awaitable[None]]) -> None:
    busy = f"{kind}-busy:{HOST}"
    text = await CLIENT.blmove(f"{kind}:{HOST}", busy, _TURN)
    if text:
        await insist(kind, lambda: do(json.loads(text)))
        await insist(kind, lambda: CLIENT.lrem(busy, 1, text))
