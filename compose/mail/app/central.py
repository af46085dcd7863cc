"""The vendor's central server: wakes every tenant again and again, over HTTP, so that it sends what waits.

Each tenant is called by the clock. A call is given up after `_TIMEOUT`, before the next one is due, so calls never pile
up on a server that does not answer. `GET /figures`: the tenants `reached` by their last call, and those `unreached`.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp import web
from serving import serve

SERVERS = ("server-1", "server-2")
TENANTS = {"tenant-a": 8081, "tenant-b": 8082, "tenant-c": 8083}
_EVERY = 0.5
_TIMEOUT = 0.4


class Central:
    """Who was reached, by `server/tenant`; a tenant that was never called yet is not there."""

    def __init__(self) -> None:
        self.reached: dict[str, bool] = {}

    async def work(self) -> None:
        """Call all of them, evenly over the period; never ends."""
        places = [(f"{server}/{tenant}", server, port) for server in SERVERS for tenant, port in TENANTS.items()]
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ttl_dns_cache=3600)
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            await asyncio.gather(
                *(
                    self._keep_calling(session, name, f"http://{server}:{port}/wake", number * _EVERY / len(places))
                    for number, (name, server, port) in enumerate(places)
                )
            )

    async def _keep_calling(self, session: aiohttp.ClientSession, name: str, url: str, first: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + first
        while True:
            await asyncio.sleep(due - loop.time())
            self._note(name, await _call(session, url))
            due = max(due + _EVERY, loop.time())

    def _note(self, name: str, trouble: str) -> None:
        if trouble and self.reached.get(name, True):
            print(f"{name} cannot be reached: {trouble}", flush=True)
        elif not trouble and not self.reached.get(name, True):
            print(f"{name} can be reached again", flush=True)
        self.reached[name] = not trouble

    async def figures(self, _: web.Request) -> web.Response:
        """Give both lists."""
        lists = {"reached": True, "unreached": False}
        return web.json_response(
            {name: sorted(who for who, was in self.reached.items() if was is value) for name, value in lists.items()}
        )


async def _call(session: aiohttp.ClientSession, url: str) -> str:
    """Wake a tenant; say what went wrong, or nothing."""
    try:
        async with session.post(url) as answer:
            return "" if answer.status < 400 else f"status {answer.status}"
    except TimeoutError:
        return f"no answer within {_TIMEOUT:g} s"
    except (aiohttp.ClientError, OSError) as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    central = Central()
    serve(web.get("/figures", central.figures), work=central.work())
