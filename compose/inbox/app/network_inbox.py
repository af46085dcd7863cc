"""The social network's inbox: what customers write to an account, and what they wrote before.

Each account gets a message every EVERY seconds, by the clock alone, so that nobody forgets any when this is down.
"""

from __future__ import annotations

import time
import zlib

from aiohttp import web
from network_parts import account_of, serve_far

EVERY = 2.0
PAGE = 4
_FIRST = 5
"""So many come with an account's first request."""
_HISTORY = 12
_WORDS = ("Is it in stock?", "When will it come?", "It is too small.", "Thank you!", "Where is my parcel?", "Love it.")


def newest(account: str) -> int:
    """Number of the newest message."""
    return int(time.time() / EVERY + zlib.crc32(account.encode()) / 2**32)


def page(first: int, end: int) -> web.Response:
    """The messages from the first one on, before `end`, as many as a page holds."""
    numbers = range(first, min(first + PAGE, end))
    messages = [{"number": n, "text": _WORDS[n % len(_WORDS)]} for n in numbers]
    return web.json_response({"messages": messages, "more": numbers.stop < end})


async def messages(request: web.Request) -> web.Response:
    """`GET /messages?after=NUMBER`: what came after that one, or the latest few."""
    end = newest(account_of(request)) + 1
    return page(int(request.query.get("after", end - 1 - _FIRST)) + 1, end)


async def history(request: web.Request) -> web.Response:
    """`GET /history?after=NUMBER`: what came after that one, up to the day (a minute here) before now."""
    end = newest(account_of(request)) + 1 - int(60 / EVERY)
    return page(int(request.query.get("after", end - 1 - _HISTORY)) + 1, end)


if __name__ == "__main__":
    serve_far(web.get("/messages", messages), web.get("/history", history))
