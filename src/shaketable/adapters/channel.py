"""A running helper container as a stream of JSON lines both ways.

The container's stdin is bound to this one attached connection (`StdinOnce`): when the harness goes away, however it
does, the engine closes the stdin, and what runs inside heals and exits.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any

from shaketable.model.errors import AgentError

Message = dict[str, Any]
_HEADER = struct.Struct(">BxxxL")
_STDERR = 2


class Channel:
    """Lines in, lines out. `on_message` is called from the reader thread, `on_close` once when the stream has ended."""

    def __init__(
        self,
        name: str,
        stream: socket.socket,
        on_message: Callable[[Message], None],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.closed = threading.Event()
        self._stream = stream
        self._on_message = on_message
        self._on_close = on_close
        self._send = threading.Lock()
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read, name=f"channel-{name}", daemon=True)
        self._reader.start()

    def send(self, message: Message) -> None:
        """Send one line. Raises AgentError when the stream is closed."""
        data = (json.dumps(message, separators=(",", ":")) + "\n").encode()
        try:
            with self._send:
                self._stream.sendall(data)
        except OSError as error:
            raise AgentError(f"{self.name} is gone: {error.strerror or error}{self._last_words()}") from error

    def close(self) -> None:
        """Close our side; the container's stdin ends and it exits."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_WR)

    def drop(self) -> None:
        """Close both sides at once, without waiting for the container."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

    def _last_words(self) -> str:
        return f"; its last words: {' / '.join(self._errors[-3:])}" if self._errors else ""

    @property
    def last_words(self) -> str:
        """What it printed on stderr last, for messages."""
        return " / ".join(self._errors[-5:])

    def _read(self) -> None:
        pending = {1: b"", _STDERR: b""}
        try:
            with self._stream.makefile("rb") as stream:
                while header := stream.read(_HEADER.size):
                    kind, size = _HEADER.unpack(header)
                    *whole, pending[kind] = (pending[kind] + stream.read(size)).split(b"\n")
                    for line in whole:
                        self._line(kind, line)
        except (OSError, struct.error, ValueError):
            pass  # a torn stream is a closed one
        finally:
            self.closed.set()
            with contextlib.suppress(OSError):
                self._stream.close()
            self._on_close()

    def _line(self, kind: int, line: bytes) -> None:
        if kind == _STDERR:
            self._errors.append(line.decode(errors="replace"))
            del self._errors[:-20]
            return
        try:
            message = json.loads(line)
        except ValueError:
            self._errors.append(line.decode(errors="replace"))
            return
        self._on_message(message)


class Caller:
    """Questions and answers over a channel: each request carries an id that its answer repeats."""

    def __init__(self, on_event: Callable[[Message], None] = lambda _: None) -> None:
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._answers: dict[int, Message] = {}
        self._arrived = threading.Condition()
        self._gone = False

    def on_message(self, message: Message) -> None:
        """Take an answer, or pass an event on."""
        if "id" not in message:
            self._on_event(message)
            return
        with self._arrived:
            self._answers[message["id"]] = message
            self._arrived.notify_all()

    def on_close(self) -> None:
        """Wake everybody who waits for an answer that will not come."""
        with self._arrived:
            self._gone = True
            self._arrived.notify_all()

    def call(self, channel: Channel, op: str, *, limit: float = 10.0, **fields: Any) -> Message:
        """Ask and wait. Raises AgentError when the other side is gone, silent for `limit` seconds, or says it failed."""
        number = next(self._ids)
        channel.send({"id": number, "op": op, **fields})
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: number in self._answers or self._gone, timeout=limit)
            answer = self._answers.pop(number, None)
        if answer is None:
            why = "vanished" if self._gone else f"did not answer {op!r} within {limit:g} s"
            raise AgentError(
                f"{channel.name} {why if arrived else f'did not answer {op!r} within {limit:g} s'}"
                + (f"; its last words: {channel.last_words}" if channel.last_words else "")
            )
        if "error" in answer:
            raise AgentError(f"{channel.name} could not {op}: {answer['error']}")
        return answer
