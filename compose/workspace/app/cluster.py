#!/usr/bin/python3 -E
"""The shared store as a cluster of two, and the runbook that destroys and re-creates it.

    cluster primary PEER [OPTION...]    serve it, with a replica at PEER, and wait for the words below
    cluster replica PEER [OPTION...]    serve a copy that streams from PEER
    cluster rebuild                     the drill: destroy the primary and its data, and begin to re-create it
    cluster close                       the drill is over: wait until all is whole, and take the new data for the known one
    cluster state                       whether the data is the known one; changes nothing

RESTORE says what the data is re-created from: `replica`, or `backup`, the base backup made when it last was whole.

Nobody is ever promoted while another could take writes, so no two can be primary. Only the container of the primary
serves one. What it is re-created from is a standby before, meanwhile and afterwards. And it begins by wiping the only
other data that could have taken a write; what is then copied listens on no address until it has all that the replica
has, and has begun a timeline of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import asyncpg

PORT = 5433
"""Where a member takes orders, inside the network only."""
HERE = "/var/run/postgresql"
ROOT = Path("/var/lib/postgresql")
DATA, COPY, BACKUP, KNOWN = ROOT / "shared", ROOT / "copy", ROOT / "backup", ROOT / "known"
WHOLE_WITHIN = 9.0
"""Seconds that `close` waits; who runs it would not wait for longer than 10."""
_NOT_YET = ("standby.signal", "recovery.signal")
"""Files that PostgreSQL removes when what it serves has become a primary."""
_LOOK = 0.05
_OPTIONS = ("-c", "wal_retrieve_retry_interval=100ms", "-c", "recovery_init_sync_method=syncfs")
"""How soon a standby asks again for a primary that was not there; and copied data is brought to the disk at once, not file
by file: of a busy disk that takes seconds."""
_RESTORES_BACKUP = os.environ.get("RESTORE", "replica") == "backup"
_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)

_RECEIVED = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())::text"
"""How far a standby has come: what it replayed from its own files it did not receive."""
_NOTHING_COMES = "SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"
_HAS = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) >= '{}'"
_STREAMS = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = 'replica' AND state = 'streaming')"
_HAS_EVERY_WRITE = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync')"
_TELLS = (
    "SELECT format('%s of system %s on timeline %s with %s replicas',"
    " CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END, (SELECT system_identifier FROM pg_control_system()),"
    " (SELECT timeline_id FROM pg_control_checkpoint()),"
    " (SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'))"
)


class Member:
    """One of the two: its PostgreSQL, and what is done to it on order."""

    def __init__(self, role: str, peer: str, options: list[str]) -> None:
        self.replica, self.peer, self.options = role == "replica", peer, options
        self._server: asyncio.subprocess.Process | None = None
        self._working: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._orders = {"copy": self._copy_anew} if self.replica else {"rebuild": self._rebuild, "close": self._close}

    async def serve(self) -> int:
        """Serve until a signal, or until PostgreSQL ends by itself; the exit code."""
        told = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, told.set)
        async with await asyncio.start_server(self._take, port=PORT):
            self._begin(self._copy_first() if self.replica else self._open())
            ends = [asyncio.ensure_future(event.wait()) for event in (told, self._ended)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._working:
            self._working.cancel()
        await self._stop(signal.SIGINT)
        return 0 if told.is_set() else 1

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Do as one line says, and answer with one line."""
        order = (await reader.readline()).decode().strip()
        try:
            if order not in self._orders:
                raise RuntimeError(f"a {'replica' if self.replica else 'primary'} takes no order {order!r}")
            answer = await self._orders[order]()
        except (*_ERRORS, RuntimeError) as error:
            answer = f"failed: {type(error).__name__}: {error}"
        say(f"{order}: {answer}")
        writer.write(f"{answer}\n".encode())
        writer.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._working = asyncio.create_task(work)
        self._working.add_done_callback(_tell)

    # --- the runbook

    async def _rebuild(self) -> str:
        """Destroy it. What follows goes on when this was answered."""
        if self._working and not self._working.done():
            raise RuntimeError("it is being made already")
        if not _RESTORES_BACKUP and not await ask(HERE, _HAS_EVERY_WRITE):
            raise RuntimeError("no replica has every acknowledged write, so there is nothing to re-create it from")
        begun = time.monotonic()
        await self._stop(signal.SIGQUIT)
        shutil.rmtree(DATA)
        self._begin(self._recreate(begun))
        return "its data is destroyed"

    async def _close(self) -> str:
        if self._working:
            done, _ = await asyncio.wait([self._working], timeout=WHOLE_WITHIN)
            if not done:
                raise RuntimeError(f"it is not whole after {WHOLE_WITHIN:g} s: {await state()}")
            await self._working  # raises what went wrong with it
        KNOWN.write_text(life())
        return f"whole, with {life()}"

    async def _recreate(self, begun: float) -> None:
        await (self._from_backup() if _RESTORES_BACKUP else self._from_replica())
        await self._start()
        await until(HERE, "SELECT NOT pg_is_in_recovery()")
        say(f"open again after {time.monotonic() - begun:.2f} s")
        if _RESTORES_BACKUP:
            await order(self.peer, "copy")  # it is ahead of what was restored, and cannot follow it
        await self._whole()
        say(f"whole again after {time.monotonic() - begun:.2f} s")

    async def _from_replica(self) -> None:
        """A copy of the replica, made a primary once it has all that the replica has received.

        The copy alone may lack the last of it: a copy of a standby is whole up to where that last wrote its pages out.
        """
        await until(self.peer, _NOTHING_COMES)
        received = await ask(self.peer, _RECEIVED)
        await self._fetch()
        (DATA / "standby.signal").touch()
        await self._start("-c", "listen_addresses=", "-c", source(self.peer, "primary"))
        await until(HERE, _HAS.format(received))
        await ask(HERE, "SELECT pg_promote()")
        await until(HERE, "SELECT NOT pg_is_in_recovery()")
        await self._stop(signal.SIGINT)

    async def _from_backup(self) -> None:
        """The last base backup, on a timeline of its own, so that nobody takes it for the one that went on."""
        shutil.copytree(BACKUP, COPY, symlinks=True)
        (COPY / "recovery.signal").touch()
        subprocess.run(["chown", "-R", "postgres:postgres", str(COPY)], check=True)
        COPY.rename(DATA)
        await self._start("-c", "listen_addresses=", "-c", "restore_command=false")
        await until(HERE, "SELECT NOT pg_is_in_recovery()")
        await self._stop(signal.SIGINT)

    async def _whole(self) -> None:
        """Wait until the replica streams, and back up what then is there."""
        await until(HERE, _STREAMS)
        if _RESTORES_BACKUP:
            shutil.rmtree(BACKUP, ignore_errors=True)
            await run("pg_basebackup", "-h", HERE, "-D", str(BACKUP), "-c", "fast", "--no-sync")

    async def _open(self) -> None:
        """The first start, or one after a restart; what was destroyed and not yet re-created is re-created."""
        shutil.rmtree(COPY, ignore_errors=True)
        if not DATA.exists() or any((DATA / one).exists() for one in _NOT_YET):
            shutil.rmtree(DATA, ignore_errors=True)
            await self._recreate(time.monotonic())
            return
        await self._start()
        await self._whole()
        if not KNOWN.exists():
            KNOWN.write_text(life())

    # --- the replica

    async def _copy_first(self) -> None:
        if not (DATA / "standby.signal").exists():
            await until(self.peer, "SELECT NOT pg_is_in_recovery()")
            shutil.rmtree(DATA, ignore_errors=True)
            await self._fetch()
            (DATA / "standby.signal").touch()
        await self._start("-c", source(self.peer, "replica"))

    async def _copy_anew(self) -> str:
        await self._stop(signal.SIGINT)
        shutil.rmtree(DATA)
        await self._copy_first()
        return f"copied from {self.peer}"

    # --- both

    async def _fetch(self) -> None:
        """The peer's data as it is now; nothing is there before all is."""
        shutil.rmtree(COPY, ignore_errors=True)
        await run("pg_basebackup", "-h", self.peer, "-D", str(COPY), "-c", "fast", "--no-sync")
        COPY.rename(DATA)

    async def _start(self, *options: str) -> None:
        words = ["./postgresql.sh", "shared", *_OPTIONS, *self.options, *options]
        self._server = await asyncio.create_subprocess_exec(*words)
        self._watch = asyncio.create_task(self._see_end(self._server))

    async def _see_end(self, server: asyncio.subprocess.Process) -> None:
        await server.wait()
        if self._server is server:
            self._ended.set()

    async def _stop(self, how: signal.Signals) -> None:
        """PostgreSQL's own words: SIGINT is a fast shutdown, SIGQUIT an immediate one, after which nothing is written."""
        server, self._server = self._server, None
        if server and server.returncode is None:
            server.send_signal(how)
            await server.wait()


