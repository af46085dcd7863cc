"""A pod's tickets: a number that no other pod gives, and the customer's subscription, from the shared store."""

from __future__ import annotations

import asyncpg
from aiohttp import web
from serving import refusing, serve
from store import POD, own, shared

_shared, _own = shared(2), own(2)


async def open_ticket(_: web.Request) -> web.Response:
    """`POST /open-ticket`: the ticket, which is there when this is answered."""

    async def number(shared: asyncpg.Connection) -> int:
        ticket = await shared.fetchval("SELECT nextval('ticket_numbers')")
        await shared.execute("INSERT INTO customers (ticket, pod) VALUES ($1, $2)", f"{POD}/{ticket}", POD)
        return int(ticket)

    ticket = await _shared.run(number)
    await _own.run(lambda own: own.execute("INSERT INTO tickets (number) VALUES ($1)", ticket))
    name = f"{POD}/{ticket}"
    return web.json_response({"ticket": name}, headers={"X-Wrote": name, "X-Served-By": f"{POD}-ticket"})


if __name__ == "__main__":
    serve(web.post("/open-ticket", open_ticket), middlewares=[refusing])
