"""HTTP/1.1 as far as a reader needs it: one request as bytes, and the first complete response in what was received."""

from __future__ import annotations

from typing import Final

from shaketable.observers.reader import MAX_ANSWER, ReadError, excerpt

_START: Final = b"HTTP/1."
_MAX_HEAD: Final = 64 << 10


def request(method: str, path: str, at: str, body: bytes = b"") -> bytes:
    """Write a request for a connection that is kept. `at` is `host:port`; `body` is JSON."""
    content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {at}\r\nAccept: application/json\r\n{content}\r\n".encode() + body


def take(data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
    """Find the first complete response in `data`: its decoded body, and the bytes it took; None while it is incomplete.

    Raises ReadError for what is not HTTP, is cut off by the end of the connection, or has a status other than 200.
    """
    found = _take(data, ended=ended)
    if found is None:
        if len(data) > MAX_ANSWER:
            raise ReadError(f"sent more than {MAX_ANSWER >> 20} MB in one answer")
        if ended and data:
            raise ReadError("closed the connection in the middle of an answer")
    return found


def _take(data: bytes, *, ended: bool) -> tuple[bytes, int] | None:
    start = 0
    while True:
        if data[start : start + 7] != _START[: len(data) - start]:
            raise ReadError(f"does not speak HTTP: {excerpt(data[start : start + 64])}")
        end = data.find(b"\r\n\r\n", start, start + _MAX_HEAD)
        if end < 0:
            if len(data) - start >= _MAX_HEAD:
                raise ReadError(f"sent a header of more than {_MAX_HEAD >> 10} kB")
            return None
        status = data[start + 9 : start + 12]
        if status == b"200":
            return _body(data, data[start:end].lower(), end + 4, ended=ended)
        if not (status.startswith(b"1") and status.isdigit()) or status == b"101":
            line = data[start:end].partition(b"\r\n")[0]
            raise ReadError(f"answered {line[9:89].decode(errors='replace').strip() or 'without a status'}")
        start = end + 4  # an interim answer, as 100 Continue; the real one follows


def _body(data: bytes, head: bytes, start: int, *, ended: bool) -> tuple[bytes, int] | None:
    """Find the body that begins at `start`, framed as `head` (lower case) says."""
    coding = _field(head, b"\r\ntransfer-encoding:")
    if coding is not None:
        if coding != b"chunked":
            raise ReadError(f"used the transfer encoding {excerpt(coding)}")
        return _chunks(data, start)
    length = _field(head, b"\r\ncontent-length:")
    if length is None:
        return (data[start:], len(data)) if ended else None
    if not length.isdigit() or len(length) > 9 or int(length) > MAX_ANSWER:
        raise ReadError(f"announced {excerpt(length)} bytes")
    end = start + int(length)
    return (data[start:end], end) if len(data) >= end else None


def _field(head: bytes, name: bytes) -> bytes | None:
    at = head.find(name)
    if at < 0:
        return None
    at += len(name)
    end = head.find(b"\r\n", at)
    return head[at : end if end >= 0 else len(head)].strip()


def _chunks(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Decode a chunked body that begins at `at`, and its trailers."""
    parts: list[bytes] = []
    total = 0
    while True:
        line_end = data.find(b"\r\n", at, at + 258)
        if line_end < 0:
            if len(data) - at >= 258:
                raise ReadError(f"sent a broken chunk: {excerpt(data[at:])}")
            return None
        size_text = data[at:line_end].partition(b";")[0].strip()
        if not size_text or len(size_text) > 8 or size_text.strip(b"0123456789abcdefABCDEF"):
            raise ReadError(f"sent a broken chunk: {excerpt(data[at:line_end])}")
        size = int(size_text, 16)
        total += size
        if total > MAX_ANSWER:
            raise ReadError(f"sent more than {MAX_ANSWER >> 20} MB in one answer")
        if size == 0:
            if data[line_end + 2 : line_end + 4] == b"\r\n":
                return b"".join(parts), line_end + 4
            end = data.find(b"\r\n\r\n", line_end)
            return (b"".join(parts), end + 4) if end >= 0 else None
        end = line_end + 2 + size
        if len(data) < end + 2:
            return None
        if data[end : end + 2] != b"\r\n":
            raise ReadError("sent a chunk that is longer than announced")
        parts.append(data[line_end + 2 : end])
        at = end + 2
