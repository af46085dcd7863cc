"""One small reader for each kind of holder. Readers are pure: what to send, where an answer ends, what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from shaketable.observers.etcd import EtcdReader
from shaketable.observers.haproxy import HaproxyReader
from shaketable.observers.http_json import HttpJsonReader
from shaketable.observers.reader import BadHolderError, Lists, Reader, ReadError

__all__ = ["READERS", "BadHolderError", "Lists", "ReadError", "Reader", "make_reader"]

READERS: Final[Mapping[str, Callable[[str, Mapping[str, str], str], Reader]]] = {
    "etcd": EtcdReader,
    "haproxy": HaproxyReader,
    "http-json": HttpJsonReader,
}
"""By the holder's `kind`; each is made from `at`, `lists` and `path`, and raises BadHolderError."""


def make_reader(
    kind: str,
    at: str,
    lists: Mapping[str, str],
    path: str = "/",
    gauges: Mapping[str, str] = MappingProxyType({}),
) -> Reader:
    """Make the reader of a holder. Raises BadHolderError, also where this kind has no gauges or there is no such kind."""
    if kind == "http-json":
        return HttpJsonReader(at, lists, path, gauges)
    if kind not in READERS:
        raise BadHolderError(f"there is no kind {kind!r} of holder to read, only {', '.join(READERS)}")
    if gauges:
        raise BadHolderError(f"a holder of the kind {kind} has no gauges; http-json has")
    return READERS[kind](at, lists, path)
