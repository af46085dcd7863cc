"""What every reader of a holder has in common: bytes to send, where an answer ends, and what it says. No I/O here."""

from __future__ import annotations

from typing import Final, Protocol

Lists = dict[str, tuple[str, ...]]
"""Entries by list name: sorted, written `host` or `host/service` where a pattern says which part is which."""

MAX_ANSWER: Final = 8 << 20
"""Bytes; a holder that says more than this in one answer is not read."""


class ReadError(Exception):
    """A holder's answer is not what this kind of holder says; the text completes "the holder ..."."""


class BadHolderError(ValueError):
    """A holder's description cannot be used; the text says what is wrong with it and what would be right."""


class Reader(Protocol):
    """How one holder is read over one connection that is kept. Readers are immutable and never do I/O themselves."""

    @property
    def opening(self) -> bytes:
        """Sent once on a new connection; its answer, of the same shape as all others, is dropped. May be empty."""

    @property
    def request(self) -> bytes:
        """Sent for each look."""

    def take(self, data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
        """Find the first complete answer in `data`: its body, and the bytes it took; None while it is incomplete.

        Args:
            data: Everything received since the previous answer, however the network split it.
            ended: The holder has closed the connection, so nothing will follow.

        Raises:
            ReadError: `data` can never become an answer, or the holder says it failed.

        """

    def parse(self, body: bytes) -> Lists:
        """Read every list from the body of an answer. Equal bodies give equal lists. Raises ReadError."""


def printable(text: str) -> str:
    """`text` such that it can be written as UTF-8: what a holder garbled stays visible as an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def excerpt(data: bytes) -> str:
    """Show the beginning of `data` in a message."""
    shown = data[:40]
    return f"{shown!r}..." if len(data) > len(shown) else repr(shown)
