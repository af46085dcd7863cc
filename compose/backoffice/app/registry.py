"""Follows the registry's lists as they change: one range, then a watch from that revision on; after any break, again."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

log = logging.getLogger("registry")
_FIRST, _LAST = "/", "0"  # every key that begins with a slash
_SILENCE = 5.0
"""Hosts announce themselves every second: a watch that is silent for longer than this is broken."""
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Entry:
    """One server (`service` is empty) or one service of a server, as it is listed."""

    key: str
    service: str
    host: str
    address: str
    """`ip:port`."""
    load: int | None
    created: int
    """Revision at which the entry was created: tells one that was taken off and entered again from the one before."""

    @property
    def name(self) -> str:
        """`host-1` or `host-1/billing`."""
        return f"{self.host}/{self.service}" if self.service else self.host


@dataclass(frozen=True, slots=True)
class Change:
    """An entry as it is now, or None where it has gone."""

    key: str
    entry: Entry | None


def b64(text: str) -> str:
    """Keys and values are base64 in etcd's JSON."""
    return b64encode(text.encode()).decode()


def name_of(key: str) -> str:
    """`/services/billing/host-1` is called `host-1/billing`, `/servers/host-1` is called `host-1`."""
    *_, service, host = key.split("/")
    return host if service == "servers" else f"{host}/{service}"


def _entry(kv: dict[str, Any]) -> Entry | None:
    key = b64decode(kv["key"]).decode()
    try:
        value = json.loads(b64decode(kv["value"]))
        _, kind, *service, host = key.split("/")
        if (kind, len(service)) not in {("servers", 0), ("services", 1)}:
            raise ValueError(key)
        return Entry(key, "".join(service), host, value["address"], value.get("load"), int(kv["create_revision"]))
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s is not an entry: %r", key, error)
        return None


class Registry:
    """The registry at `url`, over a session of the caller's."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def take_off(self, entry: Entry) -> None:
        """Take a dead entry off the list, for everybody; one that was entered again meanwhile stays. Tries until done."""
        key = b64(entry.key)
        body = {
            "compare": [{"key": key, "target": "CREATE", "create_revision": str(entry.created)}],
            "success": [{"request_delete_range": {"key": key}}],
        }
        while True:
            try:
                await self._call("/v3/kv/txn", body)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("cannot take %s off the list yet: %r", entry.name, error)
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def changes(self) -> AsyncIterator[list[Change] | list[Entry]]:
        """Yield the list as it is (entries), then changes as they happen; entries again after anything was missed."""
        while True:
            try:
                answer = await self._call("/v3/kv/range", {"key": b64(_FIRST), "range_end": b64(_LAST)})
                yield [entry for kv in answer.get("kvs", []) if (entry := _entry(kv))]
                async for result in self._watch(int(answer["header"]["revision"]) + 1):
                    if result.get("canceled"):
                        raise ValueError(result.get("cancel_reason", "the registry ended the watch"))
                    if events := result.get("events"):
                        yield [_change(event) for event in events]
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                log.warning("lost sight of the registry: %r", error)
            await asyncio.sleep(_PAUSE)

    async def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        limit = aiohttp.ClientTimeout(total=1.0)
        async with self._session.post(self._url + path, json=body, timeout=limit, raise_for_status=True) as response:
            answer: dict[str, Any] = await response.json()
            return answer

    async def _watch(self, revision: int) -> AsyncIterator[dict[str, Any]]:
        request = {"key": b64(_FIRST), "range_end": b64(_LAST), "start_revision": str(revision)}
        limit = aiohttp.ClientTimeout(total=None, sock_connect=1.0, sock_read=_SILENCE)
        async with self._session.post(
            f"{self._url}/v3/watch", json={"create_request": request}, timeout=limit, raise_for_status=True
        ) as response:
            async for line in response.content:
                message = json.loads(line)
                if "error" in message:
                    raise ValueError(message["error"])
                yield message["result"]


def _change(event: dict[str, Any]) -> Change:
    key = b64decode(event["kv"]["key"]).decode()
    return Change(key, None if event.get("type") == "DELETE" else _entry(event["kv"]))