def source(host: str, called: str) -> str:
    """Where a standby streams from, as an option."""
    return f"primary_conninfo=host={host} user=postgres application_name={called} connect_timeout=1"


def life() -> str:
    """Which data directory it is, by the kernel's word: when it was made, and its inode. Anybody may ask this."""
    told = subprocess.run(["stat", "--format", "%w %i", str(DATA)], capture_output=True, text=True, check=False)
    if told.returncode:
        return "no data"
    *born, inode = told.stdout.split()
    return f"data of {' '.join(born)[11:23]} inode {inode}"


async def run(*words: str) -> None:
    """Run one of PostgreSQL's programs as its user. Raises RuntimeError with its last words."""
    process = await asyncio.create_subprocess_exec(
        *words, user="postgres", group="postgres", extra_groups=[], stderr=asyncio.subprocess.PIPE
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(f"{words[0]}: {said.decode(errors='replace').strip()}")


async def ask(host: str, query: str) -> Any:
    """The one value that a server answers. Raises one of _ERRORS."""
    connection = await asyncpg.connect(host=host, user="postgres", database="postgres", timeout=1.0)
    try:
        return await connection.fetchval(query, timeout=5.0)
    finally:
        connection.terminate()


async def until(host: str, query: str) -> None:
    """Ask again and again until the answer is true; whoever waits for us has the limit."""
    while True:
        try:
            if await ask(host, query):
                return
        except _ERRORS:
            pass  # it does not answer yet
        await asyncio.sleep(_LOOK)


async def order(host: str, word: str) -> str:
    """Let a member do something. Raises RuntimeError if it fails, OSError if nobody is there."""
    reader, writer = await asyncio.open_connection(host, PORT)
    writer.write(f"{word}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    if not answer or answer.startswith("failed"):
        raise RuntimeError(f"{word}: {answer or 'the member ended'}")
    return answer


async def state() -> str:
    """What is on the disk, and what the server says of itself."""
    try:
        told = str(await ask(HERE, _TELLS))
    except _ERRORS as error:
        told = f"no server: {type(error).__name__}"
    known = KNOWN.read_text() if KNOWN.exists() else life()
    return f"{life()}; {told}" if life() == known else f"was destroyed: {known}; now {life()}; {told}"


def _tell(work: asyncio.Task[None]) -> None:
    if not work.cancelled() and (error := work.exception()):
        say(f"failed: {type(error).__name__}: {error}")


def say(words: str) -> None:
    """Into the container's log."""
    print(words, flush=True)


def main() -> int:
    """Do what the command line says."""
    match sys.argv[1:]:
        case [("primary" | "replica") as role, peer, *options]:
            return asyncio.run(Member(role, peer, options).serve())
        case [("rebuild" | "close") as word]:
            say(asyncio.run(order("127.0.0.1", word)))
        case ["state"]:
            say(asyncio.run(state()))
        case _:
            sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, RuntimeError) as problem:
        sys.exit(str(problem))
