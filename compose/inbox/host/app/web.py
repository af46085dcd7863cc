"""The shops' inbox as its app sees it."""

from __future__ import annotations

import secrets
import zlib

import jobs
from aiohttp import web
from login import log_in
from provider import Provider
from service import Service
from store import Account, Store

HOSTS = ("host-1", "host-2", "host-3", "host-4")
_SHOWN = 10

store = Store()
provider = Provider()


async def _account(request: web.Request) -> Account:
    account = await store.of_session(request.headers.get("X-Session", ""))
    if account is None:
        raise web.HTTPUnauthorized(reason="log in first")
    return account


async def begin(request: web.Request) -> web.Response:
    """`POST /log-in {account, password}`: a session."""
    wish = await request.json()
    return web.json_response({"session": await log_in(store, provider, wish["account"], wish["password"])})


async def refresh(request: web.Request) -> web.Response:
    """`POST /refresh`: the newest messages. What is here is shown even if the network does not give any now."""
    account = await _account(request)
    answer = await jobs.refreshed(account.host, account.name)
    if answer is None:
        return web.json_response({"error": f"{account.host} did not refresh in time"}, status=504)
    messages = [{"number": m.number, "text": m.text} for m in await store.latest(account.name, _SHOWN)]
    return web.json_response(
        {"connected": answer["connected"], "messages": messages}, headers={"X-Upstreams": answer["by"]}
    )


async def reply(request: web.Request) -> web.Response:
    """`POST /reply {text}`: accepted once it is kept, and on its way."""
    account = await _account(request)
    text = (await request.json())["text"]
    name = f"r-{secrets.token_hex(6)}"
    await store.accept(name, account.name, text)
    await jobs.leave("send", account.host, {"id": name, "token": account.token, "text": text})
    return web.json_response({"reply": name}, status=202, headers={"X-Wrote": name})


async def history(request: web.Request) -> web.Response:
    """`POST /history {account}`: a new user comes; what customers wrote before is fetched in the background."""
    account = (await request.json())["account"]
    host = HOSTS[zlib.crc32(account.encode()) % len(HOSTS)]
    name = f"h-{secrets.token_hex(6)}"
    await store.welcome(name, account, host)
    await jobs.leave("history", host, {"id": name, "account": account})
    return web.json_response({"history": name}, status=202, headers={"X-Wrote": name})


async def privacy(_: web.Request) -> web.Response:
    """`GET /privacy`: what the app's privacy page says, and the version to agree to."""
    return web.json_response(
        {"version": 4, "text": "We keep what your customers write to you, and show it to you only."}
    )


async def manifest(_: web.Request) -> web.Response:
    """`GET /manifest`: the app's current version, and the library it is built with."""
    app, library = await jobs.CLIENT.hmget("release", "app", "library")
    return web.json_response({"app": app or "1.9", "library": library or "1.9"})


if __name__ == "__main__":
    Service(
        "web",
        8080,
        [
            web.post("/log-in", begin),
            web.post("/refresh", refresh),
            web.post("/reply", reply),
            web.post("/history", history),
            web.get("/privacy", privacy),
            web.get("/manifest", manifest),
        ],
    ).run()
