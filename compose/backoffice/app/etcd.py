"""The few calls of etcd's JSON gateway that the registrar needs, over one kept connection. Standard library only.

EtcdError          the registry did not answer, or refused (an OSError, like the connection's own errors)
└── LeaseLost      the lease has expired or was revoked
"""

from __future__ import annotations

import json
import socket
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

NO_LEASE = "0"
_NOT_FOUND = 5


class EtcdError(OSError):
    """The registry did not answer as it should."""


class LeaseLost(EtcdError):  # noqa: N818
    """The lease has expired or was revoked, and with it every entry that was bound to it."""


def _b64(text: str) -> str:
    return b2a_base64(text.encode(), newline=False).decode()


def _put(key: str, value: str, lease: str) -> dict[str, Any]:
    return {"request_put": {"key": _b64(key), "value": _b64(value), "lease": lease}}


def _is_listed(key: str) -> dict[str, Any]:
    return {"key": _b64(key), "target": "VERSION", "result": "GREATER", "version": "0"}


class Etcd:
    """A client with one connection, opened when it is needed and dropped after any error."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self._address = (host, port)
        self._timeout = timeout
        self._connection: tuple[socket.socket, BinaryIO] | None = None
        self.own_ip = ""
        """The address by which the registry, and so everyone in the network, reaches this host."""

    def grant(self, ttl: int) -> str:
        """Take a lease of `ttl` seconds; its id."""
        return str(self._call("/v3/lease/grant", {"TTL": ttl})["ID"])

    def keep_alive(self, lease: str) -> None:
        """Renew a lease. Raises LeaseLost."""
        if "TTL" not in self._call("/v3/lease/keepalive", {"ID": lease}).get("result", {}):
            raise LeaseLost(f"lease {int(lease):x} is gone")

    def revoke(self, lease: str) -> None:
        """Give a lease back; what is bound to it goes."""
        self._call("/v3/lease/revoke", {"ID": lease})

    def put(self, key: str, value: str, lease: str = NO_LEASE) -> None:
        """Write an entry. Raises LeaseLost."""
        self._transaction([], [_put(key, value, lease)])

    def put_if_listed(self, key: str, value: str, lease: str = NO_LEASE) -> bool:
        """Write an entry that exists; False, and nothing written, if it does not. Raises LeaseLost."""
        return bool(self._transaction([_is_listed(key)], [_put(key, value, lease)]).get("succeeded"))

    def put_all_if_listed(self, entries: Mapping[str, str], lease: str = NO_LEASE) -> set[str]:
        """Write entries that all exist; nothing is written if some do not, and those are returned. Raises LeaseLost."""
        answer = self._transaction(
            [_is_listed(key) for key in entries],
            [_put(key, value, lease) for key, value in entries.items()],
            [{"request_range": {"key": _b64(key), "keys_only": True}} for key in entries],
        )
        if answer.get("succeeded"):
            return set()
        ranges = [found["response_range"].get("kvs", []) for found in answer["responses"]]
        return set(entries) - {a2b_base64(kv["key"]).decode() for kvs in ranges for kv in kvs}

    def delete(self, keys: Iterable[str]) -> None:
        """Remove entries; one that does not exist is fine."""
        self._transaction([], [{"request_delete_range": {"key": _b64(key)}} for key in keys])

    def _transaction(
        self, compare: list[dict[str, Any]], success: list[dict[str, Any]], failure: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        return self._call("/v3/kv/txn", {"compare": compare, "success": success, "failure": failure or []})

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nHost: {self._address[0]}\r\nContent-Length: {len(data)}\r\n\r\n"
        try:
            connection, stream = self._connection or self._connect()
            connection.sendall((head + data).encode())
            status, answer = _read_answer(stream)
        except (OSError, ValueError) as error:
            self.close()
            raise EtcdError(f"the registry did not answer {path}: {error}") from error
        if status == 200:
            return answer
        message = f"the registry refused {path}: {answer.get('error', status)}"
        raise LeaseLost(message) if answer.get("code") == _NOT_FOUND else EtcdError(message)

    def _connect(self) -> tuple[socket.socket, BinaryIO]:
        connection = socket.create_connection(self._address, self._timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.own_ip = connection.getsockname()[0]
        self._connection = connection, connection.makefile("rb")
        return self._connection

    def close(self) -> None:
        """Drop the connection; the next call opens another."""
        if self._connection is not None:
            for part in self._connection:
                part.close()
            self._connection = None


def _read_answer(stream: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Read one HTTP answer: its status and JSON body. Raises OSError, ValueError."""
    status = int(_line(stream).split(b" ", 2)[1])
    length: int | None = None
    while line := _line(stream).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length is not None:
        return status, json.loads(stream.read(length))
    body = b""
    while size := int(_line(stream), 16):
        body += stream.read(size)
        _line(stream)
    while _line(stream).strip():
        pass  # trailers
    return status, json.loads(body)


def _line(stream: BinaryIO) -> bytes:
    line = stream.readline(65_536)
    if not line.endswith(b"\n"):
        raise EtcdError("it closed the connection")
    return line
