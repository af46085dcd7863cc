"""The social network as its clients see it: `network` for tokens and replies, `network-inbox` for messages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from store import Message

_PATIENCE = aiohttp.ClientTimeout(total=1.5)


class BusyError(aiohttp.ClientError):
    """The network has had too many requests of ours: `after` seconds later it may answer."""

    def __init__(self, after: float) -> None:
        super().__init__("the network has had too many requests")
        self.after = after


class Provider:
    """One HTTP session, begun with the first request."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def _ask(self, method: str, url: str, **words: object) -> dict[str, object]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_PATIENCE)
        async with self._session.request(method, url, **words) as response:
            if response.status == 429:
                raise BusyError(float(response.headers.get("Retry-After", "1")))
            response.raise_for_status()
            return await response.json()

    async def token(self, account: str) -> str:
        """A new token for an account. Raises BusyError when ours have been too many lately."""
        answer = await self._ask("POST", "http://network:8080/tokens", json={"account": account})
        return str(answer["token"])

    async def send(self, reply: str, token: str, text: str) -> None:
        """Have a reply delivered; the network knows one that comes twice by its key."""
        headers = {"Authorization": token, "Idempotency-Key": reply}
        await self._ask("POST", "http://network:8080/replies", headers=headers, json={"id": reply, "text": text})

    async def pages(self, what: str, token: str, after: int | None = None) -> AsyncIterator[list[Message]]:
        """The `messages` after a number, or the `history` before, page by page, the oldest first."""
        while True:
            words = {} if after is None else {"after": str(after)}
            url = f"http://network-inbox:8080/{what}"
            answer = await self._ask("GET", url, headers={"Authorization": token}, params=words)
            page = [Message(int(one["number"]), str(one["text"])) for one in answer["messages"]]
            yield page
            if not answer["more"]:
                return
            after = page[-1].number
