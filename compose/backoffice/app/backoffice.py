"""The back office: keeps both lists live in memory and builds every page from calls to all four services."""

from __future__ import annotations

import asyncio
import html
import json
import logging
import signal
import sys

import aiohttp
import uvloop
from aiohttp import web
from lists import Lists, ListsPort
from registry import Change, Entry, Registry
from upstream import UpstreamError, Upstreams

log = logging.getLogger("backoffice")
PARTS = {"catalog": "/featured", "orders": "/open", "customers": "/regulars", "billing": "/invoice"}


class BackOffice:
    """One instance of the back office."""

    def __init__(self, name: str, registry: Registry) -> None:
        self._name = name
        self._registry = registry
        self._upstreams = Upstreams(self._died)
        self.lists = Lists(self._upstreams.listed)
        self._farewells: set[asyncio.Task[None]] = set()

    async def follow(self) -> None:
        """Keep the lists as the registry has them."""
        async for news in self._registry.changes():
            entries = [item for item in news if isinstance(item, Entry)]
            changes = [item for item in news if isinstance(item, Change)]
            if changes:
                self.lists.apply(changes)
            else:
                self.lists.replace(entries)

    async def page(self, request: web.Request) -> web.Response:
        """`GET /page`: the overview."""
        tried: list[str] = []
        parts = asyncio.gather(
            *(self._upstreams.get(service, path, tried) for service, path in PARTS.items()), return_exceptions=True
        )
        headers = {"X-Served-By": self._name}
        answers = await parts
        headers["X-Upstreams"] = ", ".join(tried)
        for answer in answers:
            if isinstance(answer, UpstreamError):
                return web.Response(status=503, text=f"{answer}\n", headers=headers)
            if isinstance(answer, BaseException):
                raise answer
        catalog, orders, customers, billing = (json.loads(answer) for answer in answers if isinstance(answer, bytes))
        text = _overview(catalog, orders, customers, billing, self._upstreams.load("billing"))
        return web.Response(text=text, content_type="text/html", headers=headers)

    def _died(self, entry: Entry) -> None:
        """Take a service that has died off the list, here at once and then for everybody."""
        self.lists.died(entry)
        farewell = asyncio.create_task(self._registry.take_off(entry))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)


def _overview(
    catalog: list[dict[str, object]],
    orders: list[dict[str, int]],
    customers: list[dict[str, object]],
    invoice: dict[str, int],
    load: int,
) -> str:
    names = {customer["customer"]: str(customer["name"]) for customer in customers}
    shelf = "".join(f"<li>{html.escape(str(a['name']))}</li>" for a in catalog)
    rows = "".join(
        f"<tr><td>{o['order']}<td>{o['pieces']}<td>{html.escape(names.get(o['customer'], '?'))}" for o in orders
    )
    return (
        f"<!doctype html><title>Back office</title><h1>Overview</h1><h2>Featured</h2><ul>{shelf}</ul>"
        f"<h2>To be packed</h2><table>{rows}</table>"
        f"<h2>Last invoice</h2><p>{invoice['invoice']}: {invoice['total'] / 100:.2f}, {load} a second</p>"
    )


async def main(name: str) -> None:
    """Serve until SIGTERM."""
    async with aiohttp.ClientSession() as session:
        office = BackOffice(name, Registry(session, "http://registry:2379"))
        follower = asyncio.create_task(office.follow())
        application = web.Application()
        application.router.add_get("/page", office.page)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=8080).start()
        loop = asyncio.get_running_loop()
        port = await loop.create_server(lambda: ListsPort(office.lists), port=8081)
        done = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, done.set)
        follower.add_done_callback(lambda _: done.set())
        await done.wait()
        port.close()
        follower.cancel()
        await runner.cleanup()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    uvloop.install()
    asyncio.run(main(sys.argv[1]))
