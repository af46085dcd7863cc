"""One run of the sender, a process of its own: sends the mails that wait, in their order, and ends.

As corrected it is the only one of its tenant, by a lock of the database, and takes over what dead runs have left. It says
to the worker what its renderer leaves for later runs. It leaves with 0 but for guard.OUT_OF_MEMORY.
"""

from __future__ import annotations

import contextlib
import json
import os
import smtplib
import socket
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

import runs
from guard import OUT_OF_MEMORY, Guard
from store import FAILURES, TENANT, Mail, Store

NAME = f"{os.environ['HOST']}/{TENANT}"
"""`server-1/tenant-a`."""
_ANSWER_LIMIT = 20.0
"""Seconds that the destination has for an answer."""
_INSIST = 20.0
"""Seconds that a run tries to note that a mail was sent."""
_AGAIN = 0.2
_CONNECT, _READY, _TAKEN = 220, 354, 250
_PERMANENT = 500


@dataclass(frozen=True, slots=True)
class Orders:
    """What a run has from its worker."""

    renderer: Any
    """The release's module."""
    release: str
    kept: Mapping[str, str]
    forced: Collection[str]
    """Runs that were ended by force."""
    guarded: bool
    clear_up: bool


class RefusedError(Exception):
    """The destination does not take a mail; `for_good` if it never will."""

    def __init__(self, code: int, text: bytes) -> None:
        super().__init__(f"{code} {text.decode(errors='replace')}")
        self.for_good = code >= _PERMANENT


def run(orders: Orders, worker: socket.socket) -> int:
    """Send; the exit code."""
    try:
        sender = _Sender(orders, worker)
        with contextlib.closing(sender.store):
            if orders.guarded and not sender.store.lock():
                return 0
            if orders.guarded or orders.clear_up:
                sender.store.clear_up(runs.lives, orders.forced)
            sender.send_all()
    except MemoryError:
        return OUT_OF_MEMORY
    except (*FAILURES, smtplib.SMTPException, RefusedError) as error:
        print(f"{NAME}: sender: {type(error).__name__}: {error}", flush=True)
    return 0


class _Sender:
    def __init__(self, orders: Orders, worker: socket.socket) -> None:
        self._guard = Guard(on=orders.guarded)
        self._orders, self._worker = orders, worker
        self._run = runs.named(os.getpid())
        self._renderer = orders.renderer.Renderer(orders.kept)
        self._smtp: smtplib.SMTP | None = None
        self.store = Store()

    def send_all(self) -> None:
        """Send one mail after the other until none waits."""
        while not self._guard.stopped and (mail := self.store.claim(self._run, self._orders.release)):
            with self._guard.rendering():
                text = self._renderer.render(mail.number, mail.template, mail.fields)
            self._leave()
            self._send(mail, _message(mail, text))
        if self._smtp:
            self._smtp.quit()

    def _leave(self) -> None:
        new, self._renderer.new = self._renderer.new, {}
        for key, text in new.items():
            with contextlib.suppress(OSError):  # the worker was replaced: nothing to leave it to
                self._worker.send(json.dumps([key, text]).encode())

    def _send(self, mail: Mail, message: bytes) -> None:
        """Send one mail. Until its last line has gone it can be given back; after that only the answer tells."""
        state = "rendering"
        try:
            smtp = self._prepared(mail)
            _asked(smtp.docmd("DATA"), _READY)
            smtp.send(message)
            if not self.store.move(mail, self._run, state, "sending"):
                raise smtplib.SMTPException(f"mail {mail.number} is no longer this run's")
            state = "sending"
            smtp.send(b".\r\n")
            _asked(smtp.getreply(), _TAKEN)
        except RefusedError as error:
            self.store.move(mail, self._run, state, "refused" if error.for_good else "queued")
            raise
        except (OSError, smtplib.SMTPException):
            if state == "rendering":
                self.store.move(mail, self._run, state, "queued")
            raise
        self._note(mail)

    def _prepared(self, mail: Mail) -> smtplib.SMTP:
        """The destination, told of the mail's sender and recipient."""
        if self._smtp is None:
            host = f"{TENANT}.{os.environ['HOST']}.example"
            self._smtp = smtplib.SMTP("destination", 25, local_hostname=host, timeout=_ANSWER_LIMIT)
            _asked(self._smtp.ehlo(), _TAKEN)
        _asked(self._smtp.mail(f"{TENANT}@mailer.example"), _TAKEN)
        _asked(self._smtp.rcpt(mail.recipient), _TAKEN)
        return self._smtp

    def _note(self, mail: Mail) -> None:
        """Note that it was sent: only this run knows, so it insists."""
        until = time.monotonic() + _INSIST
        while True:
            try:
                return self.store.sent(mail)
            except FAILURES:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN)
                with contextlib.suppress(*FAILURES):
                    self.store = Store()
                    self._guard.stopped = True  # the lock went with the connection


def _asked(answer: tuple[int, bytes], wanted: int) -> None:
    code, text = answer
    if code != wanted:
        raise RefusedError(code, text)


def _message(mail: Mail, text: str) -> bytes:
    message = EmailMessage()
    message["From"] = f"{TENANT}@mailer.example"
    message["To"] = mail.recipient
    message["Subject"] = f"News of {TENANT}"
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{NAME}/{mail.number}@mailer.example>"
    message.set_content(text, cte="8bit")
    lines = message.as_bytes().replace(b"\n", b"\r\n")
    return smtplib._quote_periods(lines)
