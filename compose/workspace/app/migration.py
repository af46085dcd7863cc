"""Runs the migration of the pods' subscriptions from the shared store into each pod's own; `migrate` tells it what to do.

A pod is moved by dual writes, a copy of what was there before, and the cut-over, after which the new storage is read.
As corrected it copies in small batches, each a transaction of its own that leaves out what others have locked. As it was
(ONE_TRANSACTION=on) the cut-over was one transaction for the whole pod: it locked all of the pod's connections and
subscriptions, then checked and marked them one by one.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine

import aiohttp
import asyncpg
from aiohttp import web
from serving import serve
from store import ERRORS

PODS = ("canary", "pod-17", "pod-18")
_ONE_TRANSACTION = os.environ.get("ONE_TRANSACTION", "off") == "on"
_BATCH = 50
_PACE = 480.0
"""Rows copied a second: no store is asked for more."""
_FAST = 1600.0
"""The same where the new storage shall soon be alone."""
_ROW_PACE = 240.0
"""Rows checked and marked a second in the one transaction."""
_AGAIN = 0.1
"""Seconds until rows that others had locked are tried again."""
_TELL = 0.5
_SETTLE = 0.3
"""Seconds after which accepts that had not heard of a new mode are done."""
_STEPS, _STEP = range(10, 101, 10), 1.4
"""The new storage alone: percent of the agents, and how long each step is looked at."""
_PATIENCE = 5.0
_SETTINGS = {"lock_timeout": "500", "statement_timeout": "2000"}
"""Milliseconds; of the corrected migration."""

_OLD = "SELECT chat, agent, topic, created FROM subscriptions WHERE pod = $1 AND NOT moved AND created < $2"
_LEFT = f"SELECT EXISTS ({_OLD})"
_COPY = """
INSERT INTO subscriptions (chat, agent, topic, created, copied)
SELECT chat, agent, topic, created, true
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS old (chat, agent, topic, created)
"""
_LIVE = "NOT copied AND NOT closed AND EXISTS (SELECT FROM chats WHERE id = chat)"
_MISSED = f"SELECT chat, agent, topic, created FROM subscriptions WHERE {_LIVE}"
_FORGET = f"DELETE FROM subscriptions WHERE copied OR {_LIVE}"
_COPY_BACK = """
INSERT INTO subscriptions (chat, pod, agent, topic, created) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
"""


class Move:
    """One pod's move: its mode, how far it is, and the task that is at it."""

    def __init__(self, pod: str) -> None:
        self.pod = pod
        self.mode, self.share, self.says = "old", 0, "nothing moved"
        self._shared: asyncpg.Connection | None = None
        self._own: asyncpg.Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._cleaned = asyncio.Event()
        self._cleaned.set()

    def state(self) -> str:
        """One line."""
        return f"{self.pod} {'old' if self.mode == 'old' else 'new'}: {self.mode}, {self.says}"

    async def begin(self, alone: bool) -> None:
        """Begin to move, unless that was done; it goes on by itself."""
        if self.mode == "old":
            await self._be("dual", "begun")
            self._task = asyncio.create_task(self._run(self._alone() if alone else self._move()))

    async def back(self) -> None:
        """Back to the old storage at once; what was copied is taken out afterwards."""
        await self._stop()
        if self.mode != "old":
            self._cleaned.clear()
            await self._be("old", "rolled back")
            self._task = asyncio.create_task(self._run(self._clean()))

    async def tell(self) -> None:
        """Let the pod's services know where its subscriptions are."""
        words = {"mode": self.mode, "share": self.share}
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.4)) as session:
            await asyncio.gather(*(self._tell(session, f"{self.pod}-{name}", words) for name in ("chat", "worker")))

    async def _tell(self, session: aiohttp.ClientSession, host: str, words: dict[str, object]) -> None:
        try:
            async with session.post(f"http://{host}:8080/mode", json=words):
                pass
        except (TimeoutError, OSError, aiohttp.ClientError):
            pass  # it is told again

    async def _be(self, mode: str, says: str, share: int = 0) -> None:
        self.mode, self.share, self.says = mode, share, says
        await self.tell()

    async def _run(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except ERRORS as error:
            self.says = f"stopped: {type(error).__name__}: {error}"
            print(self.state(), flush=True)

    async def _stop(self) -> None:
        if self._task is None or not self._cleaned.is_set():
            return  # cleaning is not stopped
        self._task.cancel()
        await asyncio.wait([self._task], timeout=1.0)
        for connection in (self._shared, self._own):
            if connection is not None:
                connection.terminate()  # whatever it held is free

    async def _connected(self) -> tuple[asyncpg.Connection, asyncpg.Connection]:
        settings = {"application_name": "migration", **({} if _ONE_TRANSACTION else _SETTINGS)}
        if self._shared is None or self._shared.is_closed():
            self._shared = await asyncpg.connect(
                host="shared", user="migration", database="shared", server_settings=settings, timeout=_PATIENCE
            )
        if self._own is None or self._own.is_closed():
            self._own = await asyncpg.connect(
                host=f"{self.pod}-store", user="service", database="store", server_settings=settings, timeout=_PATIENCE
            )
        return self._shared, self._own

    async def _move(self) -> None:
        await self._copied(_PACE, mark=not _ONE_TRANSACTION)
        if _ONE_TRANSACTION:
            await self._cut_over_at_once()
        await self._be("new", "all copied")

    async def _alone(self) -> None:
        await self._copied(_FAST, mark=True)
        for share in _STEPS:
            await self._be("alone", f"{share} % of the agents", share)
            await asyncio.sleep(_STEP)

    async def _copied(self, pace: float, *, mark: bool) -> None:
        """Copy what was there before dual writes began, batch by batch; what was locked is come back to until all is copied."""
        await self._cleaned.wait()
        await asyncio.sleep(_SETTLE)
        shared, own = await self._connected()
        began = await shared.fetchval("SELECT now()")
        query = f"{_OLD} AND chat > $3 ORDER BY chat LIMIT {_BATCH}" + " FOR UPDATE SKIP LOCKED" * mark
        due, copied, last = time.monotonic(), 0, ""
        while True:
            async with shared.transaction():
                rows = await shared.fetch(query, self.pod, began, last)
                if rows:
                    columns = [[row[name] for row in rows] for name in ("chat", "agent", "topic", "created")]
                    await own.execute(_COPY, *columns)
                    if mark:
                        await shared.execute("UPDATE subscriptions SET moved = true WHERE chat = ANY($1)", columns[0])
            copied, last = copied + len(rows), rows[-1]["chat"] if rows else ""
            if not rows and not (mark and await shared.fetchval(_LEFT, self.pod, began)):
                break
            self.says = f"{copied} copied"
            due = due + len(rows) / pace if rows else time.monotonic() + _AGAIN
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _cut_over_at_once(self) -> None:
        """Lock all that the pod has, then check and mark one subscription after the other."""
        shared, own = await self._connected()
        async with shared.transaction():
            await shared.fetch("SELECT agent FROM connections WHERE pod = $1 FOR UPDATE", self.pod)
            rows = await shared.fetch(
                "SELECT chat FROM subscriptions WHERE pod = $1 ORDER BY chat FOR UPDATE", self.pod
            )
            due = time.monotonic()
            for number, row in enumerate(rows):
                self.says = f"{number} of {len(rows)} checked"
                await own.fetchval("SELECT agent FROM subscriptions WHERE lower(chat) = lower($1)", row["chat"])
                await shared.execute("UPDATE subscriptions SET moved = true WHERE chat = $1", row["chat"])
                due += 1 / _ROW_PACE
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _clean(self) -> None:
        """The old storage gets what agents on the new one alone wrote; then all that is in both is taken out of the new one."""
        while not self._cleaned.is_set():
            try:
                shared, own = await self._connected()
                rows = await own.fetch(_MISSED)
                await shared.executemany(
                    _COPY_BACK, [(r["chat"], self.pod, r["agent"], r["topic"], r["created"]) for r in rows]
                )
                await shared.execute("UPDATE subscriptions SET moved = false WHERE pod = $1 AND moved", self.pod)
                await own.execute(_FORGET)
                self.says = "nothing moved"
                self._cleaned.set()
            except ERRORS as error:
                print(f"{self.pod}: not cleaned yet: {type(error).__name__}: {error}", flush=True)
                await asyncio.sleep(0.5)


class Migration:
    """All pods' moves, and what tells them."""

    def __init__(self) -> None:
        self._moves = {pod: Move(pod) for pod in PODS}

    async def do(self, request: web.Request) -> web.Response:
        """`POST /WORD/POD`, as `migrate` has its words."""
        word, move = request.match_info["word"], self._moves.get(request.match_info["pod"])
        if move is None:
            return web.Response(status=400, text=f"there is no such pod; there are {', '.join(PODS)}")
        if word in ("start", "alone"):
            await move.begin(word == "alone")
        elif word == "back":
            await move.back()
        return web.Response(text=move.state())

    async def work(self) -> None:
        """Tell services again and again: one that was started anew must know, too."""
        while True:
            await asyncio.gather(*(move.tell() for move in self._moves.values()))
            await asyncio.sleep(_TELL)


if __name__ == "__main__":
    migration = Migration()
    serve(web.post("/{word:start|alone|back|state}/{pod}", migration.do), work=migration.work())
