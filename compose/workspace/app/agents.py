"""The agents' desktops: each holds one stream of events from the gateway, and opens it anew when it ends."""

from __future__ import annotations

import asyncio

import aiohttp
from modes import AGENTS
from serving import serve

PODS = ("canary", "pod-17", "pod-18")
_AGAIN = 0.3


async def _sit(session: aiohttp.ClientSession, pod: str, agent: str) -> None:
    while True:
        try:
            async with session.get(f"/agents/{pod}/{agent}") as stream:
                async for _ in stream.content:
                    pass
        except (TimeoutError, OSError, aiohttp.ClientError):
            pass
        await asyncio.sleep(_AGAIN)


async def _all() -> None:
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=5.0)
    async with aiohttp.ClientSession("http://gateway:8080", connector=connector, timeout=timeout) as session:
        names = [(pod, f"agent-{number:02d}") for pod in PODS for number in range(AGENTS)]
        await asyncio.gather(*(_sit(session, *name) for name in names))


if __name__ == "__main__":
    serve(work=_all())
