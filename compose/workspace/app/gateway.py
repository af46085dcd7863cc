"""The gateway for live events: holds the agents' connections (server-sent events) and knows which chats they have open.

`GET /agents/POD/AGENT` is an agent's stream. `POST /live` says that an agent has a chat open, `POST /event` passes a
customer's words to an agent, `POST /alive` passes many events to whoever has their chats open. `GET /figures` counts.
"""

from __future__ import annotations

import asyncio
import collections
import json
import time

from aiohttp import web
from serving import serve

_WAITING = 100
"""Events that may wait for a slow agent; the oldest is dropped."""
_OPEN = 20_000
"""Chats that are remembered as open."""
_RECENT = 2.0
"""Seconds that events to nobody count as recent."""

_streams: dict[tuple[str, str], asyncio.Queue[str]] = {}
_open: collections.OrderedDict[str, None] = collections.OrderedDict()
_nobody: collections.deque[float] = collections.deque(maxlen=10_000)
_counts: collections.Counter[str] = collections.Counter()


async def stream(request: web.Request) -> web.StreamResponse:
    """An agent's events, one line each, until the agent leaves; a new stream of the same agent ends the one before."""
    agent = (request.match_info["pod"], request.match_info["agent"])
    queue: asyncio.Queue[str] = asyncio.Queue(_WAITING)
    _streams[agent] = queue
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        while _streams.get(agent) is queue:
            try:
                event = await asyncio.wait_for(queue.get(), 1.0)
            except TimeoutError:
                event = ""
            await response.write(f"data: {event}\n\n".encode() if event else b": still here\n\n")
    except ConnectionError:
        pass
    finally:
        if _streams.get(agent) is queue:
            del _streams[agent]
    return response


async def live(request: web.Request) -> web.Response:
    """An agent has opened a chat: its events have somewhere to go."""
    _open[(await request.json())["chat"]] = None
    if len(_open) > _OPEN:
        _open.popitem(last=False)
    return web.Response()


async def event(request: web.Request) -> web.Response:
    """A customer's words, for the agent who subscribed. 410 if that agent has no connection."""
    words = await request.json()
    if not _pass(words["pod"], words["agent"], words):
        raise web.HTTPGone(reason="the agent is not connected")
    return web.Response()


async def alive(request: web.Request) -> web.Response:
    """Events for those who have the chats open; of a chat that never came to be, nobody has."""
    for words in await request.json():
        if words["chat"] not in _open or not _pass(words["pod"], words["agent"], words):
            _nobody.append(time.monotonic())
    return web.Response()


def _pass(pod: str, agent: str, words: dict[str, object]) -> bool:
    queue = _streams.get((pod, agent))
    if queue is None:
        return False
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(json.dumps(words))
    _counts["delivered"] += 1
    return True


async def figures(_: web.Request) -> web.Response:
    """`connected` agents (list: `pods` with all theirs), events `delivered`, and `nobody`: to nobody, lately."""
    now = time.monotonic()
    pods = sorted({pod for pod, _ in _streams})
    recent = sum(at > now - _RECENT for at in _nobody)
    return web.json_response(
        {"pods": pods, "connected": len(_streams), "delivered": _counts["delivered"], "nobody": recent}
    )  # fmt: skip


if __name__ == "__main__":
    serve(
        web.get("/agents/{pod}/{agent}", stream),
        web.post("/live", live),
        web.post("/event", event),
        web.post("/alive", alive),
        web.get("/figures", figures),
    )
