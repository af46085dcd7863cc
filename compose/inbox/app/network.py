"""The social network: gives tokens, only so many a second, and delivers replies to the shops' customers."""

from __future__ import annotations

import collections

from aiohttp import web
from network_parts import Limit, account_of, serve_far, token_for

_KEYS = 20_000
_SHOWN = 2000
_tokens = Limit(rate=7.0, burst=7)
_known: collections.OrderedDict[str, None] = collections.OrderedDict()
"""Keys of the requests to deliver something that were carried out."""
_delivered: collections.deque[str] = collections.deque(maxlen=_SHOWN)


async def tokens(request: web.Request) -> web.Response:
    """`POST /tokens {account}`: a new token, 429 when our client has asked too often."""
    _tokens.check()
    return web.json_response({"token": token_for((await request.json())["account"])})


async def replies(request: web.Request) -> web.Response:
    """`POST /replies {id, text}`: deliver it, unless the request's Idempotency-Key is known already."""
    account_of(request)
    reply = await request.json()
    key = request.headers.get("Idempotency-Key", "")
    if key in _known:
        return web.json_response({"delivered": reply["id"]})
    if key:
        _known[key] = None
        if len(_known) > _KEYS:
            _known.popitem(last=False)
    _delivered.append(reply["id"])
    return web.json_response({"delivered": reply["id"]}, status=201)


async def delivered(_: web.Request) -> web.Response:
    """`GET /delivered`: the latest replies, in the order in which customers got them; one delivered twice is there twice."""
    return web.json_response({"delivered": list(_delivered)})


if __name__ == "__main__":
    serve_far(web.post("/tokens", tokens), web.post("/replies", replies), web.get("/delivered", delivered))
