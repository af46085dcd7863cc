"""Fetches what customers wrote: refreshes that somebody waits for, and in the background the history of new users."""

from __future__ import annotations

import asyncio

import jobs
from provider import Provider
from service import FAILURES, Service
from store import Account, Store

TRIES = 2
_PAUSE = 0.1

store = Store()
provider = Provider()
service = Service("fetcher", 8082)


async def refresh(name: str) -> jobs.Job:
    """Fetch an account's new messages; `connected` says whether the network gave them."""
    account = await store.account(name)
    connected = account is not None and await _fetched(account)
    return {"connected": connected, "by": service.name}


async def _fetched(account: Account) -> bool:
    for turn in range(TRIES):
        try:
            await _fetch(account)
        except FAILURES as error:
            print(f"{service.name}: {account.name}: {type(error).__name__}: {error}", flush=True)
            if turn < TRIES - 1:
                await asyncio.sleep(_PAUSE)
        else:
            return True
    return False


async def _fetch(account: Account) -> None:
    """Keep every page with how far we are: what comes after a failure goes on from there."""
    async for page in provider.pages("messages", account.token, account.newest):
        if page:
            await store.keep(account.name, page, newest=page[-1].number)


async def history(job: jobs.Job) -> None:
    """Fetch a new user's history; asked again until it is here. Tokens are scarce, so a new one is kept."""
    account = await store.account(job["account"])
    token = account.token or await provider.token(account.name)
    if token != account.token:
        await store.trust(account.name, token)
    async for page in provider.pages("history", token):
        await store.keep(account.name, page)
    await store.arrived(job["id"])


if __name__ == "__main__":
    service.run(jobs.work_refreshes(refresh), jobs.work("history", history))
