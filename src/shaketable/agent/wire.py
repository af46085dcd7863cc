"""JSON lines in both directions: one object a line, from stdin and to stdout."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Final

_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_MAX_WAITING: Final = 64 << 20
"""Bytes not yet taken by the reader at which it is taken to be gone."""


class ReaderGoneError(Exception):
    """Nobody takes our lines any more."""


class Writer:
    """Lines to a descriptor, from any thread. `put` gathers, `flush` writes what the descriptor takes now.

    With a descriptor made non-blocking, a slow reader delays lines and never the program.
    """

    __slots__ = ("_descriptor", "_lock", "_waiting")

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._waiting = bytearray()

    def put(self, message: object) -> None:
        """Add one line to what will be written."""
        line = _ENCODER.encode(message).encode() + b"\n"
        with self._lock:
            self._waiting += line

    def flush(self) -> bool:
        """Write what is waiting; say whether all of it is out. Raises ReaderGoneError."""
        with self._lock:
            while self._waiting:
                try:
                    written = os.write(self._descriptor, self._waiting)
                except BlockingIOError:
                    if len(self._waiting) > _MAX_WAITING:
                        raise ReaderGoneError("the reader does not keep up") from None
                    return False
                except OSError as error:
                    self._waiting.clear()
                    raise ReaderGoneError(error.strerror) from error
                del self._waiting[:written]
        return True

    def emit(self, message: object) -> None:
        """Write one line now, and what waited before it. Raises ReaderGoneError."""
        self.put(message)
        self.flush()


class Splitter:
    """Turns bytes, however they were cut, into whole lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take more bytes; answer the lines that are complete now, without their ends and without empty ones."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        return [line for line in whole if line.strip()]


def lines(descriptor: int = 0) -> Iterator[bytes]:
    """Lines of a blocking descriptor until it closes; a stream torn in the middle of a line ends there."""
    splitter = Splitter()
    while True:
        try:
            data = os.read(descriptor, 65536)
        except OSError:
            return
        if not data:
            return
        yield from splitter.feed(data)
