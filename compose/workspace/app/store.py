"""How a service reaches a PostgreSQL: with a bulkhead and time limits (LIMITS=on), or as it was, with neither."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

POD = os.environ.get("POD", "")
LIMITS = os.environ.get("LIMITS", "on") == "on"
ERRORS = (OSError, TimeoutError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""What can go wrong when a database is asked."""

_PATIENCE = 0.8
"""Seconds to wait for a free connection."""
_SETTINGS = {"lock_timeout": "250", "statement_timeout": "800", "idle_in_transaction_session_timeout": "2000"}
"""Milliseconds, as PostgreSQL reads them."""
_AGAIN = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError, OSError)
"""After these a transaction did nothing, and may be tried once more."""
_PAUSE = 0.1

Result = TypeVar("Result")
Work = Callable[[asyncpg.Connection], Awaitable[Result]]


class Store:
    """A database as one service uses it.

    With limits: a pool of at most `connections`, a limit on each lock and each statement, and one more try. Without: a
    connection of its own for each request, which waits as long as it takes.
    """

    def __init__(self, host: str, database: str, user: str, connections: int, least: int = 1) -> None:
        self._where = {"host": host, "database": database, "user": user}
        self._least, self._most = least, connections
        self._pool: asyncpg.Pool | None = None
        self._making = asyncio.Lock()

    async def run(self, work: Work[Result]) -> Result:
        """Do this in one transaction. Raises one of ERRORS."""
        if not LIMITS:
            connection = await asyncpg.connect(**self._where, server_settings={"application_name": _name()}, timeout=30)
            try:
                async with connection.transaction():
                    return await work(connection)
            finally:
                await connection.close()
        try:
            return await self._pooled(work)
        except _AGAIN:
            await asyncio.sleep(_PAUSE)
            return await self._pooled(work)

    async def _pooled(self, work: Work[Result]) -> Result:
        pool = await self.open()
        async with pool.acquire(timeout=_PATIENCE) as connection, connection.transaction():
            return await work(connection)

    async def open(self) -> asyncpg.Pool:
        """Make the pool with its least connections, unless it is there. Raises one of ERRORS."""
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    **self._where,
                    min_size=self._least,
                    max_size=self._most,
                    timeout=_PATIENCE,
                    max_inactive_connection_lifetime=10 if self._least == 1 else 0,
                    server_settings={"application_name": _name(), **_SETTINGS},
                )
            return self._pool


def shared(connections: int) -> Store:
    """Name the store that all pods share, as this pod's own role."""
    return Store("shared", "shared", POD.replace("-", "_"), connections)


def own(connections: int, least: int = 1) -> Store:
    """Name the pod's own store."""
    return Store(f"{POD}-store", "store", "service", connections, least)


def _name() -> str:
    return os.environ.get("SERVICE", "service")
