"""Tells the team when a server or service goes away, and when it is back: one numbered message to the inbox for each."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal

import aiohttp
from registry import Change, Entry, Registry, name_of

log = logging.getLogger("notifier")
_PAUSE = 0.2
INBOX = "http://inbox:8082/messages"


class Notifier:
    """Follows the registry; what is to be said waits in `queue` until the inbox has it."""

    def __init__(self) -> None:
        self._up: set[str] = set()
        self._gone: set[str] = set()
        self._numbers = itertools.count(1)
        self.queue: asyncio.Queue[str] = asyncio.Queue()

    def hear(self, news: list[Change] | list[Entry]) -> None:
        """Take over a complete list, or changes."""
        changes = [item for item in news if isinstance(item, Change)]
        if not changes:
            entries = [Change(item.key, item) for item in news if isinstance(item, Entry)]
            changes = entries + [Change(key, None) for key in sorted(self._up - {change.key for change in entries})]
        for change in changes:
            if change.entry is None and change.key in self._up:
                self._up.discard(change.key)
                self._gone.add(change.key)
                self._say(f"{name_of(change.key)} is gone")
            elif change.entry is not None and change.key not in self._up:
                self._up.add(change.key)
                if change.key in self._gone:
                    self._gone.discard(change.key)
                    self._say(f"{name_of(change.key)} is back")

    def _say(self, text: str) -> None:
        self.queue.put_nowait(f"{next(self._numbers):04d} {text}")


async def post(session: aiohttp.ClientSession, queue: asyncio.Queue[str]) -> None:
    """Post what is in the queue, in order; the inbox knows a message that comes twice by its number."""
    limit = aiohttp.ClientTimeout(total=1.0)
    while True:
        message = await queue.get()
        while True:
            try:
                async with session.post(INBOX, data=message, timeout=limit, raise_for_status=True):
                    break
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("the inbox does not take %r: %r", message, error)
                await asyncio.sleep(_PAUSE)


async def main() -> None:
    """Notify until SIGTERM."""
    notifier = Notifier()
    async with aiohttp.ClientSession() as session:

        async def follow() -> None:
            async for news in Registry(session, "http://registry:2379").changes():
                notifier.hear(news)

        work = asyncio.gather(follow(), post(session, notifier.queue))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
        await asyncio.wait([work])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    asyncio.run(main())
