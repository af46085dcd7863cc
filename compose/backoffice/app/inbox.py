"""The team's inbox: `POST /messages` leaves a message, `GET /messages` answers the last 50 as `{"messages": [...]}`."""

from __future__ import annotations

import collections

from aiohttp import web

messages: collections.deque[str] = collections.deque(maxlen=50)


async def leave(request: web.Request) -> web.Response:
    """Keep a message, unless it is here already."""
    message = await request.text()
    if message not in messages:
        messages.append(message)
    return web.Response(status=201)


async def read(_: web.Request) -> web.Response:
    """Answer the messages, the oldest first."""
    return web.json_response({"messages": list(messages)})


if __name__ == "__main__":
    application = web.Application()
    application.router.add_post("/messages", leave)
    application.router.add_get("/messages", read)
    web.run_app(application, port=8082, access_log=None, print=None, handle_signals=True)
