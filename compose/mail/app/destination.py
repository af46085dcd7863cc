"""The destination: runs Postfix, and reads the Maildir that it delivers to, as a mail program does.

A mail that was read is moved from `new` to `cur`, so that each look lists only what is new, and only its head is kept: the
mailbox is in memory. `GET /figures` has the mails `delivered` in the last `_SHOWN` seconds by their Message-ID, in the
order of delivery, one as often as it came; older ones are deleted. What a Message-ID has after its `@` is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.parser
import os
import signal
import time
from collections import deque
from pathlib import Path

from aiohttp import web
from serving import serve

MAILDIR = Path("/var/mail/all")
_SHOWN = 180.0
_EVERY = 0.05
_HEAD = 4096
"""Bytes of a mail in which its Message-ID is."""


class Mailbox:
    """What was delivered: when, which, and the file that it is in."""

    def __init__(self, maildir: Path) -> None:
        self._new, self._read = maildir / "new", maildir / "cur"
        self._mails: deque[tuple[float, str, Path]] = deque()

    async def work(self) -> None:
        """Run Postfix, and read; ends with Postfix."""
        for folder in (self._new, self._read, self._read.with_name("tmp")):
            folder.mkdir(parents=True, exist_ok=True)
            os.chown(folder, 8, 8)
        os.chown(self._new.parent, 8, 8)
        for path in sorted(self._read.iterdir(), key=_order):
            self._mails.append((time.monotonic(), _message_id(path), path))
        postfix = await asyncio.create_subprocess_exec("postfix", "start-fg")
        try:
            while postfix.returncode is None:
                self.look()
                await asyncio.sleep(_EVERY)
        finally:
            if postfix.returncode is None:
                postfix.send_signal(signal.SIGTERM)
                await postfix.wait()
        raise RuntimeError(f"Postfix ended with {postfix.returncode}")

    def look(self) -> None:
        """Take what is new, and forget what is old."""
        now = time.monotonic()
        for path in sorted(self._new.iterdir(), key=_order):
            read = self._read / f"{path.name}:2,S"
            path.rename(read)
            self._mails.append((now, _message_id(read), read))
            os.truncate(read, min(read.stat().st_size, _HEAD))
        while self._mails and self._mails[0][0] < now - _SHOWN:
            with contextlib.suppress(FileNotFoundError):
                self._mails.popleft()[2].unlink()

    async def figures(self, _: web.Request) -> web.Response:
        """Give the list."""
        return web.json_response({"delivered": [message for _, message, _ in self._mails]})


def _order(path: Path) -> tuple[int, str]:
    """Delivered earlier comes first: virtual(8) names a file by the second and the microsecond, `1700000000.V1I2M345.host`."""
    second, _, rest = path.name.partition(".")
    micro = rest.partition("M")[2].partition(".")[0]
    return int(second) * 1_000_000 + int(micro or 0), path.name


def _message_id(path: Path) -> str:
    """Read it from the head of the mail; a mail without one is told apart by its file."""
    with path.open("rb") as file:
        head = email.parser.BytesHeaderParser().parsebytes(file.read(_HEAD))
    return str(head.get("Message-ID", path.name)).strip().strip("<>").partition("@")[0]


if __name__ == "__main__":
    mailbox = Mailbox(MAILDIR)
    serve(web.get("/figures", mailbox.figures), work=mailbox.work())
