"""One small reader for each kind of holder. Readers are pure: what to send, where an answer ends, what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from shaketable.observers.etcd import EtcdReader
from shaketable.observers.haproxy import HaproxyReader
from shaketable.observers.http_json import HttpJsonReader
from shaketable.observers.reader import BadHolderError, Lists, Reader, ReadError

__all__ = ["READERS", "BadHolderError", "Lists", "ReadError", "Reader"]

READERS: Final[Mapping[str, Callable[[str, Mapping[str, str], str], Reader]]] = {
    "etcd": EtcdReader,
    "haproxy": HaproxyReader,
    "http-json": HttpJsonReader,
}
"""By the holder's `kind`; each is made from `at`, `lists` and `path`, and raises BadHolderError."""
