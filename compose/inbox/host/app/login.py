"""Logging in: the password's check takes CPU on purpose, and the network gives only so many tokens a second.

When the network is disturbed everybody logs in again. Then free accounts share what paid ones leave: they may ask for so
many tokens a second and no more, and their passwords are checked one at a time, in a thread that paid ones do not need.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor

import jobs
from aiohttp import web
from provider import BusyError, Provider
from store import Account, Store

FREE_RATE, FREE_BURST = 1.5, 6
"""Log-ins of free accounts: a second, on all hosts, and at once."""
_TRIES = 3
_AGAIN = 5
"""Seconds after which somebody who was sent away may try again."""
_THREADS = {"paid": ThreadPoolExecutor(2), "free": ThreadPoolExecutor(1)}
_ADMIT = jobs.CLIENT.register_script(
    """
    local t = redis.call('TIME')
    local now = t[1] + t[2] / 1000000
    local due = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
    if due - now > (ARGV[2] - 1) / ARGV[1] then return 0 end
    redis.call('SET', KEYS[1], string.format('%.6f', due + 1 / ARGV[1]), 'EX', 60)
    return 1
    """
)


def password_key(password: str, salt: bytes) -> bytes:
    """What is kept of a password: scrypt, about 50 ms of CPU."""
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1)


async def log_in(store: Store, provider: Provider, name: str, password: str) -> str:
    """Begin a session. Raises HTTPForbidden, and HTTPTooManyRequests for a free account when there are too many."""
    account = await store.account(name)
    if account is None or account.password is None:
        raise web.HTTPForbidden(reason="there is no such account, or it has no password yet")
    if account.plan == "free" and not await _ADMIT(["free-log-ins"], [FREE_RATE, FREE_BURST]):
        raise _too_many()
    await _check(account, password)
    token = await _token(provider, account)
    session = secrets.token_hex(16)
    await store.begin_session(account.name, session, token)
    return session


async def _check(account: Account, password: str) -> None:
    threads = _THREADS[account.plan]
    key = await asyncio.get_running_loop().run_in_executor(threads, password_key, password, account.salt)
    if not hmac.compare_digest(key, account.password):
        raise web.HTTPForbidden(reason="the password is wrong")


async def _token(provider: Provider, account: Account) -> str:
    tries = _TRIES if account.plan == "paid" else 1
    while True:
        tries -= 1
        try:
            return await provider.token(account.name)
        except BusyError as busy:
            if not tries:
                raise _too_many() from None
            await asyncio.sleep(busy.after)


def _too_many() -> web.HTTPTooManyRequests:
    return web.HTTPTooManyRequests(reason="too many log in", headers={"Retry-After": str(_AGAIN)})
