"""What both parts of the social network share: its tokens, its limits, and how far away it is."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from serving import serve

DISTANCE = 0.11
"""Seconds that a request from the shops' inbox takes to the network and back: it is on another continent."""
LIFETIME = 30 * 86_400.0
_SECRET = b"known to the network alone"
_FAR = ("/tokens", "/replies", "/messages", "/history")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def token_for(account: str, lifetime: float = LIFETIME) -> str:
    """Make a token that lets its bearer act for the account, for so many seconds."""
    told = f"{account}.{time.time() + lifetime:.0f}"
    return f"{told}.{_signature(told)}"


def account_of(request: web.Request) -> str:
    """Whom a request's token is for. Raises HTTPUnauthorized."""
    account, _, rest = request.headers.get("Authorization", "").partition(".")
    until, _, signature = rest.partition(".")
    if not hmac.compare_digest(signature, _signature(f"{account}.{until}")) or float(until) < time.time():
        raise web.HTTPUnauthorized(reason="the token is not valid")
    return account


def _signature(told: str) -> str:
    return hmac.new(_SECRET, told.encode(), hashlib.sha256).hexdigest()[:24]


class Limit:
    """So many a second, and so many at once."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._due = 0.0
        """When the next one would be due if they came evenly."""

    def check(self) -> None:
        """Count one. Raises HTTPTooManyRequests with the seconds until there is room again, at least 1 as HTTP has it."""
        now = time.monotonic()
        due = max(self._due, now)
        if due - now > (self._burst - 1) / self._rate:
            raise web.HTTPTooManyRequests(headers={"Retry-After": "1"})
        self._due = due + 1 / self._rate


@web.middleware
async def _far(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path in _FAR:
        await asyncio.sleep(DISTANCE)
    return await handler(request)


def serve_far(*routes: web.RouteDef) -> None:
    """Serve on port 8080 until SIGTERM; clients of the network are far away."""
    serve(*routes, middlewares=[_far])
