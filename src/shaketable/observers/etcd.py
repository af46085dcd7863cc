"""Lists in etcd: the keys below some prefixes, read through its JSON gateway in one request.

The read is serializable, so that it is answered by this member from its own copy and costs the cluster no round; keys
only, so that values do not travel. Several prefixes are read in one transaction, which is one moment for all lists.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import Final

from shaketable.observers import http
from shaketable.observers.http_json import load_object
from shaketable.observers.pattern import Patterns
from shaketable.observers.reader import Lists, ReadError, printable


class EtcdReader:
    """`lists` maps a list's name to a key pattern, as `/services/{service}/{host}`."""

    opening: Final = b""

    def __init__(self, at: str, lists: Mapping[str, str], path: str = "/") -> None:
        """Describe the request; `path` goes before `v3/...` where a proxy wants one. Raises BadHolderError."""
        self._patterns: Final = Patterns(lists)
        ranges = [_range(prefix) for prefix in _widest(self._patterns.prefixes)]
        if len(ranges) == 1:
            call, question = "v3/kv/range", ranges[0]
        else:
            call, question = "v3/kv/txn", {"success": [{"request_range": one} for one in ranges]}
        body = json.dumps(question, separators=(",", ":")).encode()
        self.request: Final = http.request("POST", path.rstrip("/") + "/" + call, at, body)

    def take(self, data: bytes, *, ended: bool = False) -> tuple[bytes, int] | None:
        """See Reader.take."""
        return http.take(data, ended=ended)

    def parse(self, body: bytes) -> Lists:
        """Sort the keys into lists. Raises ReadError."""
        return self._patterns.sort(_keys(load_object(body)))


def _range(prefix: str) -> dict[str, object]:
    """Ask for every key that begins with `prefix`."""
    first = prefix.encode() or b"\0"
    return {
        "key": b64encode(first).decode(),
        "range_end": b64encode(_after(prefix.encode())).decode(),
        "keys_only": True,
        "serializable": True,
    }


def _after(prefix: bytes) -> bytes:
    """Find the key just after every key with this prefix; a zero byte means the end of all keys to etcd."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else b"\0"


def _widest(prefixes: list[str]) -> list[str]:
    """Keep the prefixes that no other one covers."""
    kept: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not any(prefix.startswith(wider) for wider in kept):
            kept.append(prefix)
    return kept


def _keys(answer: dict[str, object]) -> Iterator[str]:
    """Keys of a range answer, or of every range in a transaction's answer. Raises ReadError."""
    if "responses" in answer:
        responses = answer["responses"]
        if not isinstance(responses, list):
            raise ReadError("answered without the ranges that were asked for")
        for response in responses:
            part = response.get("response_range", response.get("responseRange")) if isinstance(response, dict) else None
            if not isinstance(part, dict):
                raise ReadError("answered without a range that was asked for")
            yield from _keys(part)
        return
    if "header" not in answer:
        raise ReadError("answered without a header, as etcd never does")
    pairs = answer.get("kvs", [])  # absent when there are no keys
    if not isinstance(pairs, list):
        raise ReadError("answered keys that are not an array")
    for pair in pairs:
        key = pair.get("key") if isinstance(pair, dict) else None
        if not isinstance(key, str):
            raise ReadError("answered a key that is not text")
        try:
            yield b64decode(key, validate=True).decode("utf-8", "backslashreplace")
        except ValueError:
            raise ReadError(f"answered a key that is not base64: {printable(key[:40])!r}") from None
