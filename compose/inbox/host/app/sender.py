"""Sends the shops' replies to the network, each until the network has it."""

from __future__ import annotations

import jobs
from provider import Provider
from service import Service
from store import Store

store = Store(2)
provider = Provider()


async def send(job: jobs.Job) -> None:
    """Send a reply; the network knows one that comes twice."""
    await provider.send(job["id"], job["token"], job["text"])
    await store.sent(job["id"])


if __name__ == "__main__":
    Service("sender", 8083).run(jobs.work("send", send))
