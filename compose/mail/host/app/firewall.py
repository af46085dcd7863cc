"""The provider's firewall on a shared server: shuts out the vendor's central server while the server is overloaded.

Every `_EVERY` seconds it reads the load of its own server, and takes the mean of the last `_OVER` readings. When that was
at least `_OVERLOADED` for `_AFTER` seconds it drops in DOCKER-USER, where the engine lets others' rules be, what comes
from `central`; the rule is lifted only when the load was below for `_CALM` seconds, as the provider's people do. Nothing
is judged until the server has come to rest once after its start. `GET /figures` on port 8090: {"restricted": ["server-1"]
or [], "load": the largest share of a limit, as that mean}.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from load import Load, Meter

HOST = os.environ["HOST"]
PORT = 8090
_OVERLOADED = 0.75
_OVER = 4
_AFTER, _CALM, _REST = 1.5, 12.0, 2.0
_EVERY = 0.5
_RESOLVE = 5.0
"""Seconds between looks for the address of the central server."""
_CHAIN = "DOCKER-USER"
_COMMENT = "the provider restricts the central server"


class Spare:
    """A process that is kept ready to become iptables, for when the server has no room for another one."""

    def __init__(self) -> None:
        self._order: int | None = None
        self._process = 0

    def be_ready(self) -> None:
        """Have one. Raises BlockingIOError when there is no room for it."""
        if self._order is not None:
            return
        words, order = os.pipe()
        try:
            self._process = os.fork()
        except BlockingIOError:
            os.close(words)
            os.close(order)
            raise
        if self._process == 0:
            os.close(order)
            _become_iptables(words)
        os.close(words)
        self._order = order

    def iptables(self, *words: str) -> None:
        """Have iptables do this. Raises BlockingIOError, and CalledProcessError when it did not do it."""
        self.be_ready()
        if (order := self._order) is not None:
            self._order = None
            os.write(order, json.dumps(words).encode())
            os.close(order)
        code = os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])
        self._process = 0
        if code:
            raise subprocess.CalledProcessError(code, ["iptables", *words])


def _become_iptables(order: int) -> None:
    """What a spare process does; never returns."""
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if text := os.read(order, 4096):  # nothing: the firewall has gone
            os.execvp("iptables", ["iptables", "-w", "5", *json.loads(text)])
    finally:
        os._exit(1)


class Rules:
    """The one rule that is ours, told by its comment. Raises CalledProcessError and BlockingIOError."""

    def __init__(self) -> None:
        self.address = ""
        """Address that is shut out, or nothing."""
        self.spare = Spare()
        for line in _iptables("-S", _CHAIN).splitlines():
            if f'"{_COMMENT}"' in line:  # an earlier life's
                _iptables("-D", *_words(line.removeprefix("-A ")))

    def shut_out(self, address: str) -> None:
        """Have the rule for this address and no other; for none there is no rule."""
        if self.address and self.address != address:
            self.spare.iptables("-D", _CHAIN, *_rule(self.address))
            self.address = ""
        if address and address != self.address:
            self.spare.iptables("-I", _CHAIN, "1", *_rule(address))
            self.address = address


def _rule(address: str) -> list[str]:
    return ["-s", address, "-m", "comment", "--comment", _COMMENT, "-j", "DROP"]


def _iptables(*words: str) -> str:
    return subprocess.run(["iptables", "-w", "5", *words], check=True, capture_output=True, text=True).stdout


def _words(rule: str) -> list[str]:
    """Words of a rule as iptables prints it; only the comment has spaces."""
    before, _, rest = rule.partition(f'"{_COMMENT}"')
    return [*before.split(), _COMMENT, *rest.split()]


class Judge:
    """Whether to restrict, of the loads one after the other; moments are seconds that only grow."""

    def __init__(self) -> None:
        self._rested = False
        self.restricts = False
        self._other_since: float | None = None
        """Since when the load says the other thing."""

    def see(self, at: float, load: float) -> bool:
        """Take one load in; whether the central server is restricted from now on."""
        over = load >= _OVERLOADED
        if over == (self.restricts or not self._rested):
            self._other_since = None
            return self.restricts
        if self._other_since is None:
            self._other_since = at
        wait = _REST if not self._rested else _CALM if self.restricts else _AFTER
        if at - self._other_since >= wait:
            self._other_since = None
            if self._rested:
                self.restricts = not self.restricts
            self._rested = True
        return self.restricts


class Firewall:
    """Looks, judges, and sets the rule."""

    def __init__(self) -> None:
        self._meter = Meter(Path("/host/cgroup"))
        self._rules = Rules()
        self._judge = Judge()
        self._address = ""
        self._loads: deque[Load] = deque(maxlen=_OVER)

    async def run(self) -> None:
        """Work until SIGTERM; the rule goes with this program."""
        done = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
        resolving = asyncio.create_task(self._resolve())
        server = await asyncio.start_server(self._answer, port=PORT)
        print(f"{HOST}/firewall is up", flush=True)
        try:
            while not done.is_set():
                await self._turn()
                try:
                    await asyncio.wait_for(done.wait(), _EVERY)
                except TimeoutError:
                    continue
        finally:
            server.close()
            resolving.cancel()
            self._rules.shut_out("")

    @property
    def _load(self) -> float:
        return sum(load.most for load in self._loads) / max(1, len(self._loads))

    async def _turn(self) -> None:
        self._loads.append(self._meter.look())
        restricted, before = self._judge.see(time.monotonic(), self._load), self._rules.address
        wanted = self._address if restricted else ""
        with suppress(BlockingIOError):
            self._rules.spare.be_ready()
        if wanted != before:
            try:
                self._rules.shut_out(wanted)
            except (OSError, subprocess.CalledProcessError) as error:  # the next turn tries again
                print(f"{HOST}/firewall: {error}", flush=True)
            else:
                what = f"central ({wanted}) is restricted" if wanted else "central is let in"
                print(f"{HOST}/firewall: {what}: {self._loads[-1]}", flush=True)

    async def _resolve(self) -> None:
        """Learn the central server's address again and again; while it cannot be learned the last one stands.

        The one thread for it is there from the first time on, so that later there need be no room for it.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        while True:
            try:
                found = await loop.getaddrinfo("central", None, family=socket.AF_INET)
                self._address = str(found[0][4][0])
            except OSError as error:
                print(f"{HOST}/firewall: where is central? {error}", flush=True)
            await asyncio.sleep(_RESOLVE)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
            figures = {"restricted": [HOST] if self._rules.address else [], "load": round(self._load, 3)}
            body = b"well\n" if path == b"/health" else json.dumps(figures).encode() + b"\n"
            kind = b"text/plain" if path == b"/health" else b"application/json"
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            writer.write(head % (kind, len(body)) + body)
            await writer.drain()
        except (OSError, EOFError, IndexError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone
        finally:
            writer.close()


if __name__ == "__main__":
    asyncio.run(Firewall().run())
