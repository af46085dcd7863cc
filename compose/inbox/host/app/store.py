"""What the shops' inbox keeps in PostgreSQL: accounts, sessions, messages, replies and histories."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

POOL = 4
"""Connections of one service."""
_PATIENCE = 1.5
"""Seconds to wait for a free connection, and for its answer."""


@dataclass(frozen=True, slots=True)
class Account:
    """A shop's account. `host` works for it; `token` is the network's word that it may act for the shop."""

    name: str
    plan: str
    host: str
    token: str | None
    salt: bytes | None
    password: bytes | None
    newest: int | None
    """Number of the newest message that is here, if there is one."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a customer; the network numbers those of an account."""

    number: int
    text: str


_ACCOUNT = "SELECT name, plan, host, token, salt, password, newest FROM accounts"


class Store:
    """A pool of connections, made when the first one is needed, and what is asked through it."""

    def __init__(self, connections: int = POOL) -> None:
        self._connections = connections
        self._pool: asyncpg.Pool | None = None
        self._making = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool, for as short as possible. Raises TimeoutError when none becomes free."""
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    host="postgresql",
                    user="postgres",
                    database="inbox",
                    min_size=1,
                    max_size=self._connections,
                    timeout=_PATIENCE,
                    command_timeout=_PATIENCE,
                )
        async with self._pool.acquire(timeout=_PATIENCE) as connection:
            yield connection

    async def account(self, name: str) -> Account | None:
        """An account by its name."""
        async with self.connection() as c:
            row = await c.fetchrow(f"{_ACCOUNT} WHERE name = $1", name)
        return Account(*row) if row else None

    async def of_session(self, session: str) -> Account | None:
        """The account that a session was begun for."""
        async with self.connection() as c:
            row = await c.fetchrow(f"{_ACCOUNT} JOIN sessions ON account = name WHERE session = $1", session)
        return Account(*row) if row else None

    async def begin_session(self, account: str, session: str, token: str) -> None:
        """Keep the network's new token, and let the session act for the account."""
        async with self.connection() as c, c.transaction():
            await c.execute("UPDATE accounts SET token = $2 WHERE name = $1", account, token)
            await c.execute("INSERT INTO sessions (session, account) VALUES ($1, $2)", session, account)

    async def trust(self, account: str, token: str) -> None:
        """Keep the network's token for an account."""
        async with self.connection() as c:
            await c.execute("UPDATE accounts SET token = $2 WHERE name = $1", account, token)

    async def latest(self, account: str, count: int) -> list[Message]:
        """The newest messages that are here."""
        async with self.connection() as c:
            rows = await c.fetch(
                "SELECT number, text FROM messages WHERE account = $1 ORDER BY number DESC LIMIT $2", account, count
            )
        return [Message(*row) for row in rows]

    async def keep(self, account: str, messages: Iterable[Message], *, newest: int | None = None) -> None:
        """Keep messages, each once, and with them up to where the account's are all here."""
        rows = [(account, message.number, message.text) for message in messages]
        async with self.connection() as c, c.transaction():
            await c.executemany(
                "INSERT INTO messages (account, number, text) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", rows
            )
            if newest is not None:
                await c.execute("UPDATE accounts SET newest = greatest(newest, $2) WHERE name = $1", account, newest)

    async def accept(self, reply: str, account: str, text: str) -> None:
        """Keep a reply that is to be sent."""
        async with self.connection() as c:
            await c.execute("INSERT INTO replies (id, account, text) VALUES ($1, $2, $3)", reply, account, text)

    async def sent(self, reply: str) -> None:
        """Note that the network has a reply."""
        async with self.connection() as c:
            await c.execute("UPDATE replies SET sent = now() WHERE id = $1", reply)

    async def welcome(self, history: str, account: str, host: str) -> None:
        """Open a new user's account, whose history is to be fetched."""
        async with self.connection() as c, c.transaction():
            await c.execute(
                "INSERT INTO accounts (name, plan, host) VALUES ($1, 'free', $2) ON CONFLICT DO NOTHING", account, host
            )
            await c.execute(
                "INSERT INTO histories (id, account, asked) VALUES ($1, $2, $3)", history, account, time.time()
            )

    async def arrived(self, history: str) -> None:
        """Note that a history is here as a whole."""
        async with self.connection() as c:
            await c.execute("UPDATE histories SET arrived = $2 WHERE id = $1", history, time.time())
